// What a recording holds of locks: their kinds and rows, and the exact waits for each.
import type { Nanoseconds } from "../model/units.js";

/**
 * Kinds of locks; index = `LockRow.kind`. Kernel locks from the flags of the tracepoint contention_begin; from
 * FIRST_FUTEX_KIND on futexes, told apart by operation and expected value: "user lock" where a waiter expects a value that
 * glibc, musl, Go and Rust give a lock with waiters (2, 3, or with bit 30 or 31); a condition variable, semaphore, join or
 * parked worker expects something else and is no contention. "user lock, read-write" is Rust's, told by the words in memory.
 * A row of tables that comes again under its id, with another kind, is what was found out since: the last one holds.
 */
export const LOCK_KINDS = [
  "spin lock",
  "rwlock, read",
  "rwlock, write",
  "rwsem, read",
  "rwsem, write",
  "rt mutex",
  "percpu rwsem, read",
  "percpu rwsem, write",
  "mutex",
  "user lock",
  "user lock, priority inheritance",
  "user condition or idle wait",
  "user lock, read-write",
] as const;
/** Index into LOCK_KINDS of the first kind of the source `futex`. */
export const FIRST_FUTEX_KIND = 9;
export type LockKind = (typeof LOCK_KINDS)[number];

/** A kernel lock or futex that somebody waited for: one row an address and kind (for a futex: and process). */
export interface LockRow {
  readonly id: number;
  /** Index into LOCK_KINDS. */
  readonly kind: number;
  /** 0: not known, since the wait began before the recording and did not end in it. */
  readonly address: bigint;
  /**
   * What the kernel tells of it: the symbol of a static lock ("tasklist_lock"), "mmap_lock of nginx (pid 80)", "run queue
   * of CPU 3", "in a filp object" (slab cache); "" where nothing is known: then only its callers tell. For a futex:
   * "futex 0x7f12… of redis-server (pid 80)".
   */
  readonly name: string;
}

/** Exact waits for one kernel lock or futex by one process (not sampled). Buckets as in RunQueueRow. */
export interface LockTotal {
  /** Id of a `LockRow`; -1 = the "other" row of kernel locks, -2 that of futexes (table full). */
  readonly lock: number;
  /** Process id in the tables; -1 = other. */
  readonly process: number;
  readonly count: number;
  readonly sumNs: Nanoseconds;
  readonly maxNs: Nanoseconds;
  /** Waits that ended by their timeout, of `count`; 0 for kernel locks. */
  readonly timeouts: number;
  readonly buckets: readonly number[];
}
