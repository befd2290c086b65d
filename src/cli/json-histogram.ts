// Histograms in what `--json` prints: the buckets that hold something, with their bounds. Pure.
import { bucketBounds } from "../model/histogram.js";

/** One bucket: `count` values of at least `lowNs` and less than `highNs`. */
export interface BucketJson {
  readonly lowNs: number;
  /** Null for the last bucket, which has no end. */
  readonly highNs: number | null;
  readonly count: number;
}

/**
 * @param buckets counts by bucket as `bucketBounds` (src/model/histogram.ts) numbers them
 * @returns shortest first, those without a value left out; empty where no length is known
 */
export function histogramJson(buckets: readonly number[]): BucketJson[] {
  return buckets.flatMap((count, index) => {
    if (count === 0) return [];
    const { low, high } = bucketBounds(index);
    return [{ lowNs: low, highNs: Number.isFinite(high) ? high : null, count }];
  });
}
