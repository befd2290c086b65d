// How many user stacks are whole, and what cut the others short, by source and by program: counted where each sample finds its
// place in the tree, so that whoever tells of whole stacks tells the same.
import { USER_STACK_ENDS } from "../capture/binding.js";
import type { MergedStack } from "./stack-merge.js";

/** Programs of which it is told why their stacks were cut short. */
const MOST_PROGRAMS = 5;
const WHOLE = USER_STACK_ENDS.indexOf("whole");

/** User stacks of one source that ended in one way. */
export interface UserStackEnds {
  /** "cpu", "offcpu", "locks", "futex" (where it was recorded without `offcpu`) or "sockets". */
  readonly source: string;
  /** Index into USER_STACK_ENDS; -1: cut short, and why is not known, since no tables led the walk. */
  readonly end: number;
  readonly count: number;
}

/** Stacks of one program that were cut short for one reason. */
export interface CutProgram {
  /** As the process is called. */
  readonly name: string;
  /** 0: of several processes of that name. */
  readonly pid: number;
  /** As above, never "whole". */
  readonly end: number;
  readonly count: number;
}

/** User stacks seen, in samples, and in kept calls on sockets. */
export interface UserStackCounts {
  readonly total: number;
  /** Cut short: they hang below [truncated]. */
  readonly truncated: number;
  /** All of `total`, sources in the order in which they came, whole ones first. */
  readonly ends: readonly UserStackEnds[];
  /** Of the five programs with most stacks that were cut short, each with its reasons, most first. */
  readonly cutPrograms: readonly CutProgram[];
}

export class UserStackCounter {
  readonly #ends = new Map<string, Map<number, number>>();
  /** By index of a process. */
  readonly #cut = new Map<number, Map<number, number>>();

  /** @param process index into Profile.processes; any other number where it is not known */
  add(source: string, process: number, { user, end }: MergedStack, samples: number): void {
    if (user === "none") return;
    count(this.#ends, source, user === "whole" ? WHOLE : end, samples);
    if (user === "truncated") count(this.#cut, process, end, samples);
  }

  counts(
    processes: readonly ({ readonly pid: number; readonly comm: string } | undefined)[],
  ): UserStackCounts {
    const ends = [...this.#ends].flatMap(([source, counts]) =>
      [...counts]
        .map(([end, n]) => ({ source, end, count: n }))
        .sort(
          (a, b) => Number(b.end === WHOLE) - Number(a.end === WHOLE) || b.count - a.count || a.end - b.end,
        ),
    );
    const programs = new Map<string, { pids: Set<number>; ends: Map<number, number> }>();
    for (const [id, counts] of this.#cut) {
      const { pid, comm } = processes[id] ?? { pid: 0, comm: "[unknown]" };
      const program = programs.get(comm) ?? { pids: new Set(), ends: new Map<number, number>() };
      programs.set(comm, program);
      program.pids.add(pid);
      for (const [end, n] of counts) program.ends.set(end, (program.ends.get(end) ?? 0) + n);
    }
    const sumOf = (counts: ReadonlyMap<number, number>): number =>
      [...counts.values()].reduce((a, b) => a + b, 0);
    return {
      total: ends.reduce((sum, row) => sum + row.count, 0),
      truncated: ends.reduce((sum, row) => sum + (row.end === WHOLE ? 0 : row.count), 0),
      ends,
      cutPrograms: [...programs]
        .map(([name, program]) => ({ name, ...program, sum: sumOf(program.ends) }))
        .sort((a, b) => b.sum - a.sum || (a.name < b.name ? -1 : 1))
        .slice(0, MOST_PROGRAMS)
        .flatMap(({ name, pids, ends: reasons }) =>
          [...reasons]
            .map(([end, n]) => ({ name, pid: pids.size === 1 ? [...pids][0]! : 0, end, count: n }))
            .sort((a, b) => b.count - a.count || a.end - b.end),
        ),
    };
  }
}

function count<Key>(to: Map<Key, Map<number, number>>, key: Key, end: number, samples: number): void {
  const counts = to.get(key) ?? new Map<number, number>();
  to.set(key, counts);
  counts.set(end, (counts.get(end) ?? 0) + samples);
}

/** Name of an end; a newer version may know more. */
export const userStackEnd = (end: number): string =>
  end < 0 ? "not walked by tables" : (USER_STACK_ENDS[end] ?? `end ${end}`);
