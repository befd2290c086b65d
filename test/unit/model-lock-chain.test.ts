// Through whose hands a lock goes: each owner has the part of each wait in which it held the lock, and no more.
import { expect, test } from "vitest";
import { SampleFlag } from "../../src/capture/binding.js";
import type { Profile } from "../../src/model/profile.js";
import { buildProfile, pathOf, table } from "./helpers/build-profile.js";
import { FakeCapture, k, u } from "./helpers/fake-capture.js";
import { app, fakeApp, futexOf, profileOf, WANTS } from "./helpers/futex-totals.js";

const MS = 1e6;
const STACK = [u("main"), k("mutex_lock")];

interface Wait {
  readonly who: number;
  /** ms. */
  readonly from: number;
  readonly to: number;
  /** The owner that was read when it began. */
  readonly read?: number;
  readonly flags?: number;
  readonly weight?: number;
}

/** Threads count from 0. @returns ms of waiting by owner and the profile */
function chain(
  waits: readonly Wait[],
  more: (capture: FakeCapture, threads: readonly number[]) => void = () => {},
) {
  const server = fakeApp(6);
  const { capture, threads } = server;
  const lock = futexOf(server);
  for (const { who, from, to, read, flags = 0, weight = 1 } of waits) {
    const wait = { lock, durationNs: (to - from) * MS, at: to * MS, weightNs: weight * (to - from) * MS };
    capture.futex(threads[who]!, WANTS, { ...wait, flags });
    if (read !== undefined) capture.futexOwners(threads[read]!, [], wait);
  }
  more(capture, threads);
  const profile = profileOf(server, [], { sources: ["cpu", "offcpu", "futex"] });
  return { profile, owned: ownedMs(profile, threads) };
}

function ownedMs(profile: Profile, threads: readonly number[]): Record<number, number> {
  const owners = table(profile, "futex-owners");
  const owned: Record<number, number> = {};
  for (let row = 0; row < owners.count; row++) {
    const who = threads.indexOf(owners.thread[row]!);
    owned[who] = (owned[who] ?? 0) + owners.weightNs[row]! / MS;
  }
  return owned;
}

test("whose wait ends holds the lock from then on, until the next one's ends", () => {
  const { owned, profile } = chain([
    { who: 1, from: 1, to: 5, read: 0 },
    { who: 2, from: 2, to: 205, read: 0 },
    { who: 3, from: 2, to: 206, read: 0 },
  ]);
  expect(owned).toEqual({ 0: 4 + 3 + 3, 1: 200 + 200, 2: 1 });
  expect(profile.heldLocks).toMatchObject([{ lengthNs: 200 * MS, waiters: 2, waitedNs: 400 * MS }]);
  // the longest part of one wait, not the wait
  const owners = table(profile, "futex-owners");
  expect([...owners.maxNs].sort((a, c) => a - c)).toEqual([1 * MS, 4 * MS, 200 * MS]);
});

test("what a later waiter reads goes before what the chain tells: the woken thread came too late", () => {
  const { owned } = chain([
    { who: 1, from: 0, to: 10, read: 0 },
    { who: 2, from: 0, to: 100, read: 0 },
    // 1 was woken, and found that 3 had taken it
    { who: 1, from: 11, to: 90, read: 3 },
  ]);
  expect(owned).toEqual({ 0: 20, 1: 1 + 10, 3: 79 * 2 });
});

test("who begins to wait for the lock has let go of it; who has it then is not known unless it was read", () => {
  const { owned } = chain([
    { who: 1, from: 0, to: 100, read: 0 },
    { who: 0, from: 40, to: 120 },
  ]);
  expect(owned).toEqual({ 0: 40, 1: 20 });
});

test("an owner that waits for the lock itself is none: it is on its way to take it", () => {
  const { owned } = chain([
    { who: 1, from: 0, to: 50, read: 0 },
    { who: 2, from: 48, to: 60, read: 1 },
  ]);
  expect(owned).toEqual({ 0: 48, 1: 10 });
});

test("a wait that is given up, and one that goes on at the end, hands nothing over", () => {
  const { owned, profile } = chain([
    { who: 1, from: 0, to: 20, read: 0, flags: SampleFlag.givenUp },
    { who: 2, from: 0, to: 80, read: 0, flags: SampleFlag.inProgress },
    { who: 3, from: 10, to: 80, read: 0, flags: SampleFlag.inProgress },
  ]);
  expect(owned).toEqual({ 0: 20 + 80 + 70 });
  expect(profile.heldLocks).toMatchObject([{ lengthNs: 80 * MS, waiters: 2 }]);
});

test("where nobody waits a lock comes and goes without a trace", () => {
  const { owned } = chain([
    { who: 1, from: 0, to: 10, read: 0 },
    { who: 2, from: 20, to: 30 },
    { who: 3, from: 40, to: 50, read: 4 },
  ]);
  expect(owned).toEqual({ 0: 10, 4: 10 });
});

test("parts weigh what the waits weigh, and stand for as many waits together", () => {
  const { profile } = chain([
    { who: 1, from: 0, to: 4, read: 0, weight: 5 },
    { who: 2, from: 2, to: 8, read: 0 },
  ]);
  const owners = table(profile, "futex-owners");
  expect([...owners.weightNs]).toEqual([(5 * 4 + 2) * MS, 4 * MS]);
  expect([...owners.waits!].map((waits) => waits.toFixed(3))).toEqual([(5 + 1 / 3).toFixed(3), "0.667"]);
  expect([...owners.varianceNs2]).toEqual([5 * 4 * 4 * 4 * MS * MS, 0]);
});

test("an owner's stack is that of its own wait in its own part; without one it ran", () => {
  const { profile } = chain(
    [
      { who: 1, from: 0, to: 5, read: 0 },
      { who: 2, from: 0, to: 100, read: 0 },
    ],
    (capture, [first, second]) => {
      // what the first does after it has let go is nobody's wait
      capture.offcpu(first!, [app("barrier()")], { durationNs: 90 * MS, at: 98 * MS, syscall: 202 });
      capture.offcpu(second!, [app("write()")], { durationNs: 60 * MS, at: 90 * MS, syscall: 1 });
    },
  );
  const owners = table(profile, "futex-owners");
  expect([...owners.node].map((node) => pathOf(profile, node).at(-1))).toEqual([undefined, "write()"]);
  expect([...owners.syscall]).toEqual([-1, 1]);
  expect(profile.heldLocks).toMatchObject([{ lengthNs: 95 * MS, neverOffCpu: false, offCpuNs: 60 * MS }]);
});

test("readers and writers of a kernel lock are one lock, and readers hold it together", () => {
  const capture = new FakeCapture();
  const { process, thread } = capture.process(80, "app");
  const [reader, writer, last] = [81, 82, 83].map((tid) => capture.thread(process, tid, `w${tid}`));
  const at = { address: 0xffff888112345678n };
  const reads = capture.lock({ kind: "rwsem, read", ...at });
  const writes = capture.lock({ kind: "rwsem, write", ...at });
  const wait = (lock: number, from: number, to: number) => ({
    lock,
    durationNs: (to - from) * MS,
    at: to * MS,
  });
  capture.locks(writer!, STACK, wait(writes, 0, 10));
  capture.lockOwners(thread, [k("do_mmap")], wait(writes, 0, 10));
  capture.locks(reader!, STACK, wait(reads, 5, 30));
  capture.locks(last!, STACK, wait(writes, 6, 50));
  const profile = buildProfile(capture.events({ facts: { sources: ["locks"] } }));
  const owners = table(profile, "lock-owners");
  const rows = [...owners.weightNs].map((ns, row) => [owners.lock![row], owners.thread[row], ns / MS]);
  // the reader has it from 30 ms on, with whoever else reads
  expect(rows).toEqual([
    [writes, thread, 10 + 4],
    [reads, thread, 5],
    [writes, writer, 20],
    [reads, writer, 20],
  ]);
  expect(pathOf(profile, owners.node[0]!)).toEqual(["do_mmap"]);
});

test("a deep line costs no more than its waits: no part is kept for each wait and owner", () => {
  const count = 20_000;
  const server = fakeApp(1);
  const { capture, process } = server;
  const lock = futexOf(server);
  const waiters = Array.from({ length: 500 }, (_, i) => capture.thread(process, 1000 + i, "w"));
  for (let i = 0; i < count; i++) {
    const wait = { lock, durationNs: 499 * MS, at: (500 + i) * MS };
    capture.futex(waiters[i % 500]!, WANTS, wait);
    if (i < 500) capture.futexOwners(server.threads[0]!, [], wait);
  }
  const profile = profileOf(server, []);
  const owners = table(profile, "futex-owners");
  // one row for each thread that held it
  expect(owners.count).toBeLessThanOrEqual(501);
  const sumNs = (weights: Float64Array) => weights.reduce((sum, ns) => sum + ns, 0);
  expect(sumNs(owners.weightNs) / sumNs(table(profile, "futex").weightNs)).toBeGreaterThan(0.99);
});
