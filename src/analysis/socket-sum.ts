// Rows of socket calls and of other ends, and their sums: the rows of one process, or of all processes of one program,
// since the workers of a proxy share one story. Pure, so that the page sums up what it shows by the same rules.
import type { EndpointRole } from "../capture/sockets.js";
import { percentile } from "../model/histogram.js";
import { ns } from "../model/units.js";
import { fullestQueue, type Queue } from "./tcp-sum.js";

/** Whose sockets: one process, or all processes of one name. */
export interface SocketOwner {
  /** Id in the profile; -1 for processes without a row of their own. Of several the first. */
  readonly process: number;
  /** Null for processes without a row of their own. Of several the first. */
  readonly pid: number | null;
  readonly comm: string;
  readonly self: boolean;
  readonly processes: number;
}

/** In place of the name of a process that had ended before anybody read it (native/session/finish.cc). */
const NAMELESS = "?";

/** What the processes of one program have in common: their name; of one without a name nothing is known, it is one by itself. */
export const programKey = ({ self, comm, process }: Omit<SocketOwner, "pid" | "processes">): string =>
  JSON.stringify(comm === NAMELESS ? [self, comm, process] : [self, comm]);

/** Where the time of calls went: they are busy in the kernel, blocked, or ready to run and without a CPU. */
export interface SocketTimes {
  readonly count: number;
  readonly totalNs: number;
  readonly busyNs: number;
  readonly blockedNs: number;
  readonly waitingNs: number;
  readonly maxNs: number;
  readonly p50Ns: number;
  readonly p99Ns: number;
  readonly buckets: readonly number[];
}

export interface ErrorCount {
  readonly name: string;
  readonly count: number;
}

export interface CallSummary extends SocketOwner, SocketTimes {
  /** "recvfrom"; "other calls" for those without a row of their own. */
  readonly call: string;
  /** Whether it is one in which a program waits for events: kept apart everywhere. */
  readonly waiting: boolean;
  readonly bytes: number;
  readonly errors: number;
  /** By name, most first; "other" for errors that found no place in the kernel's table. */
  readonly byError: readonly ErrorCount[];
  /** Of the busy part of each call. */
  readonly busyBuckets: readonly number[];
}

/** A user function that makes socket calls. */
export interface SocketCaller {
  readonly name: string;
  /** File name of its module, "tcp-life"; "" where it has none, as code that was compiled at run time. */
  readonly module: string;
  /** Of the stacks that name a caller. */
  readonly share: number;
}

/** "ask_in_vain (tcp-life)"; a function without a name is called by its file already. */
export const callerText = ({ name, module }: Omit<SocketCaller, "share">): string =>
  module === "" || name === module || name.startsWith(`${module}+0x`) ? name : `${name} (${module})`;

/** Times from a question to its answer, see EndpointTotal. */
export interface Turns {
  readonly turns: number;
  readonly turnSumNs: number;
  readonly turnMaxNs: number;
  readonly turnP50Ns: number;
  readonly turnP99Ns: number;
  readonly turnBuckets: readonly number[];
  /** To the last bytes of the answers; zero and no buckets where that is not known. */
  readonly wholeSumNs: number;
  readonly wholeMaxNs: number;
  readonly wholeP50Ns: number;
  readonly wholeP99Ns: number;
  readonly wholeBuckets: readonly number[];
  /** Of answers that had begun: more than a tick of the kernel until they went on. */
  readonly pauses: number;
  /** Reads of answers that had lain in the socket, and for how long at least; in none of the times above. */
  readonly lateReads: number;
  readonly lateSumNs: number;
  readonly lateMaxNs: number;
  /** What the threads that read did meanwhile, see EndpointTotal. */
  readonly latePassedNs: number;
  readonly lateAwakeNs: number;
  readonly lateSleptNs: number;
  /** Of `turns`: questions without an answer, whose connection was closed after so long or which were open at the end. */
  readonly unanswered: number;
  readonly unansweredSumNs: number;
}

/** Questions in no `turns` whose connection was closed without an answer, and of which it is not known whether one was wanted. */
export interface Closed {
  readonly closed: number;
  readonly closedSumNs: number;
  readonly closedMaxNs: number;
  readonly closedBuckets: readonly number[];
}

type Percentiles = "turnP50Ns" | "turnP99Ns" | "wholeP50Ns" | "wholeP99Ns";

export interface EndpointSummary extends SocketOwner, SocketTimes, Turns, Closed, Queue {
  /** Index into Profile.endpoints; -1 for ends without a row of their own. */
  readonly endpoint: number;
  readonly name: string;
  readonly role: EndpointRole;
  readonly protocol: string;
  /** See EndpointRow. */
  readonly network: number;
  readonly bytesOut: number;
  readonly bytesIn: number;
  /** EAGAIN is none. */
  readonly errors: number;
  readonly again: number;
}

/** Longest total first; where nothing is spent, most calls first. */
export const byTotal = (a: SocketTimes, b: SocketTimes): number => b.totalNs - a.totalNs || b.count - a.count;

/** One row a program and call, longest total first. */
export const callsByProgram = (rows: readonly CallSummary[]): CallSummary[] =>
  callsTogether(rows, (row) => `${programKey(row)} ${row.call}`);

/** One row a program and other end, longest total first. */
export const endpointsByProgram = (rows: readonly EndpointSummary[]): EndpointSummary[] =>
  endpointsTogether(rows, (row) => JSON.stringify([programKey(row), row.name, row.role, row.protocol]));

/** Rows of one key as one row. */
export const callsTogether = (
  rows: readonly CallSummary[],
  keyOf: (row: CallSummary) => string,
): CallSummary[] =>
  groups(rows, keyOf)
    .map((group) =>
      group.length === 1
        ? group[0]!
        : {
            ...group[0]!,
            ...ownerTogether(group),
            ...timesTogether(group),
            bytes: sum(group, (row) => row.bytes),
            errors: sum(group, (row) => row.errors),
            byError: errorsTogether(group.flatMap((row) => row.byError)),
            busyBuckets: addBuckets(group.map((row) => row.busyBuckets)),
          },
    )
    .sort(byTotal);

export const endpointsTogether = (
  rows: readonly EndpointSummary[],
  keyOf: (row: EndpointSummary) => string,
): EndpointSummary[] =>
  groups(rows, keyOf)
    .map((group) =>
      group.length === 1
        ? group[0]!
        : {
            ...group[0]!,
            ...ownerTogether(group),
            ...timesTogether(group),
            ...turnsTogether(group),
            ...closedTogether(group),
            bytesOut: sum(group, (row) => row.bytesOut),
            bytesIn: sum(group, (row) => row.bytesIn),
            errors: sum(group, (row) => row.errors),
            again: sum(group, (row) => row.again),
            ...fullestQueue(group),
          },
    )
    .sort(byTotal);

/** Counts of one name together, most first. */
export function errorsTogether(rows: readonly ErrorCount[]): ErrorCount[] {
  const sums = new Map<string, number>();
  for (const { name, count } of rows) sums.set(name, (sums.get(name) ?? 0) + count);
  return [...sums].map(([name, count]) => ({ name, count })).sort((a, b) => b.count - a.count);
}

/** Total and percentiles to what was counted. */
export function timesOf(raw: Omit<SocketTimes, "totalNs" | "p50Ns" | "p99Ns">): SocketTimes {
  const { count, busyNs, blockedNs, waitingNs, maxNs, buckets } = raw;
  return {
    ...{ count, totalNs: busyNs + blockedNs + waitingNs, busyNs, blockedNs, waitingNs, maxNs, buckets },
    p50Ns: percentileOf(buckets, maxNs, 0.5, busyNs + blockedNs + waitingNs),
    p99Ns: percentileOf(buckets, maxNs, 0.99, busyNs + blockedNs + waitingNs),
  };
}

export function turnsOf(raw: Omit<Turns, Percentiles>): Turns {
  const { turns, turnSumNs, turnMaxNs, turnBuckets, wholeSumNs, wholeMaxNs, wholeBuckets } = raw;
  const { pauses, lateReads, lateSumNs, lateMaxNs, latePassedNs, lateAwakeNs, lateSleptNs } = raw;
  const { unanswered, unansweredSumNs } = raw;
  return {
    ...{ turns, turnSumNs, turnMaxNs, turnBuckets, wholeSumNs, wholeMaxNs, wholeBuckets },
    turnP50Ns: percentileOf(turnBuckets, turnMaxNs, 0.5, turnSumNs),
    turnP99Ns: percentileOf(turnBuckets, turnMaxNs, 0.99, turnSumNs),
    wholeP50Ns: percentileOf(wholeBuckets, wholeMaxNs, 0.5, wholeSumNs),
    wholeP99Ns: percentileOf(wholeBuckets, wholeMaxNs, 0.99, wholeSumNs),
    ...{ pauses, lateReads, lateSumNs, lateMaxNs, latePassedNs, lateAwakeNs, lateSleptNs },
    ...{ unanswered, unansweredSumNs },
  };
}

/** Sum of turns. */
export const turnsTogether = (rows: readonly Omit<Turns, Percentiles>[]): Turns =>
  turnsOf({
    turns: sum(rows, (row) => row.turns),
    turnSumNs: sum(rows, (row) => row.turnSumNs),
    turnMaxNs: most(rows, (row) => row.turnMaxNs),
    turnBuckets: addBuckets(rows.map((row) => row.turnBuckets)),
    wholeSumNs: sum(rows, (row) => row.wholeSumNs),
    wholeMaxNs: most(rows, (row) => row.wholeMaxNs),
    wholeBuckets: addBuckets(rows.map((row) => row.wholeBuckets)),
    pauses: sum(rows, (row) => row.pauses),
    lateReads: sum(rows, (row) => row.lateReads),
    lateSumNs: sum(rows, (row) => row.lateSumNs),
    lateMaxNs: most(rows, (row) => row.lateMaxNs),
    latePassedNs: sum(rows, (row) => row.latePassedNs),
    lateAwakeNs: sum(rows, (row) => row.lateAwakeNs),
    lateSleptNs: sum(rows, (row) => row.lateSleptNs),
    unanswered: sum(rows, (row) => row.unanswered),
    unansweredSumNs: sum(rows, (row) => row.unansweredSumNs),
  });

const closedTogether = (rows: readonly Closed[]): Closed => ({
  closed: sum(rows, (row) => row.closed),
  closedSumNs: sum(rows, (row) => row.closedSumNs),
  closedMaxNs: most(rows, (row) => row.closedMaxNs),
  closedBuckets: addBuckets(rows.map((row) => row.closedBuckets)),
});

/** Value below which the fraction `p` of what is in a histogram lies, ns; 0 for an empty one. `sumNs`: see `percentile`. */
export const percentileOf = (buckets: readonly number[], maxNs: number, p: number, sumNs?: number): number =>
  percentile({ buckets, maxNs: ns(maxNs) }, p, sumNs);

/** Sum of histograms of one layout. */
export function addBuckets(all: readonly (readonly number[])[]): number[] {
  const length = all.reduce((longest, each) => Math.max(longest, each.length), 0);
  const buckets = new Array<number>(length).fill(0);
  for (const each of all) for (let i = 0; i < each.length; i++) buckets[i]! += each[i]!;
  return buckets;
}

function groups<Row>(rows: readonly Row[], keyOf: (row: Row) => string): Row[][] {
  const byKey = new Map<string, Row[]>();
  for (const row of rows) {
    const key = keyOf(row);
    const group = byKey.get(key);
    if (group === undefined) byKey.set(key, [row]);
    else group.push(row);
  }
  return [...byKey.values()];
}

const ownerTogether = (group: readonly SocketOwner[]): Pick<SocketOwner, "processes"> => ({
  processes: new Set(group.map(({ process }) => process)).size,
});

const timesTogether = (group: readonly SocketTimes[]): SocketTimes =>
  timesOf({
    count: sum(group, (row) => row.count),
    busyNs: sum(group, (row) => row.busyNs),
    blockedNs: sum(group, (row) => row.blockedNs),
    waitingNs: sum(group, (row) => row.waitingNs),
    maxNs: most(group, (row) => row.maxNs),
    buckets: addBuckets(group.map((row) => row.buckets)),
  });

const sum = <Row>(rows: readonly Row[], value: (row: Row) => number): number =>
  rows.reduce((total, row) => total + value(row), 0);
const most = <Row>(rows: readonly Row[], value: (row: Row) => number): number =>
  rows.reduce((largest, row) => Math.max(largest, value(row)), 0);
