// Stretches of time that are kept one by one, by column and with a bound: waits for locks and CPU samples, where it matters
// what went on together. Sums by stack cannot tell that.
import { grownFloat64, grownUint8, grownUint32 } from "./growable.js";

const FIRST_ROWS = 1024;

export class KeptTimes {
  readonly #max: number;
  #count = 0;
  #leftOut = 0;
  #knownUntilNs = Number.POSITIVE_INFINITY;
  #from = new Float64Array(FIRST_ROWS);
  #to = new Float64Array(FIRST_ROWS);
  #key = new Uint32Array(FIRST_ROWS);
  #thread = new Uint32Array(FIRST_ROWS);
  #extra = new Uint8Array(FIRST_ROWS);

  /** @param max rows that are kept; later ones are counted and left out */
  constructor(max: number) {
    this.#max = max;
  }

  /** Adds a stretch of `lengthNs` from `fromNs`; one of impossible length or time is passed over. */
  add(fromNs: number, lengthNs: number, key: number, thread: number, extra: number): void {
    if (!(lengthNs > 0) || !Number.isFinite(fromNs + lengthNs)) return;
    if (this.#count >= this.#max) {
      this.#leftOut++;
      this.#knownUntilNs = Math.min(this.#knownUntilNs, fromNs + lengthNs);
      return;
    }
    if (this.#count >= this.#key.length) this.#grow();
    const row = this.#count++;
    this.#from[row] = fromNs;
    this.#to[row] = fromNs + lengthNs;
    this.#key[row] = key;
    this.#thread[row] = thread;
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
  extra(row: number): number {
    return this.#extra[row]!;
  }

  /** Rows of each key, as they came. */
  rowsByKey(): Map<number, Uint32Array> {
    return this.#rowsBy(this.#key, () => true);
  }

  /** Rows of each of these threads, by their beginning. */
  rowsByThread(threads: ReadonlySet<number>): Map<number, Uint32Array> {
    const rows = this.#rowsBy(this.#thread, (thread) => threads.has(thread));
    for (const of of rows.values()) of.sort((a, c) => this.#from[a]! - this.#from[c]!);
    return rows;
  }

  #rowsBy(column: Uint32Array, wanted: (value: number) => boolean): Map<number, Uint32Array> {
    const rows = new Map<number, number[]>();
    for (let row = 0; row < this.#count; row++) {
      const value = column[row]!;
      if (!wanted(value)) continue;
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
    this.#extra = grownUint8(this.#extra, needed);
  }
}
