// Processes, threads and locks by id. One process may come in several rows (exec changes its name; two parts of the addon
// may see it first): rows of one (pid, start time) become one.
import { LOCK_KINDS, type LockRow, type ProcessRow, type ThreadRow } from "../capture/binding.js";
import { MAX_ID } from "./frame-table.js";
import type { InvalidCounts } from "./invalid.js";

/** pid and tid of what the capture has no row for: no real one is negative. */
export const UNKNOWN_PID = -1;

export class Accounts {
  readonly #processes: (ProcessRow | undefined)[] = [];
  readonly #threads: (ThreadRow | undefined)[] = [];
  readonly #locks: (LockRow | undefined)[] = [];

  addProcesses(rows: readonly ProcessRow[], invalid: InvalidCounts): void {
    for (const row of rows) {
      if (!(row.id >= 0 && row.id <= MAX_ID)) invalid.add("processes");
      else this.#processes[row.id] = { ...row, self: row.self || (this.#processes[row.id]?.self ?? false) };
    }
  }

  addThreads(rows: readonly ThreadRow[], invalid: InvalidCounts): void {
    for (const row of rows) {
      if (row.id >= 0 && row.id <= MAX_ID) this.#threads[row.id] = row;
      else invalid.add("threads");
    }
  }

  addLocks(rows: readonly LockRow[], invalid: InvalidCounts): void {
    for (const row of rows) {
      if (row.id >= 0 && row.id <= MAX_ID && LOCK_KINDS[row.kind] !== undefined) this.#locks[row.id] = row;
      else invalid.add("locks");
    }
  }

  /** Rows of locks by id; a gap is a lock that the capture has no row for. */
  locks(): readonly (LockRow | undefined)[] {
    return Array.from(this.#locks);
  }

  /**
   * Merged rows. A merged process keeps all its ids in the array (each holds the same row), so ids in totals still
   * lead to it. `unknownThread` is the id of a thread for samples whose own is not in the capture.
   */
  build(invalid: InvalidCounts): {
    processes: (ProcessRow | undefined)[];
    threads: (ThreadRow | undefined)[];
    unknownThread: () => number;
  } {
    const processes = mergeProcesses(this.#processes);
    const threads = [...this.#threads];
    let unknownProcessId: number | undefined;
    const unknownProcess = () => {
      unknownProcessId ??= append(processes, (id) => ({
        id,
        pid: UNKNOWN_PID,
        startTimeNs: 0n,
        comm: "[unknown]",
        kernelThread: false,
        self: false,
      }));
      return unknownProcessId;
    };
    for (let id = 0; id < threads.length; id++) {
      const thread = threads[id];
      if (thread === undefined) continue;
      const process = processes[thread.process];
      if (process === undefined) invalid.add("processes");
      threads[id] = { ...thread, process: process?.id ?? unknownProcess() };
    }
    let unknownThreadId: number | undefined;
    const unknownThread = () => {
      const process = unknownProcess();
      unknownThreadId ??= append(threads, (id) => ({ id, tid: UNKNOWN_PID, process, comm: "[unknown]" }));
      return unknownThreadId;
    };
    return { processes, threads, unknownThread };
  }
}

function mergeProcesses(rows: readonly (ProcessRow | undefined)[]): (ProcessRow | undefined)[] {
  const first = new Map<string, number>();
  const merged: (ProcessRow | undefined)[] = [];
  const idOf: number[] = [];
  for (let id = 0; id < rows.length; id++) {
    const row = rows[id];
    if (row === undefined) continue;
    const key = `${row.pid}/${row.startTimeNs}`;
    const kept = first.get(key) ?? id;
    first.set(key, kept);
    idOf[id] = kept;
    // The later row has the later name; "self" holds once it was said.
    merged[kept] = { ...row, id: kept, self: row.self || (merged[kept]?.self ?? false) };
  }
  return Array.from({ length: rows.length }, (_, id) => {
    const kept = idOf[id];
    return kept === undefined ? undefined : merged[kept];
  });
}

function append<T>(rows: (T | undefined)[], make: (id: number) => T): number {
  const id = rows.length;
  rows.push(make(id));
  return id;
}
