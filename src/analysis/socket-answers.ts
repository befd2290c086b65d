// Who keeps whom waiting: how long the ends that a program asks take to answer, how long the program itself takes, and how
// much of that is waiting for those. It tells a slow upstream from a slow proxy where no call ever blocks.
import { ownAnswersAt, unseenBelow, unsureNs } from "./answer-shares.js";
import {
  type EndpointSummary,
  endpointsByProgram,
  programKey,
  type SocketOwner,
  type Turns,
  turnsTogether,
} from "./socket-sum.js";
import { type ConnectingSummary, connectingTogether, type TcpSummary } from "./tcp-sum.js";

export interface ProgramAnswers extends Pick<SocketOwner, "process" | "comm" | "self"> {
  /** All its processes. */
  readonly processes: ReadonlySet<number>;
  /** Ends that it asked and that answered, the longest sum first. Processes of one name in one network are one program; one without a name is one by itself. */
  readonly asked: readonly EndpointSummary[];
  /**
   * Ends that have not answered its connection requests by the end of the recording, though they were sent again; most connections
   * first. What waits for them is in no answer's time.
   */
  readonly silent: readonly ConnectingSummary[];
  /**
   * Ends to which its connections failed, the longest sum of time until they did first. `shared`: other programs connect there, too,
   * and whose connections failed is not known.
   */
  readonly unconnected: readonly (TcpSummary & { readonly shared: boolean })[];
  /** Its own answers on connections that others opened; null where it gave none. */
  readonly served: Turns | null;
  /**
   * By end that it asked: which of its groups of processes ask there. Processes that serve at one end, as the workers of a server,
   * are one group; any other is one by itself, since programs of one name may have nothing to do with each other (java, node).
   */
  readonly askedBy: ReadonlyMap<EndpointSummary, ReadonlySet<number>>;
  /** Connections to the ends that it asked, by endpoint, where they are known; other programs' are among them. */
  readonly tcp: ReadonlyMap<number, TcpSummary>;
  /**
   * How much of the time of its own answers the ends that it asked took, with the time to connect to them, in vain or not, at most 1;
   * null where one of the two is missing. Their answers count to the first bytes, or to the last where it waits for these.
   */
  readonly upstreamShare: number | null;
  /**
   * How much of it at least: `upstreamShare` also counts answers that are too short to tell whether they came late or were read late;
   * here these count with what the program there takes itself, where that was recorded, and with nothing elsewhere.
   */
  readonly upstreamLeast: number | null;
  /** Below which length that cannot be told, ns. */
  readonly unseenBelowNs: number;
  /** By end that it asked: the own answers of who serves there, where they were recorded; to others, too. */
  readonly there: ReadonlyMap<EndpointSummary, Turns>;
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
 * @param connecting connections that were not established yet at the end, where they are known
 * @param tickNs a tick of the kernel; 0 = not known
 */
export function programAnswers(
  rows: readonly EndpointSummary[],
  connections: readonly TcpSummary[] = [],
  connecting: readonly ConnectingSummary[] = [],
  tickNs = 0,
): ProgramAnswers[] {
  const tcp = new Map(connections.map((row) => [row.endpoint, row]));
  const programs = new Map<string, { rows: EndpointSummary[]; silent: ConnectingSummary[] }>();
  const networkOf = networks([...rows, ...connecting]);
  const programOf = (row: SocketOwner) => {
    const key = `${programKey(row)} ${networkOf.get(row.process) ?? 0}`;
    const program = programs.get(key) ?? { rows: [], silent: [] };
    programs.set(key, program);
    return program;
  };
  for (const row of rows) programOf(row).rows.push(row);
  for (const row of connecting) if (row.connectingUnanswered > 0) programOf(row).silent.push(row);
  return [...programs.values()]
    .flatMap(askersApart)
    .map((program) => {
      const answers = answersOf(program.rows, silentByEnd(program.silent), tcp);
      return { ...answers, ...leastOf(answers, rows, unseenBelow(tickNs)) };
    })
    .filter(({ asked, silent, served }) => asked.length > 0 || silent.length > 0 || served !== null)
    .sort((a, b) => spent(b) - spent(a));
}

interface Program {
  readonly rows: readonly EndpointSummary[];
  readonly silent: readonly ConnectingSummary[];
}

/**
 * A program's processes that ask, and those of the same name that only serve: a gateway and the services behind it may all be
 * called `node`, and what these take for their answers is not time for which they wait.
 */
function askersApart({ rows, silent }: Program): Program[] {
  const groupOf = groupsOf(rows);
  const asks = new Set([...rows.filter(isAsked), ...silent].map(({ process }) => groupOf(process)));
  const asking = rows.filter(({ process }) => asks.has(groupOf(process)));
  if (asks.size === 0 || !rows.some((row) => isServed(row) && !asking.includes(row)))
    return [{ rows, silent }];
  return [
    { rows: asking, silent },
    { rows: rows.filter((row) => !asking.includes(row)), silent: [] },
  ];
}

/** One row an end, most connections first: of all processes of a program. */
function silentByEnd(rows: readonly ConnectingSummary[]): ConnectingSummary[] {
  return [...new Set(rows.map(({ name }) => name))]
    .map((end) => rows.filter(({ name }) => name === end))
    .map((group) => ({ ...group[0]!, processes: group.length, ...connectingTogether(group) }))
    .sort((a, b) => b.connectingUnanswered - a.connectingUnanswered);
}

type Least = Pick<ProgramAnswers, "upstreamLeast" | "unseenBelowNs" | "there">;

/** What of `upstreamShare` is certain. */
function leastOf(
  { asked, served, unconnected, upstreamShare }: Omit<ProgramAnswers, keyof Least>,
  rows: readonly EndpointSummary[],
  unseenBelowNs: number,
): Least {
  const there = ownAnswersAt(asked, rows);
  const unsure =
    asked.reduce((sum, end) => sum + unsureNs(end, there.get(end), unseenBelowNs), 0) +
    failedNs(unconnected.filter(({ shared }) => shared));
  if (served === null || upstreamShare === null) return { upstreamLeast: null, unseenBelowNs, there };
  const least = Math.max(0, upstreamShare - unsure / Math.max(1, served.turnSumNs));
  return { upstreamLeast: least, unseenBelowNs, there };
}

/** By process: its network, which ends of other kinds (unix paths) do not have. */
function networks(rows: readonly Pick<EndpointSummary, "process" | "network">[]): Map<number, number> {
  const found = new Map<number, number>();
  for (const { process, network } of rows) if (network > 0) found.set(process, network);
  return found;
}

/** By process of one program: the first of those with which it shares an end that they serve, step by step. */
function groupsOf(rows: readonly EndpointSummary[]): (process: number) => number {
  const first = new Map<number, number>();
  const groupOf = (process: number): number => {
    const up = first.get(process) ?? process;
    return up === process ? process : groupOf(up);
  };
  const server = new Map<number, number>();
  for (const { role, endpoint, process } of rows) {
    if (!SERVED.has(role) || endpoint < 0) continue;
    const other = server.get(endpoint);
    if (other === undefined) server.set(endpoint, process);
    else first.set(groupOf(process), groupOf(other));
  }
  return groupOf;
}

/** @param silent of the same program; it or `rows` has something in it */
function answersOf(
  rows: readonly EndpointSummary[],
  silent: readonly ConnectingSummary[],
  all: ReadonlyMap<number, TcpSummary>,
): Omit<ProgramAnswers, keyof Least> {
  const group = endpointsByProgram(rows);
  const groupOf = groupsOf(rows);
  const owner: SocketOwner = group[0] ?? silent[0]!;
  const { process, comm, self } = owner;
  const asked = group.filter(isAsked).sort((a, b) => b.turnSumNs - a.turnSumNs);
  const own = group.filter(isServed);
  const served = own.length > 0 ? turnsTogether(own) : null;
  const connectionsOf = (ends: readonly EndpointSummary[]) =>
    new Map(
      ends.flatMap(({ endpoint }) => {
        const row = all.get(endpoint);
        return row === undefined || endpoint < 0 ? [] : [[endpoint, row]];
      }),
    );
  const tcp = connectionsOf(asked);
  const connections = [...connectionsOf(group.filter((row) => ASKED.has(row.role))).values()];
  const isOwn = ({ owners }: TcpSummary): boolean =>
    owners.every((each) => programKey(each) === programKey(owner));
  const unconnected = connections
    .filter(({ connectsFailedNs }) => connectsFailedNs > 0)
    .map((row) => ({ ...row, shared: !isOwn(row) }))
    .sort((a, b) => b.connectsFailedNs - a.connectsFailedNs);
  const connectedNs = connections.filter(isOwn).reduce((sum, row) => sum + row.connectSumNs, 0);
  const connecting = connectedNs + failedNs(unconnected);
  const first = askedNs(asked) + connecting;
  const whole = asked.reduce((sum, row) => sum + row.wholeSumNs, 0) + connecting;
  const waitsForWhole = served !== null && whole > first && served.turnSumNs >= whole * HELD_BACK;
  const waited = waitsForWhole ? whole : first;
  const share =
    served === null || asked.length + unconnected.length === 0
      ? null
      : waited / Math.max(1, served.turnSumNs);
  const upstreamShare = share === null ? null : Math.min(1, share);
  if (waitsForWhole) asked.sort((a, b) => b.wholeSumNs - a.wholeSumNs);
  const askedBy = new Map(
    asked.map((end) => {
      const own = rows.filter(
        (row) => row.name === end.name && row.protocol === end.protocol && isAsked(row),
      );
      return [end, new Set(own.map(({ process }) => groupOf(process)))];
    }),
  );
  const processes = new Set([...rows, ...silent].map((row) => row.process));
  return {
    process,
    comm,
    self,
    processes,
    asked,
    silent,
    unconnected,
    served,
    askedBy,
    tcp,
    upstreamShare,
    waitsForWhole,
  };
}

const failedNs = (rows: readonly TcpSummary[]): number =>
  rows.reduce((sum, { connectsFailedNs }) => sum + connectsFailedNs, 0);
const askedNs = (asked: readonly Turns[]): number => asked.reduce((sum, row) => sum + row.turnSumNs, 0);
const spent = ({ asked, silent, served }: ProgramAnswers): number =>
  Math.max(askedNs(asked), served?.turnSumNs ?? 0, silentNs(silent));
/** At most: each may have waited as long as the oldest. */
const silentNs = (silent: readonly ConnectingSummary[]): number =>
  silent.reduce((sum, row) => sum + row.connectingUnanswered * row.connectingMaxNs, 0);
