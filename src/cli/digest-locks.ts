// Kernel locks and user locks as rows, those that were waited for longest first, without lowflame's own waits. Pure.
import {
  type LockSummary,
  lockSummaries,
  locksRecorded,
  lockTotalsExact,
  notSelf,
} from "../analysis/lock-summary.js";
import type { Profile } from "../model/profile.js";
import type { FutexJson, LockJson, LocksJson, UserLockJson } from "./json.js";
import { histogramJson } from "./json-histogram.js";

/**
 * @param limit number of locks
 * @returns null where waits for kernel locks were not recorded
 */
export function digestLocks(profile: Profile, limit: number): LocksJson | null {
  if (!locksRecorded(profile, "locks")) return null;
  const locks = lockSummaries(profile, "locks", notSelf(profile));
  const exact = profile.final !== null && (lockTotalsExact(profile, "locks") || locks.length === 0);
  return { exact, ...listOf(locks, limit, (lock) => lockJson(profile, lock)) };
}

/**
 * @param limit number of locks, and of conditions
 * @returns null where waits for futexes were not recorded
 */
export function digestFutex(profile: Profile, limit: number): FutexJson | null {
  if (!locksRecorded(profile, "futex")) return null;
  const all = lockSummaries(profile, "futex", notSelf(profile));
  const exact = profile.final !== null && (lockTotalsExact(profile, "futex") || all.length === 0);
  const part = (contention: boolean) =>
    listOf(
      all.filter((lock) => lock.contention === contention),
      limit,
      (lock) => userLockJson(profile, lock),
    );
  return { exact, ...part(true), conditions: part(false) };
}

function listOf<Row>(locks: readonly LockSummary[], limit: number, rowOf: (lock: LockSummary) => Row) {
  const sum = (value: (lock: LockSummary) => number) => locks.reduce((total, lock) => total + value(lock), 0);
  return {
    waits: sum(({ count }) => count),
    sumNs: sum(({ sumNs }) => sumNs),
    samples: sum(({ samples }) => samples),
    lockCount: locks.length,
    locks: locks.slice(0, limit).map(rowOf),
  };
}

function userLockJson(profile: Profile, summary: LockSummary): UserLockJson {
  const { timeouts, threads, atOnce } = summary;
  return { ...lockJson(profile, summary), timeouts, waitingThreads: threads, waitersAtOnce: atOnce ?? 0 };
}

function lockJson(profile: Profile, summary: LockSummary): LockJson {
  const row = profile.locks[summary.lock];
  const { name, count, sumNs, p50Ns, p99Ns, maxNs, callers, owners, samples, relativeError } = summary;
  return {
    name,
    kind: row === undefined ? null : summary.kind,
    address: row === undefined || row.address === 0n ? null : `0x${row.address.toString(16)}`,
    waits: count,
    ...{ sumNs, p50Ns, p99Ns, maxNs },
    histogram: histogramJson(summary.buckets),
    waiters: summary.waiters.map((waiter) => {
      const process = profile.processes[waiter.process];
      return {
        pid: process?.pid ?? null,
        process: process?.comm ?? (waiter.process < 0 ? "(other)" : "(unknown)"),
        waits: waiter.count,
        sumNs: waiter.sumNs,
      };
    }),
    ...{ callers, owners, samples, relativeError },
  };
}
