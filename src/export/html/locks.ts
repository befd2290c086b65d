// The locks of a report, kernel locks or futexes: one row a lock from the exact totals, and the rows of sampled waits with
// their lock.

import { othersOf } from "../../analysis/futex-conditions.js";
import { type LockSummary, lockSummaries } from "../../analysis/lock-summary.js";
import type { LockSource } from "../../capture/sample-sources.js";
import type { Profile, WeightTable } from "../../model/profile.js";
import type { ReportLock } from "./document.js";

export interface LockIndex {
  /** Longest total first; those that are no contention last. */
  readonly rows: readonly ReportLock[];
  /** Index into `rows` for each row of weights; -1 where the lock has no row. */
  column(table: WeightTable): Int32Array;
}

/** The locks of a source as the report shows them. */
export function lockIndex(profile: Profile, source: LockSource): LockIndex {
  const all = lockSummaries(profile, source);
  const summaries = [
    ...all.filter(({ contention }) => contention),
    ...all.filter(({ contention }) => !contention),
  ];
  const places = new Map(summaries.flatMap(({ locks }, place) => locks.map((lock) => [lock, place])));
  // A sampled wait whose lock found no row in the kernel's table was counted into the row of the others.
  const others = (lock: number): number => places.get(othersOf(source, profile.locks[lock])) ?? -1;
  return {
    rows: summaries.map((summary) => lockRow(profile, summary)),
    column: ({ count, lock }) =>
      Int32Array.from({ length: count }, (_, row) => {
        const id = lock?.[row] ?? -1;
        return places.get(id) ?? others(id);
      }),
  };
}

function lockRow(profile: Profile, summary: LockSummary): ReportLock {
  // What found no row in the kernel's table may be of any kind.
  const kind = summary.lock < 0 ? "any" : summary.kind;
  const { name, contention, count, sumNs, maxNs, p50Ns, p99Ns, buckets, callers, owners } = summary;
  const { timeouts, threads, atOnce, samples, relativeError } = summary;
  const waiters = waitersByName(profile, summary.waiters);
  return {
    ...{ name, kind, contention, waits: count, timeouts, threads, atOnce },
    ...{ sumNs, maxNs, p50Ns, p99Ns, buckets, waiters },
    callers: callers.map((row) => ({ name: row.name, share: row.share })),
    owners: owners.map((row) => ({ name: row.name, share: row.share })),
    ...{ samples, relativeError },
  };
}

/** Workers of one program as one waiter. */
function waitersByName(profile: Profile, waiters: LockSummary["waiters"]): ReportLock["waiters"] {
  const byName = new Map<string, { name: string; processes: number; waits: number; sumNs: number }>();
  for (const { process, count, sumNs } of waiters) {
    const row = process < 0 ? undefined : profile.processes[process];
    const name =
      row === undefined ? "(other processes)" : row.self ? `${row.comm} (lowflame itself)` : row.comm;
    const sum = byName.get(name) ?? { name, processes: 0, waits: 0, sumNs: 0 };
    sum.processes++;
    sum.waits += count;
    sum.sumNs += sumNs;
    byName.set(name, sum);
  }
  return [...byName.values()].sort((a, b) => b.sumNs - a.sumNs);
}
