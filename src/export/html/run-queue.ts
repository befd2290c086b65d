// Percentiles of run-queue wait from the kernel-side histogram (bucket layout: see RunQueueRow in binding.ts).

/** Bounds of one bucket, ns: [low, high). The last bucket of a histogram has no upper bound; the caller knows it. */
export function bucketBounds(index: number): { readonly low: number; readonly high: number } {
  if (index === 0) return { low: 0, high: 1024 };
  const octave = 2 ** (10 + Math.floor((index - 1) / 2));
  return index % 2 === 1 ? { low: octave, high: 1.5 * octave } : { low: 1.5 * octave, high: 2 * octave };
}

/**
 * Upper bound of a percentile, ns: at least the share `q` of the waits was not longer than this. The histogram does
 * not know where inside its bucket a wait lies, so the bucket's end (or the longest wait, if shorter) is given: the
 * true value is at most 33 % to 50 % lower, never higher.
 * @param buckets counts by bucket
 * @param q 0 to 1
 * @param maxNs longest single wait, ns
 * @returns 0 if there were no waits
 */
export function percentileUpperBound(buckets: readonly number[], q: number, maxNs: number): number {
  let total = 0;
  for (const count of buckets) total += count;
  if (total === 0) return 0;
  const rank = Math.max(1, Math.ceil(q * total));
  let seen = 0;
  for (let index = 0; index < buckets.length; index++) {
    seen += buckets[index] ?? 0;
    if (seen >= rank) {
      return index === buckets.length - 1 ? maxNs : Math.min(bucketBounds(index).high, maxNs);
    }
  }
  return maxNs;
}
