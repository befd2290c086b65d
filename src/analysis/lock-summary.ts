// What is known of each kernel lock that was waited for: exact totals, and estimates from sampled stacks beside them.
import { LOCK_KINDS, type LockKind, type LockRow, RUNQUEUE_BUCKETS } from "../capture/binding.js";
import { percentile } from "../model/histogram.js";
import type { Profile, WeightTable } from "../model/profile.js";
import { type Nanoseconds, ns, type Ratio, ratio } from "../model/units.js";
import { processName, Tally } from "./cpu-time.js";
import { type LockCaller, lockCallers } from "./lock-callers.js";
import { shown } from "./text.js";

export interface LockSummary {
  /** Index into Profile.locks; -1 for waits of locks that found no row in the kernel's table. */
  readonly lock: number;
  /** For -1 it means nothing: those may be of any kind. */
  readonly kind: LockKind;
  /**
   * A name for people: what the kernel tells ("tasklist_lock", "mmap_lock of nginx (pid 80)"), a BPF map's bucket or
   * free-list lock where the callers say so, else kind and main caller ("mutex in pipe_write"). Never empty.
   */
  readonly name: string;
  /** Program whose BPF map the lock is part of, where the callers say so. */
  readonly bpfProgram?: string;
  /** Exact, from the kernel's totals; estimated from the samples where the capture was cut before its end. */
  readonly count: number;
  readonly sumNs: Nanoseconds;
  readonly maxNs: Nanoseconds;
  /** 0 in a cut capture, whose samples do not keep the lengths of single waits. */
  readonly p50Ns: Nanoseconds;
  readonly p99Ns: Nanoseconds;
  /** Buckets of the waits as in RunQueueRow; all 0 in a cut capture. */
  readonly buckets: readonly number[];
  /** Exact, by process, longest sum first; -1 = other. */
  readonly waiters: readonly {
    readonly process: number;
    readonly count: number;
    readonly sumNs: Nanoseconds;
  }[];
  /** First frame outside lock, scheduler and trampoline text, with its share of the sampled waiting; biggest first. */
  readonly callers: readonly { readonly name: string; readonly share: Ratio }[];
  /** Threads that held it while sampled waits went on, with their share of them; empty where it cannot be read. */
  readonly owners: readonly { readonly name: string; readonly share: Ratio }[];
  /** Sampled waits with a stack. */
  readonly samples: number;
  /** Half width of the 95 % interval of the sampled estimate of `sumNs`, relative to it; 0 without samples. */
  readonly relativeError: Ratio;
}

/** Rows of the waits of locks that have no row of their own. */
const OTHER = -1;
const MAX_NAMES = 20;

/** Whether waits for kernel locks were recorded at all, whatever came of it. */
export function locksRecorded(profile: Profile): boolean {
  return (
    profile.facts.sources.includes("locks") ||
    profile.weights.some((table) => table.source === "locks") ||
    totalsOf(profile).length > 0
  );
}

/** Whether the sums of `lockSummaries` are the kernel's own, not estimates from samples. */
export const lockTotalsExact = (profile: Profile): boolean => totalsOf(profile).length > 0;

/** For `lockSummaries`: every process but lowflame's own. */
export const notSelf =
  (profile: Profile) =>
  (process: number): boolean =>
    profile.processes[process]?.self !== true;

/**
 * All locks, longest total first.
 * @param counts by process id (-1 = other): whose waits and whose holding of locks count; default everybody's
 */
export function lockSummaries(
  profile: Profile,
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
  const lockId = (id: number): number => (id >= 0 && profile.locks[id] !== undefined ? id : OTHER);
  const exact = lockTotalsExact(profile);
  for (const row of totalsOf(profile)) if (counts(row.process)) sumOf(lockId(row.lock)).addTotal(row);
  // A sampled lock that the kernel's table had no room for is in the totals of the others; nowhere else where they are.
  const placeOf = (id: number): LockSum | undefined => {
    const lock = lockId(id);
    return exact ? (sums.get(lock) ?? sums.get(OTHER)) : sumOf(lock);
  };

  const callerOf = lockCallers(profile);
  eachRow(profile, "locks", (table, row, lock) => {
    const process = profile.threads[table.thread[row]!]?.process ?? -1;
    if (!counts(process)) return;
    const sum = placeOf(lock);
    if (sum === undefined) return;
    sum.addSamples(table, row, callerOf);
    if (!exact) sum.addEstimate(table, row, process);
  });
  eachRow(profile, "lock-owners", (table, row, lock) => {
    const process = profile.threads[table.thread[row]!]?.process ?? -1;
    if (!counts(process)) return;
    (sums.get(lockId(lock)) ?? sums.get(OTHER))?.owners.add(
      ownerName(profile, table.thread[row]!),
      table.weightNs[row]!,
    );
  });
  return [...sums]
    .filter(([, sum]) => sum.count > 0)
    .map(([lock, sum]) => sum.summary(lock, profile.locks[lock]))
    .sort((a, c) => c.sumNs - a.sumNs || a.lock - c.lock);
}

const totalsOf = (profile: Profile) => profile.final?.lockTotals ?? [];

function eachRow(
  profile: Profile,
  source: "locks" | "lock-owners",
  visit: (table: WeightTable, row: number, lock: number) => void,
): void {
  const table = profile.weights.find((weights) => weights.source === source);
  for (let row = 0; table !== undefined && row < table.count; row++)
    visit(table, row, table.lock?.[row] ?? OTHER);
}

/** "nginx (pid 80)" for the main thread, "worker (thread 81 of nginx)" for another. */
function ownerName(profile: Profile, thread: number): string {
  const row = profile.threads[thread];
  const process = row === undefined ? undefined : profile.processes[row.process];
  if (row === undefined || process === undefined) return "[unknown]";
  return row.tid === process.pid
    ? `${shown(process.comm)} (pid ${process.pid})`
    : `${shown(row.comm)} (thread ${row.tid} of ${processName(profile, thread)})`;
}

/** Everything about one lock while it is summed up. */
class LockSum {
  count = 0;
  readonly owners = new Tally();
  readonly #buckets = new Array<number>(RUNQUEUE_BUCKETS).fill(0);
  readonly #waiters = new Map<number, { count: number; sumNs: number }>();
  readonly #callers = new Tally();
  readonly #mapLocks = new Map<string, { weight: number; is: NonNullable<LockCaller["bpfMap"]> }>();
  #sumNs = 0;
  #maxNs = 0;
  #samples = 0;
  #sampledNs = 0;
  #varianceNs2 = 0;

  addTotal(row: {
    process: number;
    count: number;
    sumNs: number;
    maxNs: number;
    buckets: readonly number[];
  }) {
    this.#add(row.process, row.count, row.sumNs, row.maxNs);
    for (let i = 0; i < RUNQUEUE_BUCKETS; i++) this.#buckets[i]! += row.buckets[i] ?? 0;
  }

  addEstimate(table: WeightTable, row: number, process: number): void {
    const waits = table.waits?.[row] ?? table.samples[row]!;
    this.#add(process, waits, table.weightNs[row]!, table.maxNs[row]!);
  }

  addSamples(table: WeightTable, row: number, callerOf: (node: number) => LockCaller): void {
    const weight = table.weightNs[row]!;
    this.#sampledNs += weight;
    this.#varianceNs2 += table.varianceNs2[row]!;
    const node = table.node[row]!;
    if (node === 0) return;
    this.#samples += table.samples[row]!;
    const caller = callerOf(node);
    this.#callers.add(caller.name, weight);
    if (caller.bpfMap === undefined) return;
    const key = `${caller.bpfMap.lock} ${caller.bpfMap.program}`;
    this.#mapLocks.set(key, {
      weight: (this.#mapLocks.get(key)?.weight ?? 0) + weight,
      is: caller.bpfMap,
    });
  }

  summary(lock: number, row: LockRow | undefined): LockSummary {
    const histogram = { buckets: this.#buckets, maxNs: ns(this.#maxNs) };
    const owned = Math.max(this.#sampledNs, this.owners.total);
    const map = lock === OTHER ? undefined : this.#mapLock();
    const kind = LOCK_KINDS[row?.kind ?? -1] ?? "mutex";
    return {
      lock,
      kind,
      ...this.#name(row, kind, map),
      count: Math.round(this.count),
      sumNs: ns(this.#sumNs),
      maxNs: ns(this.#maxNs),
      p50Ns: percentile(histogram, 0.5),
      p99Ns: percentile(histogram, 0.99),
      buckets: this.#buckets,
      waiters: [...this.#waiters]
        .map(([process, { count, sumNs }]) => ({ process, count: Math.round(count), sumNs: ns(sumNs) }))
        .sort((a, c) => c.sumNs - a.sumNs || a.process - c.process),
      callers: shares(this.#callers, this.#callers.total),
      owners: shares(this.owners, owned),
      samples: this.#samples,
      relativeError: ratio(this.#sampledNs > 0 ? (1.96 * Math.sqrt(this.#varianceNs2)) / this.#sampledNs : 0),
    };
  }

  #add(process: number, count: number, sumNs: number, maxNs: number): void {
    this.count += count;
    this.#sumNs += sumNs;
    this.#maxNs = Math.max(this.#maxNs, maxNs);
    const known = this.#waiters.get(process);
    this.#waiters.set(process, {
      count: (known?.count ?? 0) + count,
      sumNs: (known?.sumNs ?? 0) + sumNs,
    });
  }

  /** The BPF map lock that most of the sampled waiting says it is. */
  #mapLock(): LockCaller["bpfMap"] {
    const [first] = [...this.#mapLocks.values()].sort((a, c) => c.weight - a.weight);
    return first !== undefined && first.weight * 2 > this.#callers.total ? first.is : undefined;
  }

  #name(
    row: LockRow | undefined,
    kind: LockKind,
    map: LockCaller["bpfMap"],
  ): { name: string; bpfProgram?: string } {
    if (row === undefined) return { name: "other locks, without a row of their own" };
    const object = row.name.startsWith("in a"); // only which kind of object it lies in: a map's callers know more
    if (row.name !== "" && !object) return { name: shown(row.name) };
    if (map !== undefined) {
      const what = map.lock === "bucket" ? "bucket lock of a BPF hash map" : "free-list lock of a BPF map";
      return { name: `${what} (program ${map.program})`, bpfProgram: map.program };
    }
    const [plain] = kind.split(","); // "rwsem, write" -> "rwsem"
    if (object) return { name: shown(`${plain} ${row.name}`) };
    const [caller] = this.#callers.top(1);
    return {
      name: `${plain} ${caller === undefined ? `at 0x${row.address.toString(16)}` : `in ${caller.name}`}`,
    };
  }
}

const shares = (tally: Tally, whole: number) =>
  tally.top(MAX_NAMES).map(({ name, amount }) => ({ name, share: ratio(whole > 0 ? amount / whole : 0) }));
