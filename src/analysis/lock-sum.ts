// The sums of one lock: exact totals as they come, and what sampled waits add: who wanted it, who held it, how sure that is.
import { type LockTotal, RUNQUEUE_BUCKETS } from "../capture/binding.js";
import { percentile } from "../model/histogram.js";
import type { WeightTable } from "../model/profile.js";
import { type Nanoseconds, ns, type Ratio, ratio } from "../model/units.js";
import { Tally } from "./cpu-time.js";
import type { LockCaller } from "./lock-callers.js";

/** The figures of one lock. */
export interface LockFigures {
  /** Exact, from the kernel's totals; estimated from the samples where the capture was cut before its end. */
  readonly count: number;
  readonly sumNs: Nanoseconds;
  readonly maxNs: Nanoseconds;
  /** 0 in a cut capture, whose samples do not keep the lengths of single waits. */
  readonly p50Ns: Nanoseconds;
  readonly p99Ns: Nanoseconds;
  /** Buckets of the waits as in RunQueueRow; all 0 in a cut capture. */
  readonly buckets: readonly number[];
  /** Waits of `count` that ended by their timeout, not by a wake-up; 0 for kernel locks, null in a cut capture. */
  readonly timeouts: number | null;
  /** Exact, by process, longest sum first; -1 = other. */
  readonly waiters: readonly {
    readonly process: number;
    readonly count: number;
    readonly sumNs: Nanoseconds;
  }[];
  /** Distinct threads that sampled waits saw waiting. */
  readonly threads: number;
  /** First frame outside text of the lock, with its share of the sampled waiting; biggest first. */
  readonly callers: readonly { readonly name: string; readonly share: Ratio }[];
  /** Threads that held it while sampled waits went on, with their share of them; empty where it cannot be read. */
  readonly owners: readonly { readonly name: string; readonly share: Ratio }[];
  /** Sampled waits with a stack. */
  readonly samples: number;
  /** Half width of the 95 % interval of the sampled estimate of `sumNs`, relative to it; null without samples. */
  readonly relativeError: Ratio | null;
}

const MAX_NAMES = 20;

/** Everything about one lock while it is summed up. */
export class LockSum {
  count = 0;
  readonly owners = new Tally();
  readonly #threads = new Set<number>();
  readonly #buckets = new Array<number>(RUNQUEUE_BUCKETS).fill(0);
  readonly #waiters = new Map<number, { count: number; sumNs: number }>();
  readonly #callers = new Tally();
  readonly #mapLocks = new Map<string, { weight: number; is: NonNullable<LockCaller["bpfMap"]> }>();
  #timeouts = 0;
  #sumNs = 0;
  #maxNs = 0;
  #samples = 0;
  #sampledNs = 0;
  #varianceNs2 = 0;

  addTotal(row: LockTotal): void {
    this.#add(row.process, row.count, row.sumNs, row.maxNs);
    this.#timeouts += row.timeouts;
    for (let i = 0; i < RUNQUEUE_BUCKETS; i++) this.#buckets[i]! += row.buckets[i] ?? 0;
  }

  addEstimate(table: WeightTable, row: number, process: number): void {
    const waits = table.waits?.[row] ?? table.samples[row]!;
    this.#add(process, waits, table.weightNs[row]!, table.maxNs[row]!);
  }

  addSamples(table: WeightTable, row: number, callerOf: (node: number) => LockCaller): void {
    const weight = table.weightNs[row]!;
    this.#threads.add(table.thread[row]!);
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

  /** What was summed up, for `LockSummary`; the name and what the lock is are the caller's. */
  figures(exact: boolean): LockFigures {
    const histogram = { buckets: this.#buckets, maxNs: ns(this.#maxNs) };
    const owned = Math.max(this.#sampledNs, this.owners.total);
    return {
      count: Math.round(this.count),
      sumNs: ns(this.#sumNs),
      maxNs: ns(this.#maxNs),
      p50Ns: percentile(histogram, 0.5),
      p99Ns: percentile(histogram, 0.99),
      buckets: this.#buckets,
      timeouts: exact ? this.#timeouts : null,
      waiters: [...this.#waiters]
        .map(([process, { count, sumNs }]) => ({ process, count: Math.round(count), sumNs: ns(sumNs) }))
        .sort((a, c) => c.sumNs - a.sumNs || a.process - c.process),
      threads: this.#threads.size,
      callers: shares(this.#callers, this.#callers.total),
      owners: shares(this.owners, owned),
      samples: this.#samples,
      relativeError:
        this.#sampledNs > 0 ? ratio((1.96 * Math.sqrt(this.#varianceNs2)) / this.#sampledNs) : null,
    };
  }

  /** The function that most of the sampled waiting comes from. */
  get mainCaller(): string | undefined {
    return this.#callers.top(1)[0]?.name;
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
  get mapLock(): LockCaller["bpfMap"] {
    const [first] = [...this.#mapLocks.values()].sort((a, c) => c.weight - a.weight);
    return first !== undefined && first.weight * 2 > this.#callers.total ? first.is : undefined;
  }
}

const shares = (tally: Tally, whole: number) =>
  tally.top(MAX_NAMES).map(({ name, amount }) => ({ name, share: ratio(whole > 0 ? amount / whole : 0) }));
