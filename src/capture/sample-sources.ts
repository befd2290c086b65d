// Every value of SampleSource, for loops and for telling known sources from those of a later version.
import { type SampleSource, SOURCES } from "./binding.js";

/** What columns of samples can hold: the sources, and the owners of locks, which come with "locks". */
export const SAMPLE_SOURCES: readonly SampleSource[] = [...SOURCES, "lock-owners"];

/** Whether samples of this source say which lock they are about. */
export const isOfLocks = (source: SampleSource): boolean => source === "locks" || source === "lock-owners";
