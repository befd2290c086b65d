// Which futexes are no locks: condition variables, semaphores, parked workers. The value that a waiter expects tells most of
// them (`LockRow.kind`), but not all: where functions on the stack tell, they decide.
import { FIRST_FUTEX_KIND, LOCK_KINDS, type LockKind, type LockRow } from "../capture/binding.js";
import { type LockSource, OTHER_CONDITIONS, OTHER_LOCKS } from "../capture/sample-sources.js";
import type { Profile } from "../model/profile.js";
import { heldInConditions, idlePools, takenByTurns } from "./idle-pools.js";
import { IDLE_POOL } from "./thresholds.js";
import { waitMeanings } from "./user-lock-callers.js";

export const CONDITION_KIND: LockKind = "user condition or idle wait";
const CONDITION = LOCK_KINDS.indexOf(CONDITION_KIND);
/** Told from a condition by the expected value; a lock with priority inheritance is one by its operation. */
const BY_VALUE = FIRST_FUTEX_KIND;
/** Told by its words in memory; a stack that says otherwise is believed more. */
const BY_WORDS = LOCK_KINDS.indexOf("user lock, read-write");

/**
 * Ids of futexes whose waits are no contention. A sequence number can be that of a lock by chance, and some locks wait for
 * one (Rust's read-write lock for its writers): more than half of the sampled waiting decides, where its stacks tell.
 */
export function conditionLocks(profile: Profile): ReadonlySet<number> {
  const conditions = new Set<number>();
  const sampled = sampledMeanings(profile);
  const sequences = sequenceNumbers(profile);
  const idle = new Set([...neverLeft(profile), ...idlePools(profile)]);
  const turns = takenByTurns(profile);
  for (const row of profile.locks) {
    if (row?.kind !== BY_VALUE && row?.kind !== CONDITION && row?.kind !== BY_WORDS) continue;
    const { all, lock, condition } = sampled.get(row.id) ?? { all: 0, lock: 0, condition: 0 };
    const byStacks = lock * 2 > all ? false : condition * 2 > all ? true : undefined;
    const byValue =
      row.kind === CONDITION ||
      (row.kind === BY_VALUE && lock + condition === 0 && (sequences.has(row.id) || idle.has(row.id)));
    if ((byStacks ?? byValue) || turns.has(row.id)) conditions.add(row.id);
  }
  for (const [lock, meanNs] of heldInConditions(profile, conditions))
    if (meanNs >= IDLE_POOL.meanNs) conditions.add(lock);
  return conditions;
}

/** Whose row of others the kernel counts a futex into that has no row of its own. */
export const othersOf = (source: LockSource, row: LockRow | undefined): number =>
  source === "futex" && row?.kind === CONDITION ? OTHER_CONDITIONS : OTHER_LOCKS[source];

/** What a futex is, by its row and `conditionLocks`. */
export function kindOf(row: LockRow, conditions: ReadonlySet<number>): LockKind {
  if (conditions.has(row.id)) return CONDITION_KIND;
  return LOCK_KINDS[row.kind === CONDITION ? BY_VALUE : row.kind]!;
}

/** Weight of the sampled waits of each lock: all, in stacks of locks, in stacks of conditions. */
function sampledMeanings(profile: Profile): Map<number, { all: number; lock: number; condition: number }> {
  const table = profile.weights.find(({ source }) => source === "futex");
  const sums = new Map<number, { all: number; lock: number; condition: number }>();
  if (table?.lock === undefined) return sums;
  const meanings = waitMeanings(profile);
  for (let row = 0; row < table.count; row++) {
    const lock = table.lock[row]!;
    const sum = sums.get(lock) ?? { all: 0, lock: 0, condition: 0 };
    const weight = table.weightNs[row]!;
    const meaning = meanings[table.node[row]!];
    sum.all += weight;
    if (meaning === "lock") sum.lock += weight;
    if (meaning === "condition") sum.condition += weight;
    sums.set(lock, sum);
  }
  return sums;
}

/** Of the recording: what begins and ends with it lasts a little less. */
const WHOLE = 0.98;

/**
 * Locks that nobody ever got and nobody is known to hold: each wait lasted from the beginning of the recording to its end. A
 * pool that was notified twice waits so for a sequence number 2; a deadlock at a mutex of glibc's has an owner.
 */
function neverLeft(profile: Profile): ReadonlySet<number> {
  const sums = new Map<number, { count: number; sumNs: number }>();
  for (const { lock, count, sumNs } of profile.final?.lockTotals ?? []) {
    const sum = sums.get(lock) ?? { count: 0, sumNs: 0 };
    sums.set(lock, { count: sum.count + count, sumNs: sum.sumNs + sumNs });
  }
  const owners = profile.weights.find(({ source }) => source === "futex-owners");
  for (const lock of owners?.lock?.subarray(0, owners.count) ?? []) sums.delete(lock);
  return new Set(
    [...sums].filter(([, s]) => s.sumNs >= WHOLE * s.count * profile.durationNs).map(([lock]) => lock),
  );
}

/**
 * Locks whose word in memory the same process waits for more often as for a condition: a sequence number that passes through
 * the values of a lock. For those that no stack tells of.
 */
function sequenceNumbers(profile: Profile): ReadonlySet<number> {
  const words = new Map<string, { locks: number[]; asLock: number; asCondition: number }>();
  for (const { lock, process, count } of profile.final?.lockTotals ?? []) {
    const row = profile.locks[lock];
    if (row?.kind !== BY_VALUE && row?.kind !== CONDITION) continue;
    const key = `${row.address} ${process}`;
    const word = words.get(key) ?? { locks: [], asLock: 0, asCondition: 0 };
    if (row.kind === CONDITION) word.asCondition += count;
    else {
      word.asLock += count;
      word.locks.push(lock);
    }
    words.set(key, word);
  }
  return new Set([...words.values()].flatMap((word) => (word.asCondition > word.asLock ? word.locks : [])));
}
