// Names of kernel locks that belong to a process, also where another process waits for them: the kernel's side names such a
// lock by the process that waits for its own one; who else waits for it (a reader of /proc/PID/smaps) brings an address only.
import { FIRST_FUTEX_KIND, type LockRow } from "../capture/binding.js";

const OF_PROCESS = /^(?:mmap_lock|siglock|file table \(file_lock\)) of .*\(pid (\d+)\)$/s;

/** Whether a name is that of a lock of one process's own. */
export const isOfProcess = (name: string): boolean => OF_PROCESS.test(name);

/**
 * The rows, those of other waiters by the name that the lock's own process gave its address in the same recording. An
 * address that had two processes has been used again: then nothing tells which of them a waiter meant.
 */
export function withProcessNames(rows: readonly (LockRow | undefined)[]): readonly (LockRow | undefined)[] {
  const names = new Map<bigint, { name: string; pid: string; several: boolean }>();
  for (const row of rows) {
    const pid = row === undefined ? undefined : OF_PROCESS.exec(row.name)?.[1];
    if (row === undefined || pid === undefined || row.address === 0n) continue;
    const known = names.get(row.address);
    if (known === undefined) names.set(row.address, { name: row.name, pid, several: false });
    else if (known.pid !== pid) known.several = true;
  }
  return rows.map((row) => {
    if (row === undefined || row.kind >= FIRST_FUTEX_KIND) return row;
    if (row.name !== "" && !row.name.startsWith("in a ")) return row;
    const known = names.get(row.address);
    return known === undefined || known.several ? row : { ...row, name: known.name };
  });
}
