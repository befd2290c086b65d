// Who keeps whom waiting: how long the ends that a program asks take to answer, how long the program itself takes, and how
// much of that is waiting for those. It tells a slow upstream from a slow proxy where no call ever blocks.
import {
  type EndpointSummary,
  endpointsByProgram,
  type SocketOwner,
  type Turns,
  turnsTogether,
} from "./socket-sum.js";
import type { TcpSummary } from "./tcp-sum.js";

export interface ProgramAnswers extends Pick<SocketOwner, "comm" | "self"> {
  /** Ends that it asked and that answered, the longest sum first. Processes of one name are one program. */
  readonly asked: readonly EndpointSummary[];
  /** Its own answers on connections that others opened; null where it gave none. */
  readonly served: Turns | null;
  /** Connections to the ends that it asked, by endpoint, where they are known; other programs' are among them. */
  readonly tcp: ReadonlyMap<number, TcpSummary>;
  /**
   * How much of the time of its own answers the ends that it asked took, with the time to connect to them, at most 1; null
   * where one of the two is missing. Their answers count to the first bytes, or to the last where it waits for these.
   */
  readonly upstreamShare: number | null;
  /**
   * Whether its own answers begin when those of the ends are complete, by the sums: then who is late with the rest of an
   * answer keeps it waiting. Streams that it passes on as they come are not waited for.
   */
  readonly waitsForWhole: boolean;
}

/** Own answers that begin no earlier than this share of the time in which those of the ends are complete wait for them. */
const HELD_BACK = 0.8;

/** The ends of which EndpointTotal times the answers of the other side, and those where it times the process's own. */
const ASKED = new Set(["remote", "path"]);
const SERVED = new Set(["accepted", "served path"]);

/** Whether the turns of a row are answers of the other side. */
export const isAsked = ({ role, turns }: EndpointSummary): boolean => turns > 0 && ASKED.has(role);
export const isServed = ({ role, turns }: EndpointSummary): boolean => turns > 0 && SERVED.has(role);

/**
 * Programs that ask or answer, the longest sum of answers first.
 * @param connections by end, where they are known
 */
export function programAnswers(
  rows: readonly EndpointSummary[],
  connections: readonly TcpSummary[] = [],
): ProgramAnswers[] {
  const tcp = new Map(connections.map((row) => [row.endpoint, row]));
  const programs = new Map<string, EndpointSummary[]>();
  for (const row of endpointsByProgram(rows)) {
    const key = JSON.stringify([row.self, row.comm]);
    const group = programs.get(key);
    if (group === undefined) programs.set(key, [row]);
    else group.push(row);
  }
  return [...programs.values()]
    .map((group) => answersOf(group, tcp))
    .filter(({ asked, served }) => asked.length > 0 || served !== null)
    .sort((a, b) => spent(b) - spent(a));
}

function answersOf(group: readonly EndpointSummary[], all: ReadonlyMap<number, TcpSummary>): ProgramAnswers {
  const { comm, self } = group[0]!;
  const asked = group.filter(isAsked).sort((a, b) => b.turnSumNs - a.turnSumNs);
  const own = group.filter(isServed);
  const served = own.length > 0 ? turnsTogether(own) : null;
  const tcp = new Map(
    asked.flatMap(({ endpoint }) => {
      const row = all.get(endpoint);
      return row === undefined || endpoint < 0 ? [] : [[endpoint, row]];
    }),
  );
  const connecting = connectingNs(comm, tcp);
  const first = askedNs(asked) + connecting;
  const whole = asked.reduce((sum, row) => sum + row.wholeSumNs, 0) + connecting;
  const waitsForWhole = served !== null && whole > first && served.turnSumNs >= whole * HELD_BACK;
  const waited = waitsForWhole ? whole : first;
  const share = served === null || asked.length === 0 ? null : waited / Math.max(1, served.turnSumNs);
  const upstreamShare = share === null ? null : Math.min(1, share);
  if (waitsForWhole) asked.sort((a, b) => b.wholeSumNs - a.wholeSumNs);
  return { comm, self, asked, served, tcp, upstreamShare, waitsForWhole };
}

/** Time to connect to ends that no other program uses: of the others it is not known whose it was. */
function connectingNs(comm: string, tcp: ReadonlyMap<number, TcpSummary>): number {
  const own = [...tcp.values()].filter(({ owners }) => owners.every((owner) => owner.comm === comm));
  return own.reduce((sum, { connectSumNs }) => sum + connectSumNs, 0);
}

const askedNs = (asked: readonly Turns[]): number => asked.reduce((sum, row) => sum + row.turnSumNs, 0);
const spent = ({ asked, served }: ProgramAnswers): number => Math.max(askedNs(asked), served?.turnSumNs ?? 0);
