// Processes whose sockets only grow, and those that leave connections in CLOSE-WAIT: the measures that two rules share, so
// that a leak is told once.
import type { CloseWaitRow, SocketCountRow } from "../capture/binding.js";
import type { Profile } from "../model/profile.js";
import { CLOSE_WAIT, SOCKET_GROWTH } from "./thresholds.js";

export interface Growth {
  readonly process: number;
  readonly opened: number;
  readonly closed: number;
  /** By how much the number of open sockets grew, or of open descriptors where that is known. */
  readonly more: number;
  readonly counted: "sockets" | "descriptors";
  /** Spans of so many seconds in which it rose, of all. */
  readonly spanSeconds: number;
  readonly risingShare: number;
  /** Whether the process had ended before the recording did; then all of this is of its life. */
  readonly ended: boolean;
  /** In which time it grew by so much, ns. */
  readonly grewNs: number;
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
    .flatMap(([process, rows]) => growthOf(process, rows, profile.durationNs) ?? [])
    .sort((a, b) => b.more - a.more);
}

/**
 * Of the open descriptors where they are known: calls of close are also made on copies of a descriptor, and some programs close
 * many at once, which no call of close tells. Each that it has more must be a socket that it opened. Where they are not known only
 * a process that closes hardly any is told. One that has none at the last of its counts had ended by then: a leak may end so.
 */
function growthOf(process: number, rows: readonly SocketCountRow[], durationNs: number): Growth | undefined {
  const known = rows.filter(({ descriptors }) => descriptors > 0);
  const ended = known.length > 0 && rows.at(-1)!.descriptors === 0;
  // many programs close all that they have on their way out
  const { opened, closed } = ended ? known.at(-1)! : rows.at(-1)!;
  const lastedNs = ended ? Math.round(known.at(-1)!.timeNs / 1e9) * 1e9 : durationNs;
  const closesFew = closed < opened * SOCKET_GROWTH.closedShare;
  const counted = known.length >= 2 ? "descriptors" : "sockets";
  const first = known[0]?.descriptors ?? 0;
  const rises =
    counted === "descriptors"
      ? risesOf(known, lastedNs, ({ descriptors }) => descriptors - first).slice(1)
      : risesOf(rows, lastedNs, (row) => row.opened - row.closed);
  const more = sum(rises);
  if (counted === "sockets" ? !closesFew : more > opened) return undefined;
  if (more < SOCKET_GROWTH.least) return undefined;
  // the first second of the descriptors is that of the first count
  const uncounted = counted === "descriptors" ? 1 : 0;
  const least = closesFew ? SOCKET_GROWTH.minIntervals : SOCKET_GROWTH.minIntervalsClosing;
  const grewNs = counted === "descriptors" ? betweenCounts(known, lastedNs) : lastedNs;
  for (const spanSeconds of SOCKET_GROWTH.spanSeconds) {
    const spans = inSpans(rises, spanSeconds);
    if (spans.length + (spanSeconds === 1 ? uncounted : 0) < least) return undefined;
    if (grows(spans, spanSeconds)) {
      const told = { opened, closed, more, counted, ended, grewNs } as const;
      return { process, ...told, spanSeconds, risingShare: risingShare(spans) };
    }
  }
  return undefined;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** The last spans of the recording, all of one length: what does not fill one is left out at the beginning. */
const inSpans = (rises: readonly number[], seconds: number): number[] =>
  Array.from({ length: Math.floor(rises.length / seconds) }, (_, i) => {
    const end = rises.length - (Math.floor(rises.length / seconds) - 1 - i) * seconds;
    return sum(rises.slice(end - seconds, end));
  });

const risingShare = (rises: readonly number[]): number =>
  rises.filter((rise) => rise > 0).length / Math.max(1, rises.length);

function grows(rises: readonly number[], seconds: number): boolean {
  // What a server opens at once when it warms up, or when its clients come, is no growth: the largest rise is left out.
  const steady = sum(rises) - rises.reduce((most, rise) => Math.max(most, rise), 0);
  return (
    steady >= SOCKET_GROWTH.perSecond * seconds * (rises.length - 1) &&
    risingShare(rises) >= SOCKET_GROWTH.risingShare
  );
}

/** The time between the two counts of descriptors by which the sum of all rises but that of the first second is known, ns. */
function betweenCounts(rows: readonly SocketCountRow[], durationNs: number): number {
  const first = rows.findLast(({ timeNs }) => timeNs <= GRACE_NS + 1e9) ?? rows[0]!;
  const last =
    rows.findLast(({ timeNs }) => timeNs <= Math.floor(durationNs / 1e9) * 1e9 + GRACE_NS) ?? first;
  return last.timeNs - first.timeNs;
}

/** The counts come about once a second: half a second of grace keeps each in its own. */
const GRACE_NS = 500e6;

/** By how much a number rose in each second of the recording. */
function risesOf(
  rows: readonly SocketCountRow[],
  durationNs: number,
  value: (row: SocketCountRow) => number,
): number[] {
  let at = 0;
  let before = 0;
  return Array.from({ length: Math.floor(durationNs / 1e9) }, (_, second) => {
    let now = before;
    while (at < rows.length && rows[at]!.timeNs <= (second + 1) * 1e9 + GRACE_NS) now = value(rows[at++]!);
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
