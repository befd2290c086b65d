// How walks up user stacks can end, as samples tell it, and what the unwind tables for them took: part of the end of a recording.
import type { Bytes, Nanoseconds } from "../model/units.js";

/** How a walk by unwind tables ended. All but the first cut the stack short. Same order as lf_uw_stop. */
export const USER_STACK_ENDS = [
  "whole", // at its thread's first frame
  "process not known", // its mappings were not there (yet): the kernel followed frame pointers
  "mapping not known", // of an address on the way: its frame pointer was followed, if it led on
  "table not loaded", // the same
  "no rule", // for the address, nor did the frame pointer lead on
  "rule not supported",
  "stack not readable",
  "stack does not rise",
  "too deep",
  "out of time", // walks of sleeping threads at the end take a second in all: along frame pointers from then on
  "guessed", // a return address of 0, but behind a frame that was found by its frame pointer, without a rule
] as const;

/** Bits of a sample's flags above those of SampleFlag: how the walk ended, + 1; 0 = no walk by tables, or not known. */
export const USER_END_SHIFT = 16;
const USER_END_MASK = 15;
/** The bits of SampleFlag. */
export const FLAG_BITS = (1 << USER_END_SHIFT) - 1;

/** Index into USER_STACK_ENDS by a sample's flags; -1 where the stack was not walked by tables, or that is not known. */
export const userEndOf = (flags: number): number => ((flags >>> USER_END_SHIFT) & USER_END_MASK) - 1;
/** Those bits for an index into USER_STACK_ENDS. */
export const userEndFlags = (end: number): number => (end + 1) << USER_END_SHIFT;

/**
 * Ends of stacks on whose way frame pointers were followed for want of tables that there may be. They leave out functions that
 * keep none, so such a stack is not whole wherever it ends.
 */
export const BY_FRAME_POINTER: ReadonlySet<number> = new Set(
  (["process not known", "mapping not known", "table not loaded", "out of time"] as const).map((name) =>
    USER_STACK_ENDS.indexOf(name),
  ),
);

/** Of a recording whose user stacks were walked by unwind tables. */
export interface UserStackFacts {
  /** Processes, and files with tables, that were known at the end. */
  readonly processes: number;
  readonly tables: number;
  /** Kernel memory of the tables. */
  readonly tableBytes: Bytes;
  /** CPU and reading time spent on building tables, all told. */
  readonly buildNs: Nanoseconds;
  /** Processes read again because a stack of theirs was cut short. */
  readonly rereads: number;
  /** Program files without unwind information that can be used: walked by frame pointer. */
  readonly filesWithout: number;
  /** Times that a mapped file could not be opened, most often because its process had ended. */
  readonly filesUnreadable: number;
  /** Rows of crowded pages, or with a rule beyond those of the machine: a stack through them ends with "rule not supported". */
  readonly rowsLeftOut: number;
}

export interface UserStackTotals {
  /** Absent where user stacks followed frame pointers. */
  readonly userStacks?: UserStackFacts;
}
