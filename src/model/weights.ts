// Sums samples into one row per distinct (thread, stack, state, system call, variant, lock): open addressing over typed
// arrays, so that two million samples a second cost no objects and memory grows with stacks, not with samples.
import type { SampleColumns, SampleSource } from "../capture/binding.js";
import { FLAG_BITS, OFFCPU_STATES, SampleFlag, userEndOf } from "../capture/binding.js";
import { isOfLocks } from "../capture/sample-sources.js";
import { grownFloat64, grownInt32, grownUint8, grownUint32 } from "./growable.js";
import type { InvalidCounts } from "./invalid.js";
import { NO_LOCK } from "./profile.js";

/**
 * How the user half of a stack ended, where who walked it knew; part of the key, since it changes where the stack hangs. `cut`
 * and above: a walk by unwind tables was cut short, and `variant - cut` says why (USER_STACK_ENDS).
 */
export const Variant = { undecided: 0, userTruncated: 1, userMissing: 2, userWhole: 3, cut: 3 } as const;
/** A variant takes so many bits. */
export const VARIANT_BITS = 5;

/** Rows of one source; above it weight goes into one row without thread and stack. 4 M rows take about 200 MB. */
export const MAX_ROWS = 1 << 22;
/** Thread id of the overflow row: no capture has so many threads. */
export const NO_THREAD = 0xffffffff;

const FIRST_ROWS = 1024;
const STATE_OTHER = OFFCPU_STATES.indexOf("other");
const MISSING = SampleFlag.userMissing | SampleFlag.userUnreadable;

/** Variant of a stack by the flags that came with it. */
export function variantOf(flags: number): number {
  if ((flags & SampleFlag.userTruncated) !== 0) return Variant.userTruncated;
  if ((flags & MISSING) !== 0) return Variant.userMissing;
  if ((flags & SampleFlag.userWhole) !== 0) return Variant.userWhole;
  const end = userEndOf(flags);
  return end < 0 ? Variant.undecided : Variant.cut + end;
}

/** The columns of one row, see WeightTable; `variant` is that of the stack. */
export interface WeightSum {
  readonly thread: number;
  readonly stack: number;
  readonly state: number;
  readonly variant: number;
  readonly syscall: number;
  readonly lock: number;
  readonly weightNs: number;
  readonly varianceNs2: number;
  readonly samples: number;
  readonly waits: number;
  readonly maxNs: number;
}

export class WeightAccumulator {
  readonly source: SampleSource;
  readonly #maxRows: number;
  #rows = 0;
  #slots = new Uint32Array(FIRST_ROWS * 2); // row + 1, 0 = free
  #thread = new Uint32Array(FIRST_ROWS);
  #stack = new Uint32Array(FIRST_ROWS);
  #state = new Uint8Array(FIRST_ROWS);
  #variant = new Uint8Array(FIRST_ROWS);
  #syscall = new Int32Array(FIRST_ROWS);
  #weight = new Float64Array(FIRST_ROWS);
  #max = new Float64Array(FIRST_ROWS);
  #samples = new Uint32Array(FIRST_ROWS);
  #flags = new Uint32Array(FIRST_ROWS);
  // Null where a source does without: another array is another cache miss a sample.
  #variance: Float64Array<ArrayBuffer> | null;
  #lock: Uint32Array<ArrayBuffer> | null;
  #waits: Float64Array<ArrayBuffer> | null;
  #overflowed = 0;
  #lastTime = 0;

  constructor(source: SampleSource, maxRows = MAX_ROWS) {
    this.source = source;
    this.#maxRows = maxRows;
    this.#variance = source === "cpu" ? null : new Float64Array(FIRST_ROWS);
    this.#lock = isOfLocks(source) ? new Uint32Array(FIRST_ROWS) : null;
    this.#waits = isOfLocks(source) ? new Float64Array(FIRST_ROWS) : null;
  }

  get rows(): number {
    return this.#rows;
  }
  /** Samples whose row found no room and went into the overflow row. */
  get overflowed(): number {
    return this.#overflowed;
  }
  /** Latest time of a sample, ns since the start of the recording. */
  get lastTimeNs(): number {
    return this.#lastTime;
  }
  get thread(): Uint32Array {
    return this.#thread;
  }
  get stack(): Uint32Array {
    return this.#stack;
  }
  get state(): Uint8Array {
    return this.#state;
  }
  get variant(): Uint8Array {
    return this.#variant;
  }
  get syscall(): Int32Array {
    return this.#syscall;
  }
  get weightNs(): Float64Array {
    return this.#weight;
  }
  get maxNs(): Float64Array {
    return this.#max;
  }
  get samples(): Uint32Array {
    return this.#samples;
  }
  get flags(): Uint32Array {
    return this.#flags;
  }
  /** See WeightTable.varianceNs2; null for cpu, where it follows from weight and samples: all weigh one period. */
  get varianceNs2(): Float64Array | null {
    return this.#variance;
  }
  /** Null for sources without locks. */
  get lock(): Uint32Array | null {
    return this.#lock;
  }
  /** See WeightTable.waits; null for sources without locks. */
  get waits(): Float64Array | null {
    return this.#waits;
  }

  /** Adds a batch's columns. Rows shorter than `count` and impossible weights are counted into `invalid`. */
  addColumns(columns: SampleColumns, invalid: InvalidCounts): void {
    const { thread, stack, state, syscall, weightNs, durationNs, flags, timeNs } = columns;
    const lengths = [thread, stack, state, syscall, weightNs, durationNs, flags, timeNs].map((c) => c.length);
    const locks = this.#lock === null ? null : (columns.lock ?? new Uint32Array(0));
    if (locks !== null) lengths.push(locks.length);
    const count = Math.min(columns.count, ...lengths);
    if (count < columns.count) invalid.add("columns");
    const ofWaits = this.#variance !== null;
    let impossible = 0;
    let last = this.#lastTime;
    for (let i = 0; i < count; i++) {
      let weight = weightNs[i]!;
      if (!(weight >= 0 && weight < 2 ** 63)) {
        impossible++;
        weight = 0; // NaN or a negative would poison every sum above it
      }
      const time = timeNs[i]!;
      if (time > last) last = time;
      const bits = flags[i]!;
      const variant = variantOf(bits);
      const code = state[i]!;
      const row = this.#row(
        thread[i]!,
        stack[i]!,
        code < OFFCPU_STATES.length ? code : STATE_OTHER,
        variant,
        syscall[i]!,
        locks === null ? 0 : locks[i]!,
      );
      this.#weight[row]! += weight;
      this.#samples[row]! += 1;
      this.#flags[row]! |= bits & FLAG_BITS;
      const duration = durationNs[i]!;
      if (duration > this.#max[row]!) this.#max[row] = duration;
      if (ofWaits) this.#estimate(row, weight, duration);
    }
    if (Number.isFinite(last)) this.#lastTime = last;
    invalid.add("samples", impossible);
  }

  /** Adds what a sampled wait says of the waits that were not sampled. A method, to keep the loop for cpu small. */
  #estimate(row: number, weight: number, duration: number): void {
    // False for NaN as well: an impossible length adds nothing. No variance is below 0.
    if (duration >= 0 && duration < weight) this.#variance![row]! += weight * (weight - duration);
    if (this.#waits !== null) this.#waits[row]! += duration > 0 && duration < weight ? weight / duration : 1;
  }

  /** Adds a row that is itself a sum (used when stacks of frames merge into stacks of functions). */
  addRow(from: WeightAccumulator, index: number, thread: number, stack: number, lock: number): void {
    const ofLock = this.#lock === null ? 0 : lock;
    const row = this.#row(thread, stack, from.state[index]!, Variant.undecided, from.syscall[index]!, ofLock);
    this.#weight[row]! += from.weightNs[index]!;
    this.#samples[row]! += from.samples[index]!;
    this.#flags[row]! |= from.flags[index]!;
    if (this.#variance !== null && from.varianceNs2 !== null)
      this.#variance[row]! += from.varianceNs2[index]!;
    if (this.#waits !== null && from.waits !== null) this.#waits[row]! += from.waits[index]!;
    if (from.maxNs[index]! > this.#max[row]!) this.#max[row] = from.maxNs[index]!;
  }

  /** Adds what is summed up already, in terms of the capture. */
  addSum(sum: WeightSum): void {
    const { thread, stack, state, variant, syscall, lock, weightNs } = sum;
    const row = this.#row(thread, stack, state, variant, syscall, this.#lock === null ? 0 : lock);
    this.#weight[row]! += weightNs;
    this.#samples[row]! += sum.samples;
    if (this.#variance !== null) this.#variance[row]! += sum.varianceNs2;
    if (this.#waits !== null) this.#waits[row]! += sum.waits;
    if (sum.maxNs > this.#max[row]!) this.#max[row] = sum.maxNs;
  }

  /** Row of a key, made where it is new. `lock` is 0 for sources without: a small integer, which V8 passes unboxed. */
  #row(thread: number, stack: number, state: number, variant: number, syscall: number, lock: number): number {
    const mask = this.#slots.length - 1;
    const locks = this.#lock;
    const where = locks === null ? syscall : withLock(syscall, lock);
    let slot = hash(thread, stack, (state << VARIANT_BITS) | variant, where) & mask;
    for (;;) {
      const found = this.#slots[slot]!;
      if (found === 0) break;
      const row = found - 1;
      if (
        this.#stack[row] === stack &&
        this.#thread[row] === thread &&
        this.#syscall[row] === syscall &&
        this.#state[row] === state &&
        this.#variant[row] === variant &&
        (locks === null || locks[row] === lock)
      )
        return row;
      slot = (slot + 1) & mask;
    }
    if (this.#rows >= this.#maxRows && thread !== NO_THREAD) {
      this.#overflowed++;
      return this.#row(NO_THREAD, 0, state, Variant.undecided, -1, NO_LOCK);
    }
    return this.#insert(slot, thread, stack, state, variant, syscall, lock);
  }

  /** A new row in a free slot. Apart from `#row`, which is then small enough for V8 to put into its callers. */
  #insert(
    slot: number,
    thread: number,
    stack: number,
    state: number,
    variant: number,
    syscall: number,
    lock: number,
  ): number {
    const row = this.#rows++;
    if (row >= this.#thread.length) this.#growRows();
    this.#slots[slot] = row + 1;
    this.#thread[row] = thread;
    this.#stack[row] = stack;
    this.#state[row] = state;
    this.#variant[row] = variant;
    this.#syscall[row] = syscall;
    if (this.#lock !== null) this.#lock[row] = lock;
    if (this.#rows * 2 > this.#slots.length) this.#rehash();
    return row;
  }

  #growRows(): void {
    const needed = this.#thread.length * 2;
    this.#thread = grownUint32(this.#thread, needed);
    this.#stack = grownUint32(this.#stack, needed);
    this.#state = grownUint8(this.#state, needed);
    this.#variant = grownUint8(this.#variant, needed);
    this.#syscall = grownInt32(this.#syscall, needed);
    this.#weight = grownFloat64(this.#weight, needed);
    this.#max = grownFloat64(this.#max, needed);
    this.#samples = grownUint32(this.#samples, needed);
    this.#flags = grownUint32(this.#flags, needed);
    if (this.#variance !== null) this.#variance = grownFloat64(this.#variance, needed);
    if (this.#lock !== null) this.#lock = grownUint32(this.#lock, needed);
    if (this.#waits !== null) this.#waits = grownFloat64(this.#waits, needed);
  }

  #rehash(): void {
    const slots = new Uint32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let row = 0; row < this.#rows; row++) {
      const meta = (this.#state[row]! << VARIANT_BITS) | this.#variant[row]!;
      const syscall = this.#syscall[row]!;
      const where = this.#lock === null ? syscall : withLock(syscall, this.#lock[row]!);
      let slot = hash(this.#thread[row]!, this.#stack[row]!, meta, where) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = row + 1;
    }
    this.#slots = slots;
  }
}

const withLock = (syscall: number, lock: number): number => syscall ^ Math.imul(lock, 0x165667b1);

function hash(a: number, b: number, c: number, d: number): number {
  let h = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca77);
  h ^= Math.imul(c + 1, 0xc2b2ae3d) ^ Math.imul(d + 2, 0x27d4eb2f);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  return (h ^ (h >>> 13)) >>> 0;
}
