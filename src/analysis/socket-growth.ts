// Processes whose sockets only grow, and those that leave connections in CLOSE-WAIT: the measures that two rules share, so
// that a leak is told once.
import type { CloseWaitRow, SocketCountRow } from "../capture/binding.js";
import type { Profile } from "../model/profile.js";
import { CLOSE_WAIT, SOCKET_GROWTH } from "./thresholds.js";

export interface Growth {
  readonly process: number;
  readonly opened: number;
  readonly closed: number;
  /** Seconds in which the number of open sockets rose, of all. */
  readonly risingShare: number;
}

/** Processes whose sockets only grow, the largest growth first. lowflame's own are left out. */
export function growths(profile: Profile): Growth[] {
  const byProcess = new Map<number, SocketCountRow[]>();
  for (const row of profile.socketCounts) {
    const process = profile.processes[row.process];
    if (process === undefined || process.self) continue;
    const rows = byProcess.get(process.id);
    if (rows === undefined) byProcess.set(process.id, [row]);
    else rows.push(row);
  }
  return [...byProcess]
    .map(([process, rows]) => ({ process, last: rows.at(-1)!, rises: risesOf(rows, profile.durationNs) }))
    .filter(({ last, rises }) => grows(last, rises))
    .sort((a, b) => open(b.last) - open(a.last))
    .map(({ process, last: { opened, closed }, rises }) => ({
      ...{ process, opened, closed },
      risingShare: risingShare(rises),
    }));
}

const open = ({ opened, closed }: SocketCountRow): number => opened - closed;
const risingShare = (rises: readonly number[]): number =>
  rises.filter((rise) => rise > 0).length / Math.max(1, rises.length);

function grows(last: SocketCountRow, rises: readonly number[]): boolean {
  // What a server opens at once when it warms up, or when its clients come, is no growth: the largest second is left out.
  const steady = open(last) - rises.reduce((most, rise) => Math.max(most, rise), 0);
  return (
    rises.length >= SOCKET_GROWTH.minIntervals &&
    open(last) >= SOCKET_GROWTH.least &&
    steady >= SOCKET_GROWTH.perSecond * (rises.length - 1) &&
    last.closed < last.opened * SOCKET_GROWTH.closedShare &&
    risingShare(rises) >= SOCKET_GROWTH.risingShare
  );
}

/** By how much the number of open sockets rose in each second of the recording. */
function risesOf(rows: readonly SocketCountRow[], durationNs: number): number[] {
  let at = 0;
  let before = 0;
  return Array.from({ length: Math.floor(durationNs / 1e9) }, (_, second) => {
    let now = before;
    // The counts come about once a second: half a second of grace keeps each in its own.
    while (at < rows.length && rows[at]!.timeNs <= (second + 1.5) * 1e9) now = open(rows[at++]!);
    const rise = now - before;
    before = now;
    return rise;
  });
}

/** Connections of one process that were in CLOSE-WAIT for the whole recording, by end. */
export interface LeftOpen {
  /** -1: no process is known that has them open. */
  readonly process: number;
  readonly count: number;
  /** Most connections first. */
  readonly rows: readonly CloseWaitRow[];
}

/** Enough of them, in a recording that is long enough, to be told; most first. lowflame's own are left out. */
export function leftOpen(profile: Profile): LeftOpen[] {
  if (profile.durationNs < CLOSE_WAIT.minDurationNs) return [];
  const byProcess = new Map<number, CloseWaitRow[]>();
  for (const row of profile.final?.closeWaits ?? []) {
    const process = profile.processes[row.process];
    if (process?.self) continue;
    // A process that changed its name has several ids.
    const id = process?.id ?? -1;
    const rows = byProcess.get(id);
    if (rows === undefined) byProcess.set(id, [row]);
    else rows.push(row);
  }
  return [...byProcess]
    .map(([process, rows]) => ({
      ...{ process, rows: rows.toSorted((a, b) => b.count - a.count) },
      count: rows.reduce((sum, { count }) => sum + count, 0),
    }))
    .filter(({ count }) => count >= CLOSE_WAIT.info)
    .sort((a, b) => b.count - a.count);
}
