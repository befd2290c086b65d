// What is known of the life of TCP connections, end by end: established, failed, reset, sent again. The kernel counts these in
// interrupts, where nobody's process is known: who uses an end is known from the calls on it.
import type { TcpTotal } from "../capture/binding.js";
import type { Profile } from "../model/profile.js";
import { endpointNames } from "./endpoint-names.js";
import {
  addBuckets,
  type EndpointSummary,
  percentileOf,
  programKey,
  type SocketOwner,
} from "./socket-sum.js";
import { endpointSummaries, socketOwner } from "./socket-summary.js";
import {
  type CloseWaitSummary,
  type Connecting,
  type ConnectingSummary,
  connectingTogether,
  fullestQueue,
  type ListenQueueSummary,
  type Queue,
  type TcpSummary,
  troubles,
} from "./tcp-sum.js";

/**
 * One row an end, those where most went wrong first, then those with most connections; empty for a capture that was cut before its totals.
 * @param counts by process id: whose ends count; those that nobody is known to use always do. Default everybody's
 */
export function tcpSummaries(
  profile: Profile,
  counts: (process: number) => boolean = () => true,
): TcpSummary[] {
  const nameOf = endpointNames(profile);
  const users = new Map<number, EndpointSummary[]>();
  for (const row of endpointSummaries(profile)) push(users, row.endpoint, row);
  const totals = new Map<number, TcpTotal[]>();
  for (const row of profile.final?.tcpTotals ?? []) push(totals, row.endpoint, row);
  const waiting = new Map<number, ConnectingSummary[]>();
  for (const row of connectingRows(profile)) push(waiting, row.endpoint, row);
  return [...new Set([...totals.keys(), ...waiting.keys()])]
    .map((endpoint) => {
      const open = waiting.get(endpoint) ?? [];
      return { endpoint, open, all: [...(users.get(endpoint) ?? []), ...open.map(withoutCalls)] };
    })
    .filter(({ all }) => all.length === 0 || all.some(({ process }) => counts(process)))
    .map(({ endpoint, open, all }) => {
      const users = all.filter(({ process }) => counts(process));
      const { name, role } = nameOf(endpoint);
      return {
        ...{ endpoint, name, role, owners: ownersOf(users), ...together(totals.get(endpoint) ?? []) },
        ...fullestQueue(users),
        ...connectingTogether(open.filter(({ process }) => counts(process))),
      };
    })
    .sort((a, b) => troubles(b) - troubles(a) || size(b) - size(a) || a.endpoint - b.endpoint);
}

/** One who uses an end, and made no call on it in the recording. */
const withoutCalls = (row: ConnectingSummary) => ({ ...row, count: 0, queueMax: 0, queueLimit: 0 });

/** Connections that were not established yet when the recording ended, most of them first. */
export function connectingRows(
  profile: Profile,
  counts: (process: number) => boolean = () => true,
): ConnectingSummary[] {
  const nameOf = endpointNames(profile);
  return (profile.final?.connecting ?? [])
    .filter(({ process, count }) => count > 0 && counts(process))
    .map(({ process, endpoint, count, unanswered, sentAgain, maxNs }) => {
      const { name, network } = nameOf(endpoint);
      return {
        ...{ ...holder(profile, process), endpoint, name, network, connecting: count },
        ...{ connectingUnanswered: unanswered, connectingSentAgain: sentAgain, connectingMaxNs: maxNs },
      };
    })
    .sort((a, b) => b.connecting - a.connecting);
}

/** Connections that were in CLOSE-WAIT both at the beginning and at the end, most first. */
export function closeWaitRows(
  profile: Profile,
  counts: (process: number) => boolean = () => true,
): CloseWaitSummary[] {
  const nameOf = endpointNames(profile);
  return (profile.final?.closeWaits ?? [])
    .filter(({ process, count }) => count > 0 && counts(process))
    .map(({ process, endpoint, count, fd }) => {
      return { ...holder(profile, process), endpoint, name: nameOf(endpoint).name, count, fd };
    })
    .sort((a, b) => b.count - a.count);
}

/** Listening sockets for which connections waited to be accepted at the end, the longest queue first. */
export function listenQueueRows(
  profile: Profile,
  counts: (process: number) => boolean = () => true,
): ListenQueueSummary[] {
  const nameOf = endpointNames(profile);
  return (profile.final?.listenQueues ?? [])
    .filter(({ process, length }) => length > 0 && counts(process))
    .map(({ process, endpoint, length, capacity }) => {
      return { ...holder(profile, process), endpoint, name: nameOf(endpoint).name, length, capacity };
    })
    .sort((a, b) => b.length - a.length);
}

/** Who has a socket open; -1 is nobody that was found. */
function holder(profile: Profile, process: number): SocketOwner {
  const owner = socketOwner(profile, process);
  return process < 0 ? { ...owner, comm: "(not known)" } : owner;
}

function push<Row>(map: Map<number, Row[]>, key: number, row: Row): void {
  const rows = map.get(key);
  if (rows === undefined) map.set(key, [row]);
  else rows.push(row);
}

const size = ({ connects, connectsFailed, connecting, accepted, closes }: TcpSummary): number =>
  connects + connectsFailed + connecting + accepted + closes;

type User = SocketOwner & Pick<EndpointSummary, "count">;

/** Processes of one name together, most calls first. */
function ownersOf(users: readonly User[]): SocketOwner[] {
  const programs = new Map<string, User[]>();
  for (const row of users) {
    const key = programKey(row);
    const rows = programs.get(key);
    if (rows === undefined) programs.set(key, [row]);
    else rows.push(row);
  }
  const calls = (rows: readonly User[]) => rows.reduce((sum, { count }) => sum + count, 0);
  return [...programs.values()]
    .sort((a, b) => calls(b) - calls(a))
    .map((rows) => {
      const { process, pid, comm, self } = rows[0]!;
      return { process, pid, comm, self, processes: new Set(rows.map((row) => row.process)).size };
    });
}

/** Rows of one end; there are several only in a damaged capture. */
function together(
  rows: readonly TcpTotal[],
): Omit<TcpSummary, "endpoint" | "name" | "role" | "owners" | keyof Queue | keyof Connecting> {
  const sum = (value: (row: TcpTotal) => number) => rows.reduce((total, row) => total + value(row), 0);
  const connectBuckets = addBuckets(rows.map((row) => row.connectBuckets));
  const connectSumNs = sum((row) => row.connectSumNs);
  const connectMaxNs = rows.reduce((most, row) => Math.max(most, row.connectMaxNs), 0);
  return {
    connects: sum((row) => row.connects),
    connectsFailed: sum((row) => row.connectsFailed),
    connectsUnanswered: sum((row) => row.connectsUnanswered),
    connectsFailedNs: sum((row) => row.connectsFailedNs),
    connectSumNs,
    connectP50Ns: percentileOf(connectBuckets, connectMaxNs, 0.5, connectSumNs),
    connectP99Ns: percentileOf(connectBuckets, connectMaxNs, 0.99, connectSumNs),
    connectMaxNs,
    connectBuckets,
    accepted: sum((row) => row.accepted),
    closes: sum((row) => row.closes),
    resetsSent: sum((row) => row.resetsSent),
    resetsReceived: sum((row) => row.resetsReceived),
    retransmits: sum((row) => row.retransmits),
  };
}
