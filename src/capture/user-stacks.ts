// How the walks up user stacks ended, and what the unwind tables for them took: part of the end of a recording.
import type { Bytes, Nanoseconds } from "../model/units.js";

/** How a walk ended; index = `UserStackEnds.end`. All but the first cut the stack short. Same order as lf_uw_stop. */
export const USER_STACK_ENDS = [
  "whole", // at its thread's first frame
  "process not known", // its mappings were not there (yet): the kernel followed frame pointers
  "mapping not known",
  "table not loaded", // nor did the frame pointer lead on
  "no rule", // for the address, nor did the frame pointer lead on
  "rule not supported",
  "stack not readable",
  "stack does not rise",
  "too deep",
  "out of time", // walks of sleeping threads at the end take a second in all: along frame pointers from then on
] as const;

export interface UserStackEnds {
  /** "cpu", "offcpu" (waits for futexes too), "locks" or "sockets". */
  readonly source: string;
  /** Index into USER_STACK_ENDS. */
  readonly end: number;
  /** User stacks walked, those too that found no room in a ring. */
  readonly count: number;
}

/** Of a recording whose user stacks were walked by unwind tables. */
export interface UserStackFacts {
  readonly ends: readonly UserStackEnds[];
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
