// Who held one lock when, as far as the waits for it tell: an owner that a waiter read at its beginning, and then, hand
// by hand, each thread whose wait ends, for who lets go of a lock that is waited for wakes one of those that wait. How the
// chain is closed and where it breaks: docs/how-it-works.md.
import type { KeptTimes } from "./kept-times.js";

/** What one thread's time with a lock cost the waits that one row of the lock has. Times in ns since the start. */
export interface Tenure {
  /** Id of the row of the lock: readers and writers of one lock have two. */
  readonly lock: number;
  /** Id of the thread that held it. */
  readonly holder: number;
  readonly from: number;
  readonly to: number;
  /** What its part of the sampled waits weighs, with the variance of that estimate; and how many waits that stands for. */
  readonly weightNs: number;
  readonly varianceNs2: number;
  readonly waits: number;
  /** Sampled waits that went on in it. */
  readonly samples: number;
  /** The longest part that one sampled wait has in it. */
  readonly longestNs: number;
  /** Sampled waiting in it, each wait for itself. */
  readonly waitedNs: number;
  /** Sampled waits at its end, with the one that ends then. */
  readonly waiters: number;
  /** Rows of what was read in it: the one whose wait ended first, the last one with a stack; -1 = none. */
  readonly read: number;
  readonly readWithStack: number;
}

/** The waits for one lock. Rows of `waits` by the waiter, rows of `read` by the owner, each with the times of a wait. */
export interface LockWaits {
  readonly waits: KeptTimes;
  readonly rows: Uint32Array;
  readonly read: KeptTimes;
  readonly readRows: Uint32Array;
  /** Whether a wait ended without the lock: given up, or going on at the end of the recording. */
  readonly inVain: (row: number) => boolean;
  /** Whether its thread then shares the lock with others: a reader. */
  readonly shares: (row: number) => boolean;
  readonly knownUntilNs: number;
}

const NOBODY = -1;

export function tenuresOf(lock: LockWaits): Tenure[] {
  const { waits, rows, read, readRows, knownUntilNs } = lock;
  const count = rows.length;
  // Ends come before beginnings of the same time, and what was read after the beginning that read it.
  const time = new Float64Array(2 * count + readRows.length);
  for (let i = 0; i < count; i++) {
    time[i] = waits.to(rows[i]!);
    time[count + i] = waits.from(rows[i]!);
  }
  for (let i = 0; i < readRows.length; i++) time[2 * count + i] = read.from(readRows[i]!);
  const order = Uint32Array.from(time, (_, i) => i).sort((a, c) => time[a]! - time[c]! || a - c);
  const chain = new Chain(lock);
  let last = 0;
  for (const event of order) {
    if (time[event]! >= knownUntilNs) break;
    last = time[event]!;
    if (event < count) chain.end(rows[event]!, last);
    else if (event < 2 * count) chain.begin(rows[event - count]!, last);
    else chain.owner(readRows[event - 2 * count]!, last);
  }
  chain.stop(last);
  return chain.tenures;
}

/** The waits that go on and belong to one row of the lock, and what the tenure that goes on costs them. */
class Side {
  /** By their beginning. */
  readonly rows = new Set<number>();
  /** Of the waits that go on, by ns: what they weigh, the variance of that, the waits that they stand for. */
  weight = 0;
  variance = 0;
  waits = 0;
  sum = { weightNs: 0, varianceNs2: 0, waits: 0, samples: 0, longestNs: 0, waitedNs: 0 };

  add(kept: KeptTimes, row: number, sign: 1 | -1): void {
    const scale = kept.scale(row);
    const lengthNs = kept.to(row) - kept.from(row);
    this.weight += sign * scale;
    this.variance += sign * scale * Math.max(0, scale - 1) * lengthNs;
    this.waits += (sign * Math.max(1, scale)) / lengthNs;
    if (sign > 0) this.rows.add(row);
    else this.rows.delete(row);
    // sums of floats do not come back to 0
    if (this.rows.size === 0) this.weight = this.variance = this.waits = 0;
  }

  pass(ns: number): void {
    this.sum.weightNs += this.weight * ns;
    this.sum.varianceNs2 += this.variance * ns;
    this.sum.waits += this.waits * ns;
    this.sum.waitedNs += this.rows.size * ns;
  }

  open(): void {
    this.sum = { weightNs: 0, varianceNs2: 0, waits: 0, samples: this.rows.size, longestNs: 0, waitedNs: 0 };
  }

  /** Beginning of the wait that has gone on for longest; infinite where there is none. */
  oldest(kept: KeptTimes): number {
    for (const row of this.rows) return kept.from(row);
    return Number.POSITIVE_INFINITY;
  }
}

class Chain {
  readonly tenures: Tenure[] = [];
  readonly #lock: LockWaits;
  readonly #sides = new Map<number, Side>();
  /** Thread -> its waits that go on. */
  readonly #waiting = new Map<number, number>();
  #holder = NOBODY;
  #since = 0;
  #now = Number.NEGATIVE_INFINITY;
  /** Waits that go on, now and just before now. */
  #count = 0;
  #before = 0;
  #read = NOBODY;
  #readWithStack = NOBODY;

  constructor(lock: LockWaits) {
    this.#lock = lock;
  }

  begin(row: number, now: number): void {
    this.#pass(now);
    const { waits } = this.#lock;
    const thread = waits.thread(row);
    if (thread === this.#holder) this.#change(NOBODY, now);
    const side = this.#sides.get(waits.key(row)) ?? new Side();
    this.#sides.set(waits.key(row), side);
    side.add(waits, row, 1);
    side.sum.samples++;
    this.#count++;
    this.#waiting.set(thread, (this.#waiting.get(thread) ?? 0) + 1);
  }

  /** What the waiter that began just now read. Who waits itself has let go, or is on the way to take it. */
  owner(row: number, now: number): void {
    this.#pass(now);
    const { read } = this.#lock;
    const thread = read.thread(row);
    if (this.#waiting.size === 0) return;
    this.#change(this.#waiting.has(thread) ? NOBODY : thread, now);
    if (this.#holder === NOBODY) return;
    if (this.#read < 0 || read.to(row) < read.to(this.#read)) this.#read = row;
    if (read.stack(row) !== 0) this.#readWithStack = row;
  }

  end(row: number, now: number): void {
    this.#pass(now);
    const { waits, inVain, shares } = this.#lock;
    const thread = waits.thread(row);
    const side = this.#sides.get(waits.key(row));
    if (side !== undefined && this.#holder !== NOBODY)
      side.sum.longestNs = Math.max(side.sum.longestNs, now - Math.max(this.#since, waits.from(row)));
    side?.add(waits, row, -1);
    this.#count--;
    const left = (this.#waiting.get(thread) ?? 1) - 1;
    if (left > 0) this.#waiting.set(thread, left);
    else this.#waiting.delete(thread);
    // with nobody waiting a lock comes and goes without a trace
    if (this.#waiting.size === 0) this.#change(NOBODY, now);
    else if (!inVain(row)) this.#change(left > 0 || shares(row) ? NOBODY : thread, now);
  }

  stop(now: number): void {
    this.#pass(now);
    this.#change(NOBODY, now);
  }

  #pass(now: number): void {
    if (now > this.#now) this.#before = this.#count;
    if (this.#holder !== NOBODY) for (const side of this.#sides.values()) side.pass(now - this.#now);
    this.#now = now;
  }

  #change(holder: number, now: number): void {
    if (holder === this.#holder) return;
    if (this.#holder !== NOBODY && now > this.#since) this.#close(now);
    this.#holder = holder;
    this.#since = now;
    this.#read = this.#readWithStack = NOBODY;
    for (const side of this.#sides.values()) side.open();
  }

  #close(now: number): void {
    const { waits } = this.#lock;
    for (const [lock, side] of this.#sides) {
      const goesOnNs = now - Math.max(this.#since, side.oldest(waits));
      const longestNs = Math.max(side.sum.longestNs, goesOnNs);
      if (!(longestNs > 0)) continue;
      this.tenures.push({
        ...{ lock, holder: this.#holder, from: this.#since, to: now, waiters: this.#before },
        ...side.sum,
        longestNs,
        read: this.#read,
        readWithStack: this.#readWithStack,
      });
    }
  }
}
