// Every value of SampleSource, for loops and for telling known sources from those of a later version; which sources have
// samples at all; and the two sources whose waits are for locks, with the owners and the row of the others of each.
import { type SampleSource, SOURCES, type SourceName } from "./binding.js";

/** Sources that give samples with stacks. What `sockets` gives are tables and totals. */
export type StackSource = Exclude<SourceName, "sockets">;
export const hasStacks = (source: SourceName): source is StackSource => source !== "sockets";

/** Sources whose waits are for a lock each. */
export const LOCK_SOURCES = ["locks", "futex"] as const;
export type LockSource = (typeof LOCK_SOURCES)[number];

/** Samples of who held the locks of a source. */
export const OWNERS_OF = { locks: "lock-owners", futex: "futex-owners" } as const;

/** What `LockTotal.lock` is for the waits that found no row in the kernel's table. */
export const OTHER_LOCKS: Readonly<Record<LockSource, number>> = { locks: -1, futex: -2 };
/** The same for condition variables and other idle waits at futexes. */
export const OTHER_CONDITIONS = -3;

/** What columns of samples can hold: the sources, and the owners of locks, which come with them. */
export const SAMPLE_SOURCES: readonly SampleSource[] = [
  ...SOURCES.filter(hasStacks),
  ...LOCK_SOURCES.map((source) => OWNERS_OF[source]),
];

/** Whether samples of this source say which lock they are about. */
export const isOfLocks = (source: SampleSource): boolean =>
  LOCK_SOURCES.some((each) => source === each || source === OWNERS_OF[each]);

/**
 * Whether the user stacks of this source were taken for it and stand nowhere else: those of a futex's owner are of its own
 * waits, and waits for futexes are off-CPU waits, too. What counts stacks counts these only.
 */
export const hasOwnStacks = (source: SampleSource, recorded: readonly SampleSource[]): boolean =>
  source !== "futex-owners" && !(source === "futex" && recorded.includes("offcpu"));
