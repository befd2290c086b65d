// Whether the owner of a user lock was off the CPU while others waited, by whichever of its own time was recorded.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { OffCpuState, SourceName } from "../../src/capture/binding.js";
import { ns } from "../../src/model/units.js";
import { THREAD } from "./helpers/futex-example.js";
import { app, fakeApp, futexOf, profileOf, WANTS } from "./helpers/futex-totals.js";
import { total } from "./helpers/lock-totals.js";

const [SYS_FUTEX, SYS_EPOLL_WAIT] = [202, 232];

/** A recording of `seconds` with `count` waits of `waitNs` for a lock, and what is known of its owner's own time. */
function known(options: {
  sources: readonly SourceName[];
  seconds: number;
  waits: { count: number; waitNs: number };
  state: OffCpuState;
  syscall?: number;
  own?: { times: number; durationNs: number; weightNs?: number };
  /** CPU samples of the owner at 99 Hz. */
  cpuSamples?: number;
  idleNs?: number;
  queuedNs?: number;
  thresholdNs?: number;
}) {
  const { sources, seconds, waits, state, syscall = -1, own, cpuSamples = 0, idleNs, queuedNs = 0 } = options;
  const server = fakeApp(3);
  const [waiter, owner] = server.threads as [number, number];
  const { capture } = server;
  const lock = futexOf(server);
  const stack = [...THREAD, app("hold()")];
  const { count: times, waitNs: durationNs } = waits;
  capture.futex(waiter, WANTS, { lock, times, durationNs });
  capture.futexOwners(owner, stack, { lock, state, syscall, times, durationNs });
  if (sources.includes("offcpu")) {
    capture.offcpu(waiter, WANTS, { syscall: SYS_FUTEX, times, durationNs });
    for (let n = 0; n < (own?.times ?? 0); n++)
      capture.offcpu(owner, stack, {
        ...{ state, syscall, ...own, times: 1 },
        at: ((n + 1) * times * durationNs) / own!.times,
      });
    if (idleNs !== undefined)
      capture.offcpu(owner, stack, { syscall: SYS_EPOLL_WAIT, durationNs: idleNs, at: -1e9 });
  }
  if (sources.includes("cpu")) {
    const hog = capture.process(90, "hog").thread;
    capture.cpu(hog, [app("burn()")], { times: Math.round(99 * seconds) });
    if (cpuSamples > 0) capture.cpu(owner, stack, { times: cpuSamples });
  }
  const { process } = server;
  const final = {
    endMonotonicNs: 5_000_000_000_123n + BigInt(seconds * 1e9),
    offcpuThresholdMaxNs: ns(options.thresholdNs ?? 1e6),
    runQueue: sources.includes("offcpu")
      ? [{ process, count: 10, sumNs: ns(queuedNs), maxNs: ns(queuedNs), buckets: [] }]
      : [],
  };
  const totals = [total(lock, process, times, durationNs)];
  return analyze(profileOf(server, totals, { sources, final })).filter(
    ({ rule }) => rule === "lock-held-asleep",
  );
}
const EVERY: readonly (readonly SourceName[])[] = [
  ["futex"],
  ["cpu", "futex"],
  ["offcpu", "futex"],
  ["cpu", "offcpu", "locks", "futex"],
];

describe.each(EVERY.map((sources) => ({ name: sources.join(","), sources })))("with $name", ({ sources }) => {
  const inversion = { seconds: 4.01, waits: { count: 1, waitNs: 3.97e9 }, state: "preempted" } as const;
  const naps = {
    seconds: 4.01,
    waits: { count: 13, waitNs: 3e8 },
    state: "interruptible",
    syscall: 35,
  } as const;

  test("an owner without a CPU in many short pieces is off the CPU: they count together", () => {
    const own = { times: 44, durationNs: 90e6 };
    const [finding] = known({ ...inversion, sources, own, cpuSamples: 3 });
    expect(finding).toMatchObject({ severity: "critical" });
    expect(finding!.title).toContain("waited 4.0 s");
    expect(finding!.title).toContain("ready to run and without a CPU");
  });

  test("an owner that the run queue knows of and hardly a sample is, too", () => {
    const own = { times: 1, durationNs: 90e6 };
    expect(known({ ...inversion, sources, own, cpuSamples: 3, queuedNs: 3.9e9 })).toHaveLength(1);
  });

  test("an owner that sleeps for 10 ms thirty times in each wait is asleep", () => {
    const [finding] = known({ ...naps, sources, own: { times: 390, durationNs: 10e6 } });
    expect(finding).toMatchObject({ severity: "warning" });
    expect(finding!.title).toContain("waited 300.0 ms");
    // the same with few of its waits sampled, and with none
    const few = { times: 39, durationNs: 10e6, weightNs: 100e6 };
    expect(known({ ...naps, sources, own: few, thresholdNs: 100e6 })).toHaveLength(1);
    expect(known({ ...naps, sources, thresholdNs: 100e6 })).toHaveLength(1);
  });

  test("an owner that ran is not, however it was seen off the CPU for a moment", () => {
    const own = { times: 2, durationNs: 2e6 };
    const found = known({ ...inversion, sources, own, cpuSamples: 396 });
    // waits for futexes alone cannot know it
    expect(found).toHaveLength(sources.length === 1 ? 1 : 0);
    if (sources.includes("offcpu"))
      expect(
        known({
          ...{ sources, seconds: 10, waits: { count: 1, waitNs: 9e8 }, state: "preempted", own },
          ...{ cpuSamples: 100, idleNs: 8.9e9, queuedNs: 4e6 },
        }),
      ).toEqual([]);
  });
});

describe("where the owner's own time was kept", () => {
  /** Four seconds: the owner loses its CPU again and again without the lock, then holds it for 250 ms. */
  function hold(options: { ranNs: number; offNs: number; sources?: readonly SourceName[]; cut?: boolean }) {
    const server = fakeApp(3);
    const [waiter, owner] = server.threads as [number, number];
    const { capture } = server;
    const lock = futexOf(server);
    const stack = [...THREAD, app("hold()")];
    const [end, waitNs] = [4e9, 250e6];
    for (let at = 1e8; at <= 3e9; at += 1e8)
      capture.offcpu(owner, stack, { state: "preempted", durationNs: 60e6, at });
    capture.offcpu(owner, stack, { state: "preempted", durationNs: options.offNs, at: end - 1e6 });
    for (let ran = 0; ran < options.ranNs; ran += 10e6)
      capture.cpu(owner, stack, { weightNs: 10e6, at: end - waitNs + 1e6 + ran });
    capture.futex(waiter, WANTS, { lock, durationNs: waitNs, at: end });
    capture.futexOwners(owner, stack, { lock, state: "preempted", durationNs: waitNs, at: end });
    const sources = options.sources ?? ["cpu", "offcpu", "futex"];
    const final = { endMonotonicNs: 5_000_000_000_123n + 4_000_000_000n, offcpuThresholdMaxNs: ns(1e6) };
    const totals = [total(lock, server.process, 1, waitNs)];
    const { cut = false } = options;
    return analyze(profileOf(server, totals, { sources, final, cut })).filter(
      ({ rule }) => rule === "lock-held-asleep",
    );
  }

  test("a capture that was cut has to show it: one that ran is not asleep there either", () => {
    expect(hold({ ranNs: 230e6, offNs: 10e6, cut: true })).toEqual([]);
    expect(hold({ ranNs: 0, offNs: 10e6, sources: ["offcpu", "futex"], cut: true })).toEqual([]);
    expect(hold({ ranNs: 40e6, offNs: 200e6, cut: true })).toHaveLength(1);
  });

  test("one that ran with the lock is not asleep, however often it lost its CPU without it", () => {
    expect(hold({ ranNs: 230e6, offNs: 10e6 })).toEqual([]);
    expect(hold({ ranNs: 0, offNs: 10e6, sources: ["offcpu", "futex"] })).toEqual([]);
  });

  test("one that had no CPU with the lock is told, with the part of the waiting that it was so", () => {
    const [finding] = hold({ ranNs: 40e6, offNs: 200e6 });
    expect(finding!.title).toContain("ready to run and without a CPU");
    expect(finding!.detail).toContain("80.0 % of the sampled waiting");
  });
});
