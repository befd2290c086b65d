// Rows of TCP connections by end, whoever uses them, and queues of listening sockets. Pure, so that the page may use it.
import type { EndpointRole } from "../capture/sockets.js";
import { bucketBounds } from "../model/histogram.js";
import type { SocketOwner } from "./socket-sum.js";

/** Connections that wait to be accepted, as those who accept saw it. */
export interface Queue {
  readonly queueMax: number;
  /** How many may wait; 0 where it is not known. */
  readonly queueLimit: number;
}

/** Connections that were not established yet when the recording ended. */
export interface Connecting {
  readonly connecting: number;
  /** Of them those whose request was sent again, which Linux does after one second: nobody has answered it. */
  readonly connectingUnanswered: number;
  /** How often requests of these were sent again, also before the recording. */
  readonly connectingSentAgain: number;
  /** Age of the oldest. */
  readonly connectingMaxNs: number;
}

export interface TcpSummary extends Queue, Connecting {
  /** Index into Profile.endpoints; -1 for ends without a row of their own. */
  readonly endpoint: number;
  readonly name: string;
  readonly role: EndpointRole;
  /** Programs that made calls on it, most calls first; empty where nobody was seen. */
  readonly owners: readonly SocketOwner[];
  readonly connects: number;
  readonly connectsFailed: number;
  /** Of these, those that nobody answered. */
  readonly connectsUnanswered: number;
  /** Until they failed, of those whose beginning was seen. */
  readonly connectsFailedNs: number;
  /** Of those whose beginning was seen. */
  readonly connectSumNs: number;
  readonly connectP50Ns: number;
  readonly connectP99Ns: number;
  readonly connectMaxNs: number;
  readonly connectBuckets: readonly number[];
  readonly accepted: number;
  readonly closes: number;
  readonly resetsSent: number;
  readonly resetsReceived: number;
  readonly retransmits: number;
}

/** Connections of one process to one end that were not established yet at the end. */
export interface ConnectingSummary extends SocketOwner, Connecting {
  readonly endpoint: number;
  readonly name: string;
  /** See EndpointRow. */
  readonly network: number;
}

/** Connections of one process at one end that were in CLOSE-WAIT for the whole recording. */
export interface CloseWaitSummary extends SocketOwner {
  readonly endpoint: number;
  readonly name: string;
  readonly count: number;
  /** One of them; -1 where it is not known. */
  readonly fd: number;
}

/** A listening socket for which connections waited to be accepted when the recording ended. */
export interface ListenQueueSummary extends SocketOwner {
  readonly endpoint: number;
  readonly name: string;
  readonly length: number;
  /** How many it holds before the next is refused; 0 where it is not known. */
  readonly capacity: number;
}

/** From this length on a queue is worth a line even where none was found full: a program that accepts in time has a few at most. */
const LONG_QUEUE = 10;

/** Whether connections that wait to be accepted are worth a line: on any busy machine some do for a moment. */
export const isToldQueue = (length: number, listenOverflows: number): boolean =>
  listenOverflows > 0 || length >= LONG_QUEUE;

/** How much of a queue was taken: 1 and more is full; 0 where it is not known. */
export const fillOf = ({ queueMax, queueLimit }: Queue): number =>
  queueLimit > 0 ? queueMax / queueLimit : 0;

/** The fullest of several queues. */
export function fullestQueue(rows: readonly Queue[]): Queue {
  let fullest: Queue = { queueMax: 0, queueLimit: 0 };
  for (const row of rows)
    if (row.queueLimit > 0 && (fullest.queueLimit === 0 || fillOf(row) > fillOf(fullest))) fullest = row;
  return { queueMax: fullest.queueMax, queueLimit: fullest.queueLimit };
}

/** Connections of which it is known how long they took to be established. */
export const timedConnects = ({ connectBuckets }: Pick<TcpSummary, "connectBuckets">): number =>
  connectBuckets.reduce((sum, count) => sum + count, 0);

/** How many of them took at least so long, by whole buckets. */
export const connectsFrom = (
  { connectBuckets }: Pick<TcpSummary, "connectBuckets">,
  lowestNs: number,
): number =>
  connectBuckets.reduce((sum, count, index) => sum + (bucketBounds(index).low >= lowestNs ? count : 0), 0);

/** Sum of rows. */
export function connectingTogether(rows: readonly Connecting[]): Connecting {
  const sum = (value: (row: Connecting) => number) => rows.reduce((total, row) => total + value(row), 0);
  return {
    connecting: sum((row) => row.connecting),
    connectingUnanswered: sum((row) => row.connectingUnanswered),
    connectingSentAgain: sum((row) => row.connectingSentAgain),
    connectingMaxNs: rows.reduce((most, row) => Math.max(most, row.connectingMaxNs), 0),
  };
}

/** Connections that nobody answered: given up, or not yet. */
export const unanswered = (row: Pick<TcpSummary, "connectsUnanswered" | "connectingUnanswered">): number =>
  row.connectsUnanswered + row.connectingUnanswered;

/** How often something went wrong: failed, not answered, broken off, sent again; and whether a queue was full. */
export const troubles = (row: Omit<TcpSummary, "name" | "role" | "owners" | "endpoint">): number =>
  row.connectsFailed +
  row.connectingUnanswered +
  row.resetsSent +
  row.resetsReceived +
  row.retransmits +
  (fillOf(row) >= 1 ? row.queueMax : 0);

/** "nginx (pid 80)", "nginx (4 processes), haproxy (pid 9)"; "" where nobody is known. Names are as the machine has them. */
export const ownersText = (owners: readonly SocketOwner[]): string =>
  owners
    .map(({ comm, pid, processes }) => {
      if (processes > 1) return `${comm} (${processes} processes)`;
      return pid === null ? comm : `${comm} (pid ${pid})`;
    })
    .join(", ");
