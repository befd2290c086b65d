// Stretches of time that are kept one by one, by column and with a bound: waits for locks and CPU samples, where it matters
// what went on together. Sums by stack cannot tell that.
import { grownFloat32, grownFloat64, grownInt32, grownUint8, grownUint32 } from "./growable.js";

const FIRST_ROWS = 1024;

/** What goes with a stretch; what it means is the keeper's. */
export interface KeptFacts {
  readonly key: number;
  readonly thread: number;
  /** 0 to 255. */
  readonly extra: number;
  /** What the stretch weighs, by its length; default 1. */
  readonly scale?: number;
  readonly stack?: number;
  readonly syscall?: number;
}

export class KeptTimes {
  readonly #max: number;
  #count = 0;
  #leftOut = 0;
  #knownUntilNs = Number.POSITIVE_INFINITY;
  #from = new Float64Array(FIRST_ROWS);
  #to = new Float64Array(FIRST_ROWS);
  #key = new Uint32Array(FIRST_ROWS);
  #thread = new Uint32Array(FIRST_ROWS);
  #scale = new Float32Array(FIRST_ROWS);
  #stack = new Uint32Array(FIRST_ROWS);
  #syscall = new Int32Array(FIRST_ROWS);
  #extra = new Uint8Array(FIRST_ROWS);

  /** @param max rows that are kept; later ones are counted and left out */
  constructor(max: number) {
    this.#max = max;
  }

  /** Adds a stretch of `lengthNs` from `fromNs`; one of impossible length or time is passed over. */
  add(fromNs: number, lengthNs: number, facts: KeptFacts): void {
    if (!(lengthNs > 0) || !Number.isFinite(fromNs + lengthNs)) return;
    if (this.#count >= this.#max) {
      this.#leftOut++;
      this.#knownUntilNs = Math.min(this.#knownUntilNs, fromNs + lengthNs);
      return;
    }
    if (this.#count >= this.#key.length) this.#grow();
    const row = this.#count++;
    const { key, thread, extra, scale = 1, stack = 0, syscall = -1 } = facts;
    this.#from[row] = fromNs;
    this.#to[row] = fromNs + lengthNs;
    this.#key[row] = key;
    this.#thread[row] = thread;
    this.#scale[row] = scale >= 0 && scale < 2 ** 63 ? scale : 0;
    this.#stack[row] = stack;
    this.#syscall[row] = syscall;
    this.#extra[row] = extra;
  }

  get leftOut(): number {
    return this.#leftOut;
  }
  /** Earliest end of those left out, ns: what ended before is all here. Infinite where none were left out. */
  get knownUntilNs(): number {
    return this.#knownUntilNs;
  }
  from(row: number): number {
    return this.#from[row]!;
  }
  to(row: number): number {
    return this.#to[row]!;
  }
  key(row: number): number {
    return this.#key[row]!;
  }
  thread(row: number): number {
    return this.#thread[row]!;
  }
  /** What it weighs, by its length; 0 where that is impossible. */
  scale(row: number): number {
    return this.#scale[row]!;
  }
  stack(row: number): number {
    return this.#stack[row]!;
  }
  syscall(row: number): number {
    return this.#syscall[row]!;
  }
  extra(row: number): number {
    return this.#extra[row]!;
  }

  /** Rows of each key, as they came. @param keyOf takes several keys for one */
  rowsByKey(keyOf: (key: number) => number = (key) => key): Map<number, Uint32Array> {
    return this.#rowsBy((row) => keyOf(this.#key[row]!));
  }

  /** Rows of each of these threads, by their beginning. */
  rowsByThread(threads: ReadonlySet<number>): Map<number, Uint32Array> {
    const rows = this.#rowsBy((row) => (threads.has(this.#thread[row]!) ? this.#thread[row]! : undefined));
    for (const of of rows.values()) of.sort((a, c) => this.#from[a]! - this.#from[c]!);
    return rows;
  }

  #rowsBy(groupOf: (row: number) => number | undefined): Map<number, Uint32Array> {
    const rows = new Map<number, number[]>();
    for (let row = 0; row < this.#count; row++) {
      const value = groupOf(row);
      if (value === undefined) continue;
      const known = rows.get(value);
      if (known === undefined) rows.set(value, [row]);
      else known.push(row);
    }
    return new Map([...rows].map(([value, of]) => [value, Uint32Array.from(of)]));
  }

  #grow(): void {
    const needed = this.#key.length * 2;
    this.#from = grownFloat64(this.#from, needed);
    this.#to = grownFloat64(this.#to, needed);
    this.#key = grownUint32(this.#key, needed);
    this.#thread = grownUint32(this.#thread, needed);
    this.#scale = grownFloat32(this.#scale, needed);
    this.#stack = grownUint32(this.#stack, needed);
    this.#syscall = grownInt32(this.#syscall, needed);
    this.#extra = grownUint8(this.#extra, needed);
  }
}
