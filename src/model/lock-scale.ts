// Brings sampled waits for locks to the exact totals. Taking a stack holds its waiter up by some microseconds, longer than
// many a wait: sampled short waits tell which stacks wait, not for how long. How many waited and how long is exact.
import type { LockTotal } from "../capture/binding.js";

/** The columns of a weight table that scaling changes. */
export interface ScalableRows {
  readonly count: number;
  readonly lock?: Uint32Array;
  readonly weightNs: Float64Array;
  readonly varianceNs2: Float64Array;
  /** Estimated number of waits. */
  readonly waits?: Float64Array;
}

export interface LockScale {
  readonly weight: number;
  readonly waits: number;
}

/** By lock: exact over sampled (ratio estimators); locks without exact totals are left out. */
export function lockScales(sampled: ScalableRows, totals: readonly LockTotal[]): Map<number, LockScale> {
  const exact = new Map<number, { sumNs: number; count: number }>();
  for (const { lock, sumNs, count } of totals) {
    const known = exact.get(lock) ?? { sumNs: 0, count: 0 };
    exact.set(lock, { sumNs: known.sumNs + sumNs, count: known.count + count });
  }
  const seen = new Map<number, { weight: number; waits: number }>();
  for (let row = 0; row < sampled.count; row++) {
    const lock = sampled.lock?.[row] ?? -1;
    const known = seen.get(lock) ?? { weight: 0, waits: 0 };
    known.weight += sampled.weightNs[row]!;
    known.waits += sampled.waits?.[row] ?? 0;
    seen.set(lock, known);
  }
  const scales = new Map<number, LockScale>();
  for (const [lock, { weight, waits }] of seen) {
    const truth = exact.get(lock);
    if (truth === undefined || lock < 0) continue;
    scales.set(lock, {
      weight: weight > 0 ? truth.sumNs / weight : 1,
      waits: waits > 0 ? truth.count / waits : 1,
    });
  }
  return scales;
}

/** Scales weights and numbers of waits, and variances by the square, in place. */
export function scaleLocks(rows: ScalableRows, scales: ReadonlyMap<number, LockScale>): void {
  for (let row = 0; row < rows.count; row++) {
    const scale = scales.get(rows.lock?.[row] ?? -1);
    if (scale === undefined) continue;
    rows.weightNs[row]! *= scale.weight;
    rows.varianceNs2[row]! *= scale.weight * scale.weight;
    if (rows.waits) rows.waits[row]! *= scale.waits;
  }
}
