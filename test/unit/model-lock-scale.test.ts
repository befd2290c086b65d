// Sampled waits for locks are brought to the exact totals of their lock.
import { expect, test } from "vitest";
import { lockScales, scaleLocks } from "../../src/model/lock-scale.js";
import { ns } from "../../src/model/units.js";

const total = (lock: number, count: number, sumNs: number) => ({
  lock,
  process: 1,
  count,
  sumNs: ns(sumNs),
  maxNs: ns(sumNs),
  timeouts: 0,
  buckets: [],
});

test("a lock's stacks add up to its exact total, whatever holding a waiter up made of them", () => {
  const rows = {
    count: 3,
    lock: Uint32Array.of(7, 7, 8),
    weightNs: Float64Array.of(3000, 1000, 500),
    varianceNs2: Float64Array.of(16, 4, 1),
    waits: Float64Array.of(30, 10, 5),
  };
  scaleLocks(rows, lockScales(rows, [total(7, 60, 700), total(7, 20, 300), total(9, 1, 1), total(-1, 5, 5)]));
  expect([...rows.weightNs]).toEqual([750, 250, 500]); // lock 8 has no exact total: the table was full
  expect([...rows.varianceNs2]).toEqual([1, 0.25, 1]);
  expect([...rows.waits]).toEqual([60, 20, 5]);
});

test("rows without a lock, and locks whose samples weigh nothing, stay as they are", () => {
  const rows = { count: 1, weightNs: Float64Array.of(5), varianceNs2: Float64Array.of(1) };
  scaleLocks(rows, lockScales(rows, [total(1, 1, 1)]));
  expect([...rows.weightNs]).toEqual([5]);
  const empty = { ...rows, lock: Uint32Array.of(1), weightNs: Float64Array.of(0) };
  scaleLocks(empty, lockScales(empty, [total(1, 1, 1)]));
  expect([...empty.weightNs]).toEqual([0]);
});
