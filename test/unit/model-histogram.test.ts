// Percentiles of run-queue wait: the bucket layout is that of RunQueueRow.
import { expect, test } from "vitest";
import { RUNQUEUE_BUCKETS } from "../../src/capture/binding.js";
import { bucketBounds, mergeRunQueue, percentile } from "../../src/model/histogram.js";
import { ns } from "../../src/model/units.js";

function rowOf(values: readonly number[], process = 1) {
  const buckets = new Array<number>(RUNQUEUE_BUCKETS).fill(0);
  for (const value of values) {
    const index = buckets.findIndex((_, i) => value < bucketBounds(i).high);
    buckets[index]! += 1;
  }
  return {
    process,
    buckets,
    count: values.length,
    sumNs: ns(values.reduce((a, c) => a + c, 0)),
    maxNs: ns(Math.max(0, ...values)),
  };
}

test("buckets meet without gap or overlap, two an octave from 1,024 ns", () => {
  for (let i = 1; i < RUNQUEUE_BUCKETS; i++) expect(bucketBounds(i).low).toBe(bucketBounds(i - 1).high);
  expect(bucketBounds(1)).toEqual({ low: 1024, high: 1536 });
  expect(bucketBounds(2)).toEqual({ low: 1536, high: 2048 });
  expect(bucketBounds(RUNQUEUE_BUCKETS - 1)).toEqual({ low: 2 ** 37, high: Number.POSITIVE_INFINITY });
});

test("a percentile is within its bucket of the true one", () => {
  const values = Array.from({ length: 10_000 }, (_, i) => 2_000 + i * 997);
  const row = rowOf(values);
  for (const p of [0.01, 0.5, 0.9, 0.99, 1]) {
    const truth = values[Math.ceil(p * values.length) - 1]!;
    expect(Math.abs(percentile(row, p) - truth) / truth).toBeLessThan(0.25);
  }
});

test("no percentile is above the longest wait, and none waits leave 0", () => {
  expect(percentile(rowOf([5_000_001]), 0.99)).toBeLessThanOrEqual(5_000_001);
  expect(percentile(rowOf([2 ** 39]), 1)).toBe(2 ** 39);
  expect(percentile(rowOf([]), 0.5)).toBe(0);
});

test("merged rows have the percentiles of all their waits", () => {
  const a = Array.from({ length: 500 }, (_, i) => 10_000 + i);
  const c = Array.from({ length: 500 }, (_, i) => 50_000_000 + i);
  const merged = mergeRunQueue([rowOf(a, 3), rowOf(c, 4)]);
  expect(merged).toEqual({ ...rowOf([...a, ...c]), process: 3 });
});
