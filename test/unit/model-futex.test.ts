// Futexes in the model: rows by lock, exact totals, owners, and how many threads waited at once.
import { describe, expect, test } from "vitest";
import type { SampleColumns } from "../../src/capture/binding.js";
import { WaitOverlap } from "../../src/model/wait-overlap.js";
import { table } from "./helpers/build-profile.js";
import { fakeApp, futexOf, profileOf, WANTS } from "./helpers/futex-totals.js";
import { total } from "./helpers/lock-totals.js";

test("sampled waits are rows by thread, stack and lock, asleep in their system call", () => {
  const app = fakeApp(2);
  const [one, two] = [futexOf(app), futexOf(app, "user lock", 0x7f0000000040n)];
  app.capture.futex(app.threads[0]!, WANTS, { lock: one, syscall: 202, durationNs: 4e6, times: 2 });
  app.capture.futex(app.threads[1]!, WANTS, { lock: two, syscall: 202, durationNs: 9e6 });
  const rows = table(profileOf(app, []), "futex");
  expect([...rows.lock!]).toEqual([one, two]);
  expect([...rows.weightNs]).toEqual([8e6, 9e6]);
  expect([...rows.syscall]).toEqual([202, 202]);
});

test("stacks of a futex, and of its owners, add up to its exact total, with their errors", () => {
  const app = fakeApp(2);
  const [waiter, owner] = app.threads as [number, number];
  const lock = futexOf(app);
  app.capture.futex(waiter, WANTS, { lock, durationNs: 1e6, weightNs: 5e6, times: 2 });
  app.capture.futexOwners(owner, [], { lock, durationNs: 1e6, weightNs: 5e6 });
  const profile = profileOf(app, [total(lock, app.process, 8, 2.5e6)]);
  const rows = table(profile, "futex");
  expect([rows.weightNs[0], rows.waits![0]]).toEqual([20e6, 8]);
  // 2 w (w - d) of the samples, by the square of the factor 2
  expect(rows.varianceNs2[0]).toBe(4 * 2 * 5e6 * 4e6);
  const owners = table(profile, "futex-owners");
  expect([owners.weightNs[0], owners.node[0], owners.maxNs[0]]).toEqual([10e6, 0, 1e6]);
});

test("what found no row in the kernel's table scales nothing, neither futexes nor kernel locks", () => {
  const app = fakeApp();
  const lock = futexOf(app);
  app.capture.futex(app.threads[0]!, WANTS, { lock, durationNs: 1e6 });
  const rows = table(profileOf(app, [total(-2, -1, 9, 9e6), total(-1, -1, 9, 9e6)]), "futex");
  expect(rows.weightNs[0]).toBe(1e6);
});

test("a stack that stands in the off-CPU samples as well is counted once among the user stacks", () => {
  const app = fakeApp(2);
  const [waiter, owner] = app.threads as [number, number];
  const lock = futexOf(app);
  app.capture.futex(waiter, WANTS, { lock }).futexOwners(owner, WANTS, { lock });
  expect(profileOf(app, []).userStacks.total).toBe(1);
  app.capture.offcpu(waiter, WANTS).offcpu(owner, WANTS);
  expect(profileOf(app, [], { sources: ["offcpu", "futex"] }).userStacks.total).toBe(2);
  // without the source they are there to tell what owners were off the CPU for, and are no table
  expect(profileOf(app, []).weights.map(({ source }) => source)).toEqual(["futex", "futex-owners"]);
});

describe("threads at once", () => {
  const waits = (rows: readonly (readonly [lock: number, begin: number, end: number])[]): SampleColumns =>
    ({
      source: "futex",
      count: rows.length,
      lock: Uint32Array.from(rows, ([lock]) => lock),
      timeNs: Float64Array.from(rows, ([, , end]) => end),
      durationNs: Float64Array.from(rows, ([, begin, end]) => end - begin),
    }) as SampleColumns;
  const atOnce = (rows: Parameters<typeof waits>[0], most?: number) => {
    const overlap = new WaitOverlap(most);
    overlap.addColumns(waits(rows));
    return Object.fromEntries(overlap.mostAtOnce());
  };

  test("are the most waits that overlap, each lock for itself, whatever order they come in", () => {
    const rows = [
      [7, 30, 90],
      [7, 0, 50],
      [8, 0, 100],
      [7, 40, 45],
      [7, 60, 70],
    ] as const;
    expect(atOnce(rows)).toEqual({ 7: 3, 8: 1 });
  });

  test("who comes when another leaves does not wait with it", () => {
    expect(
      atOnce([
        [1, 0, 10],
        [1, 10, 20],
      ]),
    ).toEqual({ 1: 1 });
  });

  test("waits that began before the recording count, impossible ones do not", () => {
    expect(
      atOnce([
        [1, -50, 10],
        [1, 0, 20],
        [1, Number.NaN, 20],
        [1, Number.NEGATIVE_INFINITY, 20],
        [1, 20, 0],
        [0xffffffff, 0, 20],
      ]),
    ).toEqual({ 1: 2 });
  });

  test("of more waits than are kept is the number of those that are", () => {
    const all = Array.from({ length: 3000 }, () => [1, 0, 10] as const);
    expect(atOnce(all)).toEqual({ 1: 3000 });
    expect(atOnce(all, 2000)).toEqual({ 1: 2000 });
  });

  test("are in the profile by lock", () => {
    const app = fakeApp(4);
    const lock = futexOf(app);
    for (const thread of app.threads.slice(1)) app.capture.futex(thread, WANTS, { lock, durationNs: 50e6 });
    expect(profileOf(app, []).waitersAtOnce.get(lock)).toBe(3);
  });
});
