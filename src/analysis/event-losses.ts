// Which counters count whole events. Others count nanoseconds, names or halves of stacks: a sum over them would mean
// nothing, and they weigh less with the reader. All of them are in every report's list.

/** Matches the ids of LossRow that stand for events that are in no picture and no total. */
export const WHOLE_EVENTS =
  /(?:\.ring_full|\.slot_collision|^queue\.full|^perf\.lost|^bpf\.recursion_missed)$/;
