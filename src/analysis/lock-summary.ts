// What is known of each lock that was waited for, kernel lock or futex: exact totals, and estimates from sampled stacks
// beside them.
import { FIRST_FUTEX_KIND, LOCK_KINDS, type LockKind, type LockTotal } from "../capture/binding.js";
import { type LockSource, OTHER_CONDITIONS, OTHER_LOCKS, OWNERS_OF } from "../capture/sample-sources.js";
import { isOfProcess } from "../model/lock-names.js";
import type { Profile, WeightTable } from "../model/profile.js";
import { processName } from "./cpu-time.js";
import { CONDITION_KIND, conditionLocks, kindOf, othersOf } from "./futex-conditions.js";
import { lockCallers } from "./lock-callers.js";
import { type LockFigures, LockSum } from "./lock-sum.js";
import { shown } from "./text.js";
import { rwlockFutexes, userLockCallers } from "./user-lock-callers.js";

export interface LockSummary extends LockFigures {
  /** Index into Profile.locks; OTHER_LOCKS of the source or OTHER_CONDITIONS for waits that found no row in the kernel's table. */
  readonly lock: number;
  /** Every row of Profile.locks that is in it, `lock` first: a futex may have come as two kinds and turned out to be one. */
  readonly locks: readonly number[];
  /** Of other locks it means nothing: those may be of any kind. Of a futex the stacks decide, where they tell. */
  readonly kind: LockKind;
  /** Whether waiting for it is contention. False for condition variables, semaphores and parked workers. */
  readonly contention: boolean;
  /**
   * A name for people: what the kernel tells ("tasklist_lock", "mmap_lock of nginx (pid 80)"), a BPF map's bucket or
   * free-list lock where the callers say so, else kind and main caller ("mutex in pipe_write"); of a futex its address and
   * process ("futex 0x7f12… of redis-server (pid 80)"). Never empty.
   */
  readonly name: string;
  /** Program whose BPF map the lock is part of, where the callers say so. */
  readonly bpfProgram?: string;
  /** The most threads that sampled waits saw waiting at one time, so there were at least as many; null for kernel locks. */
  readonly atOnce: number | null;
  /** Whether it is a read-write lock of a user program. */
  readonly readWrite: boolean;
}

/** Whether waits for locks of this source were recorded at all, whatever came of it. */
export function locksRecorded(profile: Profile, source: LockSource): boolean {
  return (
    profile.facts.sources.includes(source) ||
    profile.weights.some((table) => table.source === source) ||
    totalsOf(profile, source).length > 0
  );
}

/** Whether the sums of `lockSummaries` are the kernel's own, not estimates from samples. */
export const lockTotalsExact = (profile: Profile, source: LockSource): boolean =>
  totalsOf(profile, source).length > 0;

/** For `lockSummaries`: every process but lowflame's own. */
export const notSelf =
  (profile: Profile) =>
  (process: number): boolean =>
    profile.processes[process]?.self !== true;

/**
 * All locks of a source, longest total first.
 * @param counts by process id (-1 = other): whose waits and whose holding of locks count; default everybody's
 */
export function lockSummaries(
  profile: Profile,
  source: LockSource = "locks",
  counts: (process: number) => boolean = () => true,
): LockSummary[] {
  const sums = new Map<number, LockSum>();
  const sumOf = (lock: number): LockSum => {
    const known = sums.get(lock);
    if (known !== undefined) return known;
    const made = new LockSum();
    sums.set(lock, made);
    return made;
  };
  const conditions = source === "futex" ? conditionLocks(profile) : new Set<number>();
  const readWrite = source === "futex" ? readWriteLocks(profile) : new Set<number>();
  const joined = source === "futex" ? sameFutexes(profile, conditions, readWrite) : sameObjects(profile);
  const lockId = (id: number): number =>
    id === OTHER_CONDITIONS || profile.locks[id] !== undefined ? (joined.get(id) ?? id) : OTHER_LOCKS[source];
  const exact = lockTotalsExact(profile, source);
  for (const row of totalsOf(profile, source)) if (counts(row.process)) sumOf(lockId(row.lock)).addTotal(row);
  // A sampled lock that the kernel's table had no room for is in the totals of the others; nowhere else where they are.
  const placeOf = (id: number): LockSum | undefined => {
    const lock = lockId(id);
    return exact ? (sums.get(lock) ?? sums.get(othersOf(source, profile.locks[lock]))) : sumOf(lock);
  };

  const callerOf = source === "futex" ? userLockCallers(profile) : lockCallers(profile);
  eachRow(profile, source, (table, row, lock) => {
    const process = profile.threads[table.thread[row]!]?.process ?? -1;
    if (!counts(process)) return;
    const sum = placeOf(lock);
    if (sum === undefined) return;
    sum.addSamples(table, row, callerOf);
    if (!exact) sum.addEstimate(table, row, process);
  });
  eachRow(profile, OWNERS_OF[source], (table, row, lock) => {
    const process = profile.threads[table.thread[row]!]?.process ?? -1;
    if (!counts(process)) return;
    (sums.get(lockId(lock)) ?? sums.get(othersOf(source, profile.locks[lock])))?.owners.add(
      ownerName(profile, table.thread[row]!),
      table.weightNs[row]!,
    );
  });
  const members = new Map<number, number[]>();
  for (const [id, first] of joined) members.set(first, [...(members.get(first) ?? []), id]);
  return [...sums]
    .filter(([, sum]) => sum.count > 0)
    .map(([lock, sum]) =>
      summary(profile, source, [lock, ...(members.get(lock) ?? [])], sum.figures(exact), sum, {
        conditions,
        readWrite,
      }),
    )
    .sort((a, c) => c.sumNs - a.sumNs || a.lock - c.lock);
}

/**
 * Readers and writers wait at two words next to each other: glibc's 8 and 12 bytes into a pthread_rwlock_t (bits/struct_rwlock.h,
 * x86-64), Rust's at its first two (std/src/sys/sync/rwlock/futex.rs).
 */
const NEXT_WORD = 4n;
const RUST_RWLOCK = LOCK_KINDS.indexOf("user lock, read-write");

/** Read-write locks of user programs: by the functions that wait, or by the words in memory. */
function readWriteLocks(profile: Profile): ReadonlySet<number> {
  const rust = profile.locks.flatMap((row) => (row?.kind === RUST_RWLOCK ? [row.id] : []));
  return new Set([...rwlockFutexes(profile), ...rust]);
}

/**
 * Futexes that have several rows, as waiters expect several values, but that are of one kind after all: id -> id of the first.
 * They are one futex where address and process are the same; the two words of a read-write lock are one lock.
 */
function sameFutexes(
  profile: Profile,
  conditions: ReadonlySet<number>,
  readWrite: ReadonlySet<number>,
): ReadonlyMap<number, number> {
  const pids = new Map<number, number>();
  const note = (lock: number, process: number): void => {
    const pid = profile.processes[process]?.pid;
    if (pid !== undefined && !pids.has(lock)) pids.set(lock, pid);
  };
  for (const { lock, process } of totalsOf(profile, "futex")) note(lock, process);
  eachRow(profile, "futex", (table, row, lock) =>
    note(lock, profile.threads[table.thread[row]!]?.process ?? -1),
  );
  const firsts = new Map<string, number>();
  const joined = new Map<number, number>();
  // Rust's words are aligned to 4 bytes only, so which is the first of a lock is told by the other: lowest addresses first
  const words = profile.locks
    .filter((row) => row !== undefined && row.address !== 0n && row.kind >= FIRST_FUTEX_KIND)
    .sort((a, c) => (a!.address < c!.address ? -1 : a!.address > c!.address ? 1 : a!.id - c!.id));
  const begins = new Set<string>();
  const beginOf = (id: number, address: bigint, pid: number): bigint => {
    const before = address - NEXT_WORD;
    if (begins.has(`${before} ${pid}`)) return before;
    if (profile.locks[id]!.kind !== RUST_RWLOCK) return address & ~NEXT_WORD;
    begins.add(`${address} ${pid}`);
    return address;
  };
  for (const row of words) {
    const pid = row === undefined ? undefined : pids.get(row.id);
    if (row === undefined || pid === undefined) continue;
    const address = readWrite.has(row.id) ? `rwlock ${beginOf(row.id, row.address, pid)}` : row.address;
    const key = `${address} ${pid} ${kindOf(row, conditions)}`;
    const first = firsts.get(key);
    if (first === undefined) firsts.set(key, row.id);
    else joined.set(row.id, first);
  }
  return joined;
}

/** Locks of a process that several processes wait for, each by a row of its own, come together: id -> id of the first. */
function sameObjects(profile: Profile): ReadonlyMap<number, number> {
  const firsts = new Map<string, number>();
  const joined = new Map<number, number>();
  for (const row of profile.locks) {
    if (row === undefined || row.kind >= FIRST_FUTEX_KIND || !isOfProcess(row.name)) continue;
    const key = `${row.address} ${row.kind} ${row.name}`;
    const first = firsts.get(key);
    if (first === undefined) firsts.set(key, row.id);
    else joined.set(row.id, first);
  }
  return joined;
}

/** The kernel's totals of a source. Those of a lock that is not in the capture belong to the source that was recorded. */
function totalsOf(profile: Profile, source: LockSource): readonly LockTotal[] {
  const { sources } = profile.facts;
  const unknown = sources.includes("futex") && !sources.includes("locks") ? "futex" : "locks";
  const ofLock = (lock: number): LockSource => {
    if (lock === OTHER_LOCKS.locks) return "locks";
    if (lock === OTHER_LOCKS.futex || lock === OTHER_CONDITIONS) return "futex";
    const row = profile.locks[lock];
    return row === undefined ? unknown : row.kind >= FIRST_FUTEX_KIND ? "futex" : "locks";
  };
  return (profile.final?.lockTotals ?? []).filter(({ lock }) => ofLock(lock) === source);
}

function eachRow(
  profile: Profile,
  source: WeightTable["source"],
  visit: (table: WeightTable, row: number, lock: number) => void,
): void {
  const table = profile.weights.find((weights) => weights.source === source);
  for (let row = 0; table !== undefined && row < table.count; row++)
    visit(table, row, table.lock?.[row] ?? -1);
}

/** "nginx (pid 80)" for the main thread, "worker (thread 81 of nginx)" for another. */
export function ownerName(profile: Profile, thread: number): string {
  const row = profile.threads[thread];
  const process = row === undefined ? undefined : profile.processes[row.process];
  if (row === undefined || process === undefined) return "[unknown]";
  return row.tid === process.pid
    ? `${shown(process.comm)} (pid ${process.pid})`
    : `${shown(row.comm)} (thread ${row.tid} of ${processName(profile, thread)})`;
}

function summary(
  profile: Profile,
  source: LockSource,
  locks: readonly number[],
  figures: LockFigures,
  sum: LockSum,
  { conditions, readWrite }: { conditions: ReadonlySet<number>; readWrite: ReadonlySet<number> },
): LockSummary {
  const lock = locks[0]!;
  const row = profile.locks[lock];
  // Those of one word are known; at all words of a lock as many as wait on average. No thread waits twice at once, whatever a
  // damaged capture says.
  const most = Math.max(
    waitersOnAverage(profile, figures.sumNs),
    ...locks.map((each) => profile.waitersAtOnce.get(each) ?? 0),
  );
  const atOnce = source === "futex" ? Math.min(most, figures.threads) : null;
  if (row === undefined) {
    const idle = lock === OTHER_CONDITIONS;
    const what = source === "locks" ? "locks" : idle ? "conditions" : "user locks";
    const name = `other ${what}, without a row of their own`;
    const kind = source === "locks" ? "mutex" : idle ? CONDITION_KIND : LOCK_KINDS[FIRST_FUTEX_KIND]!;
    return { lock, locks, kind, contention: !idle, name, atOnce, readWrite: false, ...figures };
  }
  const kind = source === "futex" ? kindOf(row, conditions) : LOCK_KINDS[row.kind]!;
  const named = source === "futex" ? { name: futexName(row) } : kernelLockName(row, kind, sum);
  const contention = !conditions.has(lock);
  return { lock, locks, kind, contention, ...named, atOnce, readWrite: readWrite.has(lock), ...figures };
}

/** What a sum of waits may be longer than it was, each by a little. */
const SLACK = 0.02;

/** So many threads waited on average, and so at one time at least. @param waitedNs all waits of them */
export const waitersOnAverage = (profile: Profile, waitedNs: number): number =>
  profile.durationNs > 0 ? Math.max(0, Math.ceil(waitedNs / profile.durationNs - SLACK)) : 0;

/** What a futex is called: what the capture says of it, or its address. */
export const futexName = (row: { readonly name: string; readonly address: bigint }): string =>
  row.name === "" ? `futex 0x${row.address.toString(16)}` : shown(row.name);

function kernelLockName(
  row: { readonly name: string; readonly address: bigint },
  kind: LockKind,
  sum: LockSum,
): { name: string; bpfProgram?: string } {
  const object = row.name.startsWith("in a"); // only which kind of object it lies in: a map's callers know more
  const [plain] = kind.split(","); // "rwsem, write" -> "rwsem"
  // waited for since before the recording: the stack tells the kind and who wants it, nothing tells which lock it is
  if (row.address === 0n) {
    const wanted = sum.mainCaller === undefined ? plain : `${plain} in ${sum.mainCaller}`;
    return { name: `${wanted}, address not known` };
  }
  if (row.name !== "" && !object) return { name: shown(row.name) };
  const map = sum.mapLock;
  if (map !== undefined) {
    const what = map.lock === "bucket" ? "bucket lock of a BPF hash map" : "free-list lock of a BPF map";
    return { name: `${what} (program ${map.program})`, bpfProgram: map.program };
  }
  const caller = sum.mainCaller;
  // Any part of the kernel may allocate from kmalloc's caches, several from one that was merged: who wants such a lock tells which it is.
  const cache = /^in a (kmalloc-\S+|\S+(?: or \S+)+|\d+-byte) object$/.exec(row.name)?.[1];
  if (cache !== undefined && caller !== undefined && caller !== "[unknown]")
    return { name: shown(`${plain} in ${caller} (${cache})`) };
  if (object) return { name: shown(`${plain} ${row.name}`) };
  return { name: `${plain} ${caller === undefined ? `at 0x${row.address.toString(16)}` : `in ${caller}`}` };
}
