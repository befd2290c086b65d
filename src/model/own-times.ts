// What threads that hold locks did themselves meanwhile: their CPU samples and their own waits, kept one by one.
import { OFFCPU_STATES, type SampleColumns } from "../capture/binding.js";
import { KeptTimes } from "./kept-times.js";
import { VARIANT_BITS, variantOf } from "./weights.js";

/** A wait of a thread off the CPU. */
export interface OwnWait {
  /** Stack of the capture; 0 = none. */
  readonly stack: number;
  readonly variant: number;
  /** Index into OFFCPU_STATES. */
  readonly state: number;
  readonly syscall: number;
}

const OTHER = OFFCPU_STATES.indexOf("other");

/** State of a wait and variant of its stack, as `KeptTimes.extra` keeps them. */
export const packedState = (state: number, flags: number): number =>
  ((state < OFFCPU_STATES.length ? state : OTHER) << VARIANT_BITS) | variantOf(flags);

/** A row whose `extra` is from `packedState`. */
export function ownWaitOf(kept: KeptTimes, row: number): OwnWait {
  const packed = kept.extra(row);
  const variant = packed & ((1 << VARIANT_BITS) - 1);
  return { stack: kept.stack(row), variant, state: packed >> VARIANT_BITS, syscall: kept.syscall(row) };
}

export class OwnTimes {
  /** From the sample's time, as long as it weighs: extra = variant of the stack. */
  readonly #cpu: KeptTimes;
  /** extra = packedState. */
  readonly #waits: KeptTimes;

  constructor(maxKept: number) {
    this.#cpu = new KeptTimes(maxKept);
    this.#waits = new KeptTimes(maxKept);
  }

  /** Adds a batch's samples of `cpu` or `offcpu`. */
  addColumns({
    source,
    timeNs,
    weightNs,
    durationNs,
    thread,
    stack,
    state,
    syscall,
    flags,
    count,
  }: SampleColumns): void {
    if (source !== "cpu" && source !== "offcpu") return;
    const columns = [timeNs, weightNs, durationNs, thread, stack, state, syscall, flags];
    const rows = Math.min(count, ...columns.map((column) => column.length));
    for (let i = 0; i < rows; i++) {
      const what = { key: 0, thread: thread[i]!, stack: stack[i]! };
      if (source === "cpu") this.#cpu.add(timeNs[i]!, weightNs[i]!, { ...what, extra: variantOf(flags[i]!) });
      else
        this.#waits.add(timeNs[i]! - durationNs[i]!, durationNs[i]!, {
          ...{ ...what, syscall: syscall[i]!, extra: packedState(state[i]!, flags[i]!) },
          scale: weightNs[i]! / durationNs[i]!,
        });
    }
  }

  get leftOut(): number {
    return this.#cpu.leftOut + this.#waits.leftOut;
  }

  waitsOf(threads: ReadonlySet<number>): OwnWaits {
    return new OwnWaits(this.#waits, threads);
  }

  cpuOf(threads: ReadonlySet<number>): OwnCpu {
    return new OwnCpu(this.#cpu, threads);
  }
}

/** The waits of some threads. */
export class OwnWaits {
  readonly #kept: KeptTimes;
  readonly #rows: ReadonlyMap<number, Uint32Array>;

  constructor(kept: KeptTimes, threads: ReadonlySet<number>) {
    this.#kept = kept;
    this.#rows = kept.rowsByThread(threads);
  }

  /**
   * Whether all sampled waits of a time are here.
   * @param recorded all threads' are; else those of owners of locks are, from the first on that showed the thread to be one
   */
  known(thread: number, from: number, to: number, recorded: boolean): boolean {
    const first = this.#rows.get(thread)?.[0];
    const sinceBefore = first !== undefined && this.#kept.to(first) <= from;
    return (recorded || sinceBefore) && to < this.#kept.knownUntilNs;
  }

  /** The wait that has the most of a time; undefined where none lies in it. */
  longestIn(thread: number, from: number, to: number): OwnWait | undefined {
    let best = -1;
    let bestNs = 0;
    this.#each(thread, from, to, (row, commonNs) => {
      if (commonNs <= bestNs) return;
      best = row;
      bestNs = commonNs;
    });
    return best < 0 ? undefined : ownWaitOf(this.#kept, best);
  }

  /** Waiting in a time, by weight, ns. */
  sumIn(thread: number, from: number, to: number): number {
    let sum = 0;
    this.#each(thread, from, to, (row, commonNs) => {
      sum += commonNs * this.#kept.scale(row);
    });
    return sum;
  }

  /** A thread waits once at a time, so its waits end in the order in which they begin. */
  #each(thread: number, from: number, to: number, visit: (row: number, commonNs: number) => void): void {
    const kept = this.#kept;
    const rows = this.#rows.get(thread) ?? new Uint32Array();
    for (let i = firstAbove(rows.length, (at) => kept.to(rows[at]!), from); i < rows.length; i++) {
      const row = rows[i]!;
      if (kept.from(row) >= to) break;
      const commonNs = Math.min(to, kept.to(row)) - Math.max(from, kept.from(row));
      if (commonNs > 0) visit(row, commonNs);
    }
  }
}

/** The CPU samples of some threads. */
export class OwnCpu {
  readonly #kept: KeptTimes;
  readonly #rows: ReadonlyMap<number, Uint32Array>;

  constructor(kept: KeptTimes, threads: ReadonlySet<number>) {
    this.#kept = kept;
    this.#rows = kept.rowsByThread(threads);
  }

  /** Whether all samples up to `time` are here. */
  knownUntil(time: number): boolean {
    return time < this.#kept.knownUntilNs;
  }

  in(thread: number, from: number, to: number): { stack: number; variant: number; weightNs: number }[] {
    const kept = this.#kept;
    const rows = this.#rows.get(thread) ?? new Uint32Array();
    const found: { stack: number; variant: number; weightNs: number }[] = [];
    for (let i = firstAbove(rows.length, (at) => kept.from(rows[at]!), from); i < rows.length; i++) {
      const row = rows[i]!;
      if (kept.from(row) > to) break;
      const weightNs = kept.to(row) - kept.from(row);
      found.push({ stack: kept.stack(row), variant: kept.extra(row), weightNs });
    }
    return found;
  }
}

/** Index of the first of `count` rising values that is above `limit`. */
function firstAbove(count: number, value: (at: number) => number, limit: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (value(middle) > limit) high = middle;
    else low = middle + 1;
  }
  return low;
}
