// What the two tabs of locks call things: kernel locks and user locks share everything else.
import type { LockSource } from "../src/capture/sample-sources.js";

export interface LockWords {
  /** Above the table. */
  readonly caption: string;
  /** In place of its rows. */
  readonly empty: string;
  /** Of which locks the owner is known. */
  readonly owners: string;
  /** Below the heading of the graph of owners; "" for none. */
  readonly ownersNote: string;
  /** What is waited for, in sentences. */
  readonly lock: string;
}

export const LOCK_WORDS: Readonly<Record<LockSource, LockWords>> = {
  locks: {
    caption:
      "Kernel locks that threads waited for (counts and sums are exact, percentiles interpolated in a histogram, " +
      "owners known from samples)",
    empty: "No thread waited for a kernel lock.",
    owners:
      "The kernel keeps the owner of mutexes and of rwsems taken for writing, not of spin locks, and not every one can be read.",
    ownersNote: "",
    lock: "kernel lock",
  },
  futex: {
    caption:
      "User locks that threads slept for (waits, times and timeouts are exact, percentiles interpolated; callers, threads " +
      "and owners are known from samples; PI: with priority inheritance)",
    empty: "No thread waited for a user lock.",
    owners:
      "glibc's mutexes and locks with priority inheritance tell their owner; read-write locks, semaphores and the locks of musl, Go and Rust do not.",
    ownersNote:
      "Stacks are those in which the owners themselves were off the CPU meanwhile; an owner that ran has none.",
    lock: "user lock",
  },
};

/** The second table of user locks. */
export const CONDITION_WORDS: Pick<LockWords, "caption" | "empty"> = {
  caption:
    "Condition variables, semaphores and parked threads: they wait for work, not for one another, so this is no contention",
  empty: "No thread waited for a condition variable.",
};
