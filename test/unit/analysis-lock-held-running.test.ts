// A thread that runs with a user lock held while others wait: what the model keeps of such times, and when it is told.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { LockTotal, SourceName } from "../../src/capture/binding.js";
import { LockHolds } from "../../src/model/lock-holds.js";
import { lockObjects } from "../../src/model/lock-objects.js";
import { ns } from "../../src/model/units.js";
import { FakeCapture, k, u } from "./helpers/fake-capture.js";
import { THREAD } from "./helpers/futex-example.js";
import { app, type FakeApp, fakeApp, futexOf, profileOf, WANTS } from "./helpers/futex-totals.js";
import { total } from "./helpers/lock-totals.js";

const PERIOD = 1e9 / 99;
const BURNS = [...THREAD, app("rebuild_index()"), app("sort()")];

interface Options {
  readonly sources?: readonly SourceName[];
  readonly waiters?: number;
  /** Each hold of 300 ms, one second after the other. */
  readonly holds?: number;
  /** Of the owner's time on a CPU in each hold. */
  readonly ran?: number;
  /** A system call that a sample of the owner is in. */
  readonly call?: number;
  readonly timeouts?: number;
  readonly thresholdNs?: number;
  readonly slept?: boolean;
}

/** An app whose first thread has a lock for 300 ms while `waiters` others wait for it, from 10 ms after another on. */
function hogged(options: Options = {}): { server: FakeApp; lock: number; totals: LockTotal[] } {
  const { waiters = 2, holds = 1, ran = 1, call = -1, slept = false } = options;
  const server = fakeApp(1 + waiters);
  const [owner, ...others] = server.threads as [number, ...number[]];
  const lock = futexOf(server);
  const { capture } = server;
  for (let hold = 0; hold < holds; hold++) {
    const begin = 1e9 + hold * 1e9;
    // the first gets the lock at the end of the hold, each other one 10 ms later
    others.forEach((waiter, i) => {
      const wait = { lock, durationNs: 300e6, at: begin + 300e6 + i * 10e6 };
      capture.futex(waiter, WANTS, wait);
      const state = slept ? ({ state: "interruptible" } as const) : {};
      capture.futexOwners(owner, slept ? [...THREAD, k("hrtimer_nanosleep")] : [], { ...wait, ...state });
    });
    if (options.sources?.includes("cpu") ?? true)
      for (let at = begin + PERIOD / 2; at < begin + 300e6 * ran; at += PERIOD)
        capture.cpu(owner, BURNS, { syscall: call, at });
  }
  const count = holds * waiters;
  return { server, lock, totals: [total(lock, server.process, count, 300e6, options.timeouts ?? 0)] };
}

function findings(options: Options = {}) {
  const { server, totals } = hogged(options);
  const sources = options.sources ?? ["cpu", "futex"];
  const final = { offcpuThresholdMaxNs: ns(options.thresholdNs ?? 1e6) };
  return analyze(profileOf(server, totals, { sources, final })).filter(
    ({ rule }) => rule === "lock-held-running",
  );
}

describe("times in which one thread has a lock that others wait for", () => {
  test("end with the first wait that ends, and have the waiting of all and the owner's CPU samples", () => {
    const { server, lock, totals } = hogged({ waiters: 3, holds: 2 });
    const profile = profileOf(server, totals, { sources: ["cpu", "futex"] });
    expect(profile.heldLocks).toHaveLength(2);
    for (const hold of profile.heldLocks) {
      expect(hold).toMatchObject({ lock, thread: server.threads[0], waiters: 3, neverOffCpu: true });
      expect(hold.lengthNs).toBe(300e6);
      expect(hold.waitedNs).toBe(300e6 + 290e6 + 280e6);
      expect(hold.cpu).toHaveLength(30);
      const { tree, functions } = profile;
      expect(functions.name[tree.func[hold.cpu![0]!.node]!]).toBe("sort()");
    }
  });

  test("a long queue behind short times is no long time", () => {
    const server = fakeApp(9);
    const [owner, ...others] = server.threads as [number, ...number[]];
    const lock = futexOf(server);
    others.forEach((waiter, i) => {
      const wait = { lock, durationNs: 40e6 * (i + 1), at: 1e9 + 40e6 * (i + 1) };
      server.capture.futex(waiter, WANTS, wait);
      server.capture.futexOwners(owner, [], wait);
    });
    expect(profileOf(server, []).heldLocks).toEqual([]);
  });

  test("what is kept has a bound, and nothing is made up of what found no room", () => {
    const objects = lockObjects([]);
    const holds = new LockHolds("futex", 4);
    const capture = new FakeCapture();
    const { process, thread } = capture.process(80, "app");
    const waiter = capture.thread(process, 81, "waiter");
    const lock = capture.lock({ kind: "user lock" });
    for (let i = 0; i < 3; i++) {
      const wait = { lock, durationNs: 100e6, at: 1e9 + i * 1e9 };
      capture.futex(waiter, WANTS, wait).futexOwners(thread, [], wait);
    }
    for (let i = 0; i < 8; i++) capture.cpu(thread, BURNS, { at: 0.94e9 + i * PERIOD });
    for (const { samples } of capture.batches()) for (const columns of samples) holds.addColumns(columns);
    expect(holds.leftOut).toBe(4);
    // the CPU samples end in the first time: of no time it is known how much its owner ran
    expect(holds.holds(objects, true).map(({ cpu }) => cpu)).toEqual([null, null, null]);
    expect(new LockHolds("futex").holds(objects, true)).toEqual([]);
  });

  test("impossible times and threads that are not in the capture add nothing", () => {
    const { server, lock } = hogged();
    const bad = { lock, durationNs: Number.NaN, at: 5e9 };
    server.capture.futex(server.threads[1]!, WANTS, bad).futexOwners(server.threads[0]!, [], bad);
    const stranger = { lock, durationNs: 400e6, at: 8e9 };
    server.capture.futex(server.threads[1]!, WANTS, stranger).futexOwners(4711, [], stranger);
    expect(profileOf(server, []).heldLocks).toHaveLength(1);
  });
});

describe("lock-held-running", () => {
  test("says which lock, who runs with it, what, how long and for how many others", () => {
    const [finding, ...rest] = findings({ holds: 2 });
    expect(rest).toEqual([]);
    expect(finding).toMatchObject({
      severity: "warning",
      title:
        "app (pid 80) ran for 300.0 ms with a user lock that 2 other threads waited for: futex 0x7f0000000000 of app (pid 80)",
      culprit: "app (pid 80)",
      contributors: [{ name: "sort()", share: 1 }],
      tab: "cpu",
      search: "=sort()",
    });
    expect(finding!.detail).toContain("The lock is wanted in Cache::get(Key const&).");
    expect(finding!.detail).toContain("By 30 CPU samples the owner was on a CPU for 100.0 % of that time");
    expect(finding!.detail).toContain("most of it in clone3 > start_thread > rebuild_index() > sort()");
    expect(finding!.detail).toContain(
      "2 such times of 100.0 ms or longer; the waiting in them comes to 1.2 s",
    );
    expect(finding!.next[0]).toBe(
      "Search the flame graph of CPU time for sort(): it runs with the lock held.",
    );
  });

  test("is silent where the owner was on a CPU for less than half of the time", () => {
    expect(findings({ ran: 0.6 })).toHaveLength(1);
    expect(findings({ ran: 0.4 })).toEqual([]);
    expect(findings({ ran: 0 })).toEqual([]);
  });

  test("without CPU samples tells by the owner's missing waits, where those would have been sampled", () => {
    const sources: SourceName[] = ["offcpu", "futex"];
    const [finding] = findings({ sources });
    expect(finding!.detail).toContain("No wait of the owner's own lies in that time, so it was on a CPU.");
    expect(finding).toMatchObject({ tab: "futex", contributors: [] });
    expect(finding!.next[0]).toContain("--what cpu,offcpu,futex");
    expect(findings({ sources, slept: true })).toEqual([]);
    expect(findings({ sources, timeouts: 1 })).toEqual([]);
    expect(findings({ sources, thresholdNs: 64e6 })).toEqual([]);
  });

  test("a single thread parked at the lock of one that waits for events is no fault", () => {
    expect(findings({ waiters: 1 })).toHaveLength(1);
    const [EPOLL_WAIT, WRITE] = [232, 1];
    expect(findings({ waiters: 1, call: WRITE })).toHaveLength(1);
    expect(findings({ waiters: 1, call: EPOLL_WAIT })).toEqual([]);
    expect(findings({ waiters: 2, call: EPOLL_WAIT })).toHaveLength(1);
    // nobody looked at what else the owner does
    expect(findings({ waiters: 1, sources: ["futex"] })).toEqual([]);
  });

  test("conditions are no locks", () => {
    const server = fakeApp(3);
    const [owner, ...others] = server.threads as [number, ...number[]];
    const lock = futexOf(server, "user condition or idle wait");
    for (const waiter of others) {
      const wait = { lock, durationNs: 300e6, at: 2e9 };
      server.capture.futex(waiter, [...THREAD, u("idle")], wait).futexOwners(owner, [], wait);
    }
    for (let at = 1.7e9; at < 2e9; at += PERIOD) server.capture.cpu(owner, BURNS, { at });
    expect(analyze(profileOf(server, [], { sources: ["cpu", "futex"] }))).toEqual([]);
  });
});
