// Of the waits for futexes, those for locks. Folded stacks, pprof and speedscope leave the others out: idle workers wait for
// condition variables all day and would drown every lock. What they wait for is in the off-CPU profile.
import { conditionLocks } from "../analysis/futex-conditions.js";
import type { Profile, WeightTable } from "../model/profile.js";

/** The rows of a table of futex waits that are waits for a lock which the capture knows. */
export function contendedRows(profile: Profile, table: WeightTable): WeightTable {
  const conditions = conditionLocks(profile);
  const rows: number[] = [];
  for (let row = 0; row < table.count; row++) {
    const lock = table.lock?.[row] ?? -1;
    if (profile.locks[lock] !== undefined && !conditions.has(lock)) rows.push(row);
  }
  return {
    source: table.source,
    count: rows.length,
    thread: Uint32Array.from(rows, (row) => table.thread[row]!),
    node: Uint32Array.from(rows, (row) => table.node[row]!),
    weightNs: Float64Array.from(rows, (row) => table.weightNs[row]!),
    samples: Uint32Array.from(rows, (row) => table.samples[row]!),
    maxNs: Float64Array.from(rows, (row) => table.maxNs[row]!),
    state: Uint8Array.from(rows, (row) => table.state[row]!),
    syscall: Int32Array.from(rows, (row) => table.syscall[row]!),
    flags: Uint32Array.from(rows, (row) => table.flags[row]!),
    varianceNs2: Float64Array.from(rows, (row) => table.varianceNs2[row]!),
    ...(table.lock && { lock: Uint32Array.from(rows, (row) => table.lock![row]!) }),
    ...(table.waits && { waits: Float64Array.from(rows, (row) => table.waits![row]!) }),
  };
}
