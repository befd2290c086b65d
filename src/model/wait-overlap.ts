// How many threads waited for one futex at the same time, from the begin and end of sampled waits. Waits that were not
// sampled are missing, so each number is a lower bound.
import type { SampleColumns } from "../capture/binding.js";
import { grownFloat64, grownUint32 } from "./growable.js";
import { NO_LOCK } from "./profile.js";

const FIRST_WAITS = 1024;
/** Waits that are kept, 20 bytes each; later ones are left out, and the numbers stay lower bounds. */
const MAX_WAITS = 1 << 20;

export class WaitOverlap {
  readonly #maxWaits: number;
  #count = 0;
  #lock = new Uint32Array(FIRST_WAITS);
  #begin = new Float64Array(FIRST_WAITS);
  #end = new Float64Array(FIRST_WAITS);

  constructor(maxWaits = MAX_WAITS) {
    this.#maxWaits = maxWaits;
  }

  /** Adds a batch's waits; those of no lock and those with impossible times are passed over. */
  addColumns({ lock, timeNs, durationNs, count }: SampleColumns): void {
    if (lock === undefined) return;
    const rows = Math.min(count, lock.length, timeNs.length, durationNs.length);
    for (let i = 0; i < rows && this.#count < this.#maxWaits; i++) {
      const end = timeNs[i]!;
      const begin = end - durationNs[i]!;
      if (lock[i] === NO_LOCK || !(begin < end) || !Number.isFinite(end - begin)) continue;
      if (this.#count >= this.#lock.length) this.#grow();
      this.#lock[this.#count] = lock[i]!;
      this.#begin[this.#count] = begin;
      this.#end[this.#count] = end;
      this.#count++;
    }
  }

  /** By lock id: the most waits that went on at one time. One that begins when another ends was not there with it. */
  mostAtOnce(): Map<number, number> {
    const rows = new Map<number, number[]>();
    for (let row = 0; row < this.#count; row++) {
      const lock = this.#lock[row]!;
      const known = rows.get(lock);
      if (known === undefined) rows.set(lock, [row]);
      else known.push(row);
    }
    const most = new Map<number, number>();
    for (const [lock, waits] of rows) most.set(lock, this.#overlapOf(waits));
    return most;
  }

  #overlapOf(waits: readonly number[]): number {
    const begins = Float64Array.from(waits, (row) => this.#begin[row]!).sort();
    const ends = Float64Array.from(waits, (row) => this.#end[row]!).sort();
    let most = 0;
    let ended = 0;
    for (let begun = 0; begun < begins.length; begun++) {
      while (ends[ended]! <= begins[begun]!) ended++;
      most = Math.max(most, begun + 1 - ended);
    }
    return most;
  }

  #grow(): void {
    const needed = this.#lock.length * 2;
    this.#lock = grownUint32(this.#lock, needed);
    this.#begin = grownFloat64(this.#begin, needed);
    this.#end = grownFloat64(this.#end, needed);
  }
}
