// Percentiles of run-queue wait: the bucket layout is that of RunQueueRow.
import { execFileSync } from "node:child_process";
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

test("the BPF programs choose the same buckets, at each end of one", () => {
  const bounds = Array.from({ length: RUNQUEUE_BUCKETS }, (_, i) => bucketBounds(i).low);
  const times = [...bounds.flatMap((low) => [low, low + 1, Math.max(low - 1, 0)]), 2 ** 44, 2 ** 52];
  const chosen = execFileSync("build/test-programs/buckets", times.map(String), { encoding: "utf8" });
  const own = times.map((time) => bounds.findLastIndex((low) => time >= low));
  expect(chosen.trim().split("\n").map(Number)).toEqual(own);
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

test("with the sum the median of few values, or of many of one length, is where they lie", () => {
  const half = (values: readonly number[]) => {
    const row = rowOf(values);
    return percentile(row, 0.5, row.sumNs);
  };
  expect(half([50e6])).toBeCloseTo(50e6, 0);
  expect(half(new Array(9).fill(50e6))).toBeCloseTo(50e6, 0);
  for (const values of [
    [50.1e6, 50.2e6, 50.2e6, 50.3e6, 50.9e6],
    [34e6, 34.1e6, 34.3e6, 50e6],
    // others beside them, whose own places in their buckets are not known
    [1.1e6, ...new Array(20).fill(40e6), 60e6],
  ]) {
    const truth = values.toSorted((a, b) => a - b)[Math.ceil(values.length / 2) - 1]!;
    expect(Math.abs(half(values) / truth - 1)).toBeLessThan(0.08);
  }
  // a sum that long waits make says nothing of short ones: then evenly
  const mixed = rowOf([...new Array(98).fill(1.1e6), 0.9e9, 1e9]);
  expect(percentile(mixed, 0.5, mixed.sumNs)).toBe(percentile(mixed, 0.5));
  // nor does one that cannot be
  for (const sum of [0, 1e18, Number.NaN]) {
    const value = percentile(rowOf([40e6, 45e6]), 0.5, sum);
    expect(value).toBeGreaterThanOrEqual(bucketBounds(31).low);
    expect(value).toBeLessThanOrEqual(45e6);
  }
});
