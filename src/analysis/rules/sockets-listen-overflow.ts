// Connections that found the queue of a listening socket full: a program does not accept in time. The kernel counts them for the
// machine; whose queue it was is told by those who accept, and by what still waits at the end.
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import type { Finding, Severity } from "../finding.js";
import { listenSuspects, type Suspects, type WaitingQueue } from "../listen-suspects.js";
import type { EndpointSummary } from "../socket-sum.js";
import { fillOf, ownersText } from "../tcp-sum.js";
import { tcpSummaries } from "../tcp-summary.js";
import { shown, time } from "../text.js";
import { LISTEN_OVERFLOW } from "../thresholds.js";

/** Whose queue it was. */
interface Culprit {
  /** Undefined where no process is known. */
  readonly who: string | undefined;
  readonly name: string;
  readonly port: number | undefined;
  readonly title: (found: string) => string;
  /** How that is known. */
  readonly cause: string;
}

/** Finding "listen-overflow", at most one. */
export function listenOverflow(profile: Profile): Finding[] {
  const counters = profile.final?.tcpCounters;
  if (counters === undefined || !(counters.listenOverflows > 0)) return [];
  const { listenOverflows, listenDrops } = counters;
  const suspects = listenSuspects(profile);
  const culprit = culpritOf(profile, suspects);
  const { seen, over, waiting } = suspects;
  const accepted = seen.map(acceptedContributor);
  const left = waiting.map((row) => waitingContributor(row, waiting));
  const found = `${number(listenOverflows)} ${listenOverflows === 1 ? "connection" : "connections"} found`;
  const name = culprit && [culprit.who, culprit.name].filter((part) => part !== undefined).join(", ");
  return [
    {
      rule: "listen-overflow",
      severity: severityOf(listenOverflows, profile.durationNs),
      title:
        culprit?.title(found) ?? `${found} the queue of a listening socket full; whose it is is not known`,
      detail: `The kernel drops such a connection request, and the client tries again after a second or later: it sees a slow or dead server while nothing is wrong with the network. In all ${number(listenDrops)} requests were dropped by listening sockets of this machine in ${time(profile.durationNs)}. ${culprit?.cause ?? nobody(profile, suspects)}`,
      ...(name !== undefined && { culprit: name }),
      contributors: (over.length > 0 ? [...accepted, ...left] : [...left, ...accepted]).slice(0, 8),
      next: [
        culprit?.port === undefined
          ? "ss -ltnp | awk 'NR == 1 || $2 >= $3'    # Recv-Q connections wait, Send-Q may: these are full now"
          : `ss -ltnp 'sport = :${culprit.port}'    # Recv-Q connections wait, Send-Q may`,
        "nstat -az TcpExtListenOverflows TcpExtListenDrops    # whether it goes on",
        ...(culprit?.who === undefined
          ? []
          : [
              `See in the tabs of CPU and off-CPU time why ${culprit.who} does not come to accept: busy with other work, blocked, or without a CPU. More workers or shorter work help.`,
            ]),
        "sysctl net.core.somaxconn    # with the backlog of listen (nginx: listen … backlog=, haproxy: backlog, redis: tcp-backlog) the smaller one counts; a longer queue helps against bursts only",
      ],
      tab: "sockets",
    },
  ];
}

const number = (value: number): string => value.toLocaleString("en-US");

function severityOf(overflows: number, durationNs: number): Severity {
  const { warning, minCritical, criticalPerSecond } = LISTEN_OVERFLOW;
  const perSecond = durationNs > 0 ? overflows / (durationNs / 1e9) : 0;
  if (overflows >= minCritical && perSecond >= criticalPerSecond) return "critical";
  return overflows >= warning ? "warning" : "info";
}

/** The strongest evidence first; docs/findings.md says why. */
function culpritOf(profile: Profile, { over, full, waiting }: Suspects): Culprit | undefined {
  const exceeded = over[0];
  if (exceeded !== undefined) return fromAccepts(profile, exceeded, [...over, ...full]);
  const left = waiting[0];
  if (left !== undefined) return fromEnd(profile, left, waiting, full);
  return full[0] && fromAccepts(profile, full[0], full);
}

/** A queue that was seen full as connections were accepted from it. */
function fromAccepts(profile: Profile, row: EndpointSummary, all: readonly EndpointSummary[]): Culprit {
  const { name, endpoint, queueMax, queueLimit } = row;
  const who = shown(ownersText([row]));
  const where = name.replace("accepted on ", "");
  return {
    ...{ who, name, port: profile.endpoints[endpoint]?.port },
    title: (found) =>
      `${who} does not accept in time: ${found} the queue of ${where} full (${number(queueMax)} waited, ${number(queueLimit)} may)`,
    cause:
      all.length === 1
        ? "Of all queues that were seen only this one was full."
        : `${all.length} queues were seen full, the fullest is named.`,
  };
}

/** A queue that was not empty at the end. */
function fromEnd(
  profile: Profile,
  row: WaitingQueue,
  all: readonly WaitingQueue[],
  full: readonly EndpointSummary[],
): Culprit {
  const { name, port, pid, length, limit, accepts, over } = row;
  const who = pid === null ? undefined : shown(ownersText([row]));
  const where = row.endpoint < 0 ? "a listening socket" : name.replace("listening on ", "");
  const still = `${number(length)} still ${length === 1 ? "waits" : "wait"}${over ? `, ${number(limit)} may` : ""}`;
  const which = over
    ? "This one held more than it may at the end"
    : all.length === 1
      ? "At the end connections still waited for this listening socket and no other that may be it"
      : `At the end connections still waited for ${all.length} listening sockets, most of them for this one`;
  const rest = full.length > 0 ? `; ${fullText(full)}` : "";
  return {
    ...{ who, name, port },
    title: (found) => {
      const queue = `${found} the queue of ${where} full (${still})`;
      if (who === undefined) return `${queue}; which process has it open is not known`;
      return `${who} does not accept${accepts ? " in time" : ""}: ${queue}`;
    },
    cause: `No queue was seen over its limit as a connection was accepted. ${which}${rest}.${unaccepted(profile)}`,
  };
}

const fullText = (full: readonly EndpointSummary[]): string =>
  `${full[0]!.name} was seen with just as many as it may hold, where Linux lets one more in`;

/** What is known where whose queue it was is not. */
function nobody(profile: Profile, { seen, ruledOut }: Suspects): string {
  const room = ruledOut
    .slice(0, 3)
    .map(
      (row) => `${shown(ownersText([row]))}, ${row.name} (${number(row.length)}, ${number(row.limit)} may)`,
    );
  const left =
    room.length > 0
      ? ` At the end connections waited for ${room.join("; ")}: these accept, and there was room.`
      : "";
  const first =
    seen.length > 0
      ? "No queue was seen full as a connection was accepted; those that were at least half full are listed."
      : "No queue was seen even half full as a connection was accepted: a program that never accepted meanwhile, and is gone or has caught up since, is the likely one.";
  return `${first}${left}${unaccepted(profile)}`;
}

/** Ends whose connections nobody was seen to accept. */
function unaccepted(profile: Profile): string {
  const ends = tcpSummaries(profile)
    .filter(({ role, accepted, owners }) => role === "accepted" && accepted > 0 && owners.length === 0)
    .map(({ name, accepted }) => `${name} (${number(accepted)} connections)`);
  return ends.length > 0 ? ` No process was seen to use ${ends.slice(0, 3).join(", ")}.` : "";
}

type Contributor = Finding["contributors"][number];

const acceptedContributor = (row: EndpointSummary): Contributor => ({
  name: `${row.name}, ${shown(ownersText([row]))}: ${number(row.queueMax)} of ${number(row.queueLimit)} waited`,
  share: ratio(Math.min(1, fillOf(row))),
});

function waitingContributor(row: WaitingQueue, all: readonly WaitingQueue[]): Contributor {
  const sum = all.reduce((total, { length }) => total + length, 0);
  const may = row.limit > 0 ? `, ${number(row.limit)} may` : "";
  return {
    name: `${row.name}, ${shown(ownersText([row]))}: ${number(row.length)} waited at the end${may}`,
    share: ratio(row.limit > 0 ? Math.min(1, row.length / row.limit) : row.length / sum),
  };
}
