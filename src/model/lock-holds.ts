// How long one thread kept others waiting at a user lock, and what it ran meanwhile: sampled waits whose owner is known, put
// together with the CPU samples of that owner in that time.
import { OFFCPU_STATES, type SampleColumns } from "../capture/binding.js";
import { KeptTimes } from "./kept-times.js";
import { NO_LOCK } from "./profile.js";
import { variantOf } from "./weights.js";

/** A time in which one thread had a lock that others waited for. Threads and stacks are those of the capture. */
export interface LockHold {
  readonly lock: number;
  readonly thread: number;
  /** From the first wait that found this owner to the first end of a wait for the lock, ns: then it had been let go of. */
  readonly lengthNs: number;
  /** Threads that waited at its end, as far as their waits were sampled. */
  readonly waiters: number;
  /** Waiting of these together in that time, ns. */
  readonly waitedNs: number;
  /** Whether no sampled wait of the owner's own lies in that time. */
  readonly neverOffCpu: boolean;
  /** The owner's own sampled off-CPU time in that time, by weight, ns; null where it was not recorded or not kept. */
  readonly offCpuNs: number | null;
  /** CPU samples of the owner in that time; null where CPU time was not recorded or not kept. */
  readonly cpu:
    | readonly { readonly stack: number; readonly variant: number; readonly weightNs: number }[]
    | null;
}

interface Segment extends Omit<LockHold, "cpu" | "offCpuNs"> {
  readonly from: number;
  readonly to: number;
}

/** ns. Shorter ones are how locks are used. */
const MIN_HOLD_NS = 50e6;
/** Waits, owners, CPU samples and off-CPU waits, of each so many, 28 bytes each. */
const MAX_KEPT = 1 << 20;
/** The weight of an off-CPU wait by its length, in sixteenths, at most 2^28. */
const [WEIGHT_UNIT, MAX_WEIGHT] = [16, 2 ** 32 - 1];
const RUNNING = OFFCPU_STATES.indexOf("none");

export class LockHolds {
  /** Times of waits: key = lock, thread = who waits. */
  readonly #waits: KeptTimes;
  /** key = lock, thread = its owner, extra = 1 where a wait of the owner's own was found in it. */
  readonly #owned: KeptTimes;
  /** From the sample's time, as long as it weighs: key = stack, extra = variant of the stack. */
  readonly #cpu: KeptTimes;
  /** key = weight in units of its length. */
  readonly #off: KeptTimes;

  constructor(maxKept = MAX_KEPT) {
    this.#waits = new KeptTimes(maxKept);
    this.#owned = new KeptTimes(maxKept);
    this.#cpu = new KeptTimes(maxKept);
    this.#off = new KeptTimes(maxKept);
  }

  /** Adds a batch's samples of `futex`, `futex-owners`, `cpu` or `offcpu`; those with impossible times are passed over. */
  addColumns(columns: SampleColumns): void {
    if (columns.source === "cpu") this.#addCpu(columns);
    else if (columns.source === "offcpu") this.#addOffCpu(columns);
    else if (columns.source === "futex") addWaits(this.#waits, columns);
    else if (columns.source === "futex-owners") addWaits(this.#owned, columns);
  }

  /** Samples that found no room: later holds are not seen, or not what ran in them. */
  get leftOut(): number {
    return this.#waits.leftOut + this.#owned.leftOut + this.#cpu.leftOut + this.#off.leftOut;
  }

  /** The holds of 50 ms and longer, by lock. The flags say which sources the recording has. */
  holds(cpuRecorded: boolean, offCpuRecorded = false): LockHold[] {
    const segments = this.#segments();
    const owners = new Set(segments.map(({ thread }) => thread));
    const samples = cpuRecorded ? this.#cpu.rowsByThread(owners) : new Map<number, Uint32Array>();
    const waits = offCpuRecorded ? this.#off.rowsByThread(owners) : new Map<number, Uint32Array>();
    return segments.map(({ from, to, ...hold }) => {
      const known = cpuRecorded && to < this.#cpu.knownUntilNs;
      const offKnown = offCpuRecorded && to < this.#off.knownUntilNs;
      return {
        ...hold,
        offCpuNs: offKnown ? this.#offCpuBetween(waits.get(hold.thread), from, to) : null,
        cpu: known ? this.#cpuBetween(samples.get(hold.thread), from, to) : null,
      };
    });
  }

  #addCpu({ timeNs, weightNs, thread, stack, flags, count }: SampleColumns): void {
    const rows = Math.min(count, ...[timeNs, weightNs, thread, stack, flags].map((column) => column.length));
    for (let i = 0; i < rows; i++)
      this.#cpu.add(timeNs[i]!, weightNs[i]!, stack[i]!, thread[i]!, variantOf(flags[i]!));
  }

  #addOffCpu({ timeNs, durationNs, weightNs, thread, count }: SampleColumns): void {
    const rows = Math.min(count, ...[timeNs, durationNs, weightNs, thread].map((column) => column.length));
    for (let i = 0; i < rows; i++) {
      const weight = Math.round((WEIGHT_UNIT * weightNs[i]!) / durationNs[i]!);
      const key = Math.min(MAX_WEIGHT, Math.max(0, weight || 0));
      this.#off.add(timeNs[i]! - durationNs[i]!, durationNs[i]!, key, thread[i]!, 0);
    }
  }

  #offCpuBetween(rows: Uint32Array = new Uint32Array(), from: number, to: number): number {
    const off = this.#off;
    let sum = 0;
    for (const row of rows) {
      if (off.from(row) >= to) break;
      const common = Math.min(to, off.to(row)) - Math.max(from, off.from(row));
      if (common > 0) sum += (common * off.key(row)) / WEIGHT_UNIT;
    }
    return sum;
  }

  /** Who lets go of a lock wakes one that waits for it: the first end of any wait is the end of the hold before it. */
  #segments(): Segment[] {
    const waits = this.#waits.rowsByKey();
    return [...this.#owned.rowsByKey()].flatMap(([lock, owned]) => {
      const all = waits.get(lock);
      if (all === undefined) return [];
      const line = new WaitLine(this.#waits, all);
      const holds = new Map<string, { thread: number; from: number; to: number; ran: boolean }>();
      for (const row of owned) {
        const from = this.#owned.from(row);
        const to = line.firstEndAfter(from);
        const thread = this.#owned.thread(row);
        const hold = holds.get(`${thread} ${to}`) ?? { thread, from, to, ran: false };
        hold.from = Math.min(hold.from, from);
        // The owner's own waits were looked for in the whole wait: of one that ended later they say nothing.
        hold.ran ||= this.#owned.to(row) === to && this.#owned.extra(row) === 0;
        holds.set(`${thread} ${to}`, hold);
      }
      return [...holds.values()]
        .filter(({ from, to }) => to - from >= MIN_HOLD_NS && to < this.#waits.knownUntilNs)
        .map(({ thread, from, to, ran }) => ({
          ...{ lock, thread, from, to, lengthNs: to - from, neverOffCpu: ran },
          ...line.waitingIn(from, to),
        }));
    });
  }

  #cpuBetween(rows: Uint32Array = new Uint32Array(), from: number, to: number) {
    const cpu = this.#cpu;
    const found: { stack: number; variant: number; weightNs: number }[] = [];
    for (let i = firstAbove(rows.length, (at) => cpu.from(rows[at]!), from); i < rows.length; i++) {
      const row = rows[i]!;
      if (cpu.from(row) > to) break;
      found.push({ stack: cpu.key(row), variant: cpu.extra(row), weightNs: cpu.to(row) - cpu.from(row) });
    }
    return found;
  }
}

function addWaits(kept: KeptTimes, { lock, timeNs, durationNs, thread, state, count }: SampleColumns): void {
  if (lock === undefined) return;
  const rows = Math.min(count, ...[lock, timeNs, durationNs, thread, state].map((column) => column.length));
  for (let i = 0; i < rows; i++)
    if (lock[i] !== NO_LOCK)
      kept.add(
        timeNs[i]! - durationNs[i]!,
        durationNs[i]!,
        lock[i]!,
        thread[i]!,
        state[i] === RUNNING ? 0 : 1,
      );
}

/** The waits for one lock, by their end. */
class WaitLine {
  readonly #kept: KeptTimes;
  readonly #rows: Uint32Array;
  readonly #longestNs: number;

  constructor(kept: KeptTimes, rows: Uint32Array) {
    this.#kept = kept;
    this.#rows = rows.sort((a, c) => kept.to(a) - kept.to(c));
    this.#longestNs = rows.reduce((longest, row) => Math.max(longest, kept.to(row) - kept.from(row)), 0);
  }

  /** Infinite where no wait is known that ended after `time`. */
  firstEndAfter(time: number): number {
    const row = this.#rows[this.#above(time)];
    return row === undefined ? Number.POSITIVE_INFINITY : this.#kept.to(row);
  }

  /** Between `from` and the first end of a wait after it no thread waits twice. */
  waitingIn(from: number, to: number): { waiters: number; waitedNs: number } {
    let waiters = 0;
    let waitedNs = 0;
    for (let i = this.#above(from); i < this.#rows.length; i++) {
      const row = this.#rows[i]!;
      if (this.#kept.to(row) - this.#longestNs >= to) break;
      const common = Math.min(to, this.#kept.to(row)) - Math.max(from, this.#kept.from(row));
      if (common <= 0) continue;
      waiters++;
      waitedNs += common;
    }
    return { waiters, waitedNs };
  }

  #above(time: number): number {
    return firstAbove(this.#rows.length, (at) => this.#kept.to(this.#rows[at]!), time);
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
