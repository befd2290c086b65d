// Which rows of locks are one lock: an rwsem has a row for readers and one for writers, a lock of a process's one for each
// process that waits for it. Those of processes that lived one after the other may have had one address.
import { FIRST_FUTEX_KIND, LOCK_KINDS, type LockRow } from "../capture/binding.js";
import { isOfProcess } from "./lock-names.js";

export interface LockObjects {
  /** Id of a row of the lock -> one id for all of its rows. */
  objectOf(lock: number): number;
  /** Whether several threads hold the lock together when their waits for this row end. */
  isShared(lock: number): boolean;
}

export function lockObjects(locks: readonly (LockRow | undefined)[]): LockObjects {
  const firsts = new Map<string, number>();
  const objects = new Map<number, number>();
  for (const row of locks) {
    // a futex's address is its process's own, and one whose owner is known has one row
    if (row === undefined || row.address === 0n || row.kind >= FIRST_FUTEX_KIND) continue;
    const [kind] = LOCK_KINDS[row.kind]!.split(", "); // "rwsem, write" -> "rwsem"
    const key = `${kind} ${row.address} ${isOfProcess(row.name) ? row.name : ""}`;
    const first = firsts.get(key) ?? row.id;
    firsts.set(key, first);
    objects.set(row.id, first);
  }
  return {
    objectOf: (lock) => objects.get(lock) ?? lock,
    isShared: (lock) => /, read$/.test(LOCK_KINDS[locks[lock]?.kind ?? -1] ?? ""),
  };
}
