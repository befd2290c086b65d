// Percentiles of run-queue wait from its buckets (layout: RunQueueRow in src/capture/binding.ts).
import { RUNQUEUE_BUCKETS, type RunQueueRow } from "../capture/binding.js";
import { type Nanoseconds, ns } from "./units.js";

const LAST = RUNQUEUE_BUCKETS - 1;

/** Bounds of a bucket, ns: values in [low, high). The last one is open: its `high` is Infinity. */
export function bucketBounds(index: number): { low: Nanoseconds; high: Nanoseconds } {
  if (index <= 0) return { low: ns(0), high: ns(1024) };
  const octave = 2 ** (10 + Math.floor((index - 1) / 2));
  const upper = (index - 1) % 2 === 1;
  const high = index >= LAST ? Number.POSITIVE_INFINITY : upper ? octave * 2 : octave * 1.5;
  return { low: ns(upper ? octave * 1.5 : octave), high: ns(high) };
}

/**
 * Value below which the fraction `p` (0 to 1) of the waits lie, ns: linear within its bucket, so off by at most half
 * of it, and never above the longest wait seen. 0 for a row without waits.
 * @param sumNs of all of them: where it tells the mean of those in the bucket, they are not taken to be spread evenly. Few
 *   answers, or many of one length, lie where they were instead of in the middle. Percentiles to be compared need it alike: two
 *   in one bucket are in order only by one way to spread it.
 */
export function percentile(
  row: Pick<RunQueueRow, "buckets" | "maxNs">,
  p: number,
  sumNs?: number,
): Nanoseconds {
  let total = 0;
  for (const count of row.buckets) total += count;
  if (total === 0) return ns(0);
  const rank = Math.min(Math.max(p, 0), 1) * total;
  let below = 0;
  for (let i = 0; i < row.buckets.length; i++) {
    const count = row.buckets[i]!;
    if (count > 0 && below + count >= rank) {
      const { low, high } = bucketBounds(i);
      const top = Math.min(high, Math.max(row.maxNs, low));
      const part = (rank - below) / count;
      return ns(low + (top - low) * part ** (sumNs === undefined ? 1 : bend(row, i, sumNs)));
    }
    below += count;
  }
  return row.maxNs;
}

/** How much of the width of a bucket the others may be off by, all together, for their sum to tell the mean in this one. */
const TOLD_BY_SUM = 0.25;

/**
 * Exponent k for which values low + width * u^k, u even from 0 to 1, have the mean that the waits of bucket `at` have by the sum
 * of all; 1, even ones, where the sum does not tell it.
 */
function bend({ buckets, maxNs }: Pick<RunQueueRow, "buckets" | "maxNs">, at: number, sumNs: number): number {
  let rest = sumNs;
  let unsure = 0;
  const widthOf = (index: number): [low: number, width: number] => {
    const { low, high } = bucketBounds(index);
    return [low, Math.min(high, Math.max(maxNs, low)) - low];
  };
  for (let i = 0; i < buckets.length; i++) {
    const count = buckets[i]!;
    if (i === at || count <= 0) continue;
    const [low, width] = widthOf(i);
    rest -= count * (low + width / 2);
    unsure += (count * width) / 2;
  }
  const [low, width] = widthOf(at);
  const count = buckets[at]!;
  if (width <= 0 || !Number.isFinite(rest) || unsure > count * width * TOLD_BY_SUM) return 1;
  const mean = Math.min(Math.max((rest / count - low) / width, 0.01), 1);
  return 1 / mean - 1;
}

/** Sum of several rows: one histogram for the whole machine or for a merged process. `process` is that of the first. */
export function mergeRunQueue(rows: readonly RunQueueRow[]): RunQueueRow {
  const buckets = new Array<number>(RUNQUEUE_BUCKETS).fill(0);
  let count = 0;
  let sum = 0;
  let max = 0;
  for (const row of rows) {
    count += row.count;
    sum += row.sumNs;
    max = Math.max(max, row.maxNs);
    for (let i = 0; i < RUNQUEUE_BUCKETS; i++) buckets[i]! += row.buckets[i] ?? 0;
  }
  return { process: rows[0]?.process ?? -1, count, sumNs: ns(sum), maxNs: ns(max), buckets };
}
