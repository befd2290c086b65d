// Servers with nothing wrong, recorded with their user locks, get no finding: their idle threads wait all day.
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { LockTotal } from "../../src/capture/binding.js";
import { buildProfile } from "./helpers/build-profile.js";
import { FakeCapture, u } from "./helpers/fake-capture.js";
import { CONDITION, FUTEX_SYSCALL, FUTEX_WAIT, MUTEX, THREAD } from "./helpers/futex-example.js";
import { total } from "./helpers/lock-totals.js";
import { healthyNginx } from "./helpers/proxy-load.js";

const analyzed = (capture: FakeCapture, lockTotals: readonly LockTotal[]) =>
  analyze(
    buildProfile(capture.events({ facts: { sources: ["cpu", "offcpu", "futex"] }, final: { lockTotals } })),
  );

/** Threads that sleep for the whole 10 s in a condition variable, in two waits. */
function idleThreads(capture: FakeCapture, process: number, names: readonly string[], lock: number) {
  for (const [n, name] of names.entries()) {
    const thread = capture.thread(process, 9000 + n, name);
    for (const at of [5e9, 10e9])
      capture.futex(thread, [...THREAD, u(name, "/usr/bin/server"), ...CONDITION], {
        ...{ lock, syscall: FUTEX_SYSCALL, durationNs: 5e9, at },
      });
  }
  return total(lock, process, names.length * 2, 5e9);
}

test("nginx at full load, with a thread pool for files", () => {
  const capture = new FakeCapture();
  const { one } = healthyNginx(capture);
  const pool = capture.lock({ kind: "user condition or idle wait" });
  const mutex = capture.lock({ kind: "user lock" });
  const lockTotals = [idleThreads(capture, one.process, Array(32).fill("ngx_thread_pool_cycle"), pool)];
  capture.futex(one.thread, [u("ngx_thread_task_post"), ...MUTEX], {
    lock: mutex,
    durationNs: 40e3,
    times: 3,
  });
  lockTotals.push(total(mutex, one.process, 3000, 20e3, 0));
  expect(analyzed(capture, lockTotals)).toEqual([]);
});

test("redis, whose background threads wait for work and whose main thread never waits", () => {
  const capture = new FakeCapture();
  const { process, thread } = capture.process(6379, "redis-server");
  capture.cpu(thread, [u("_start"), u("main"), u("aeMain"), u("processCommand")], { times: 900 });
  const jobs = capture.lock({ kind: "user condition or idle wait" });
  expect(
    analyzed(capture, [idleThreads(capture, process, ["bio_close_file", "bio_aof", "bio_lazy_free"], jobs)]),
  ).toEqual([]);
});

test("a quiet thread pool whose sequence number is a lock's value, so that only the stacks tell", () => {
  const capture = new FakeCapture();
  const { process } = capture.process(80, "pool");
  const condition = capture.lock({ kind: "user lock" });
  const names = Array.from({ length: 16 }, (_, n) => `worker-${n}`);
  expect(analyzed(capture, [idleThreads(capture, process, names, condition)])).toEqual([]);
});

test("a quiet service in Go: its threads are parked by the scheduler", () => {
  const capture = new FakeCapture();
  const { process, thread } = capture.process(80, "service");
  const parked = capture.lock({ kind: "user condition or idle wait" });
  const stack = [
    "runtime.mstart",
    "runtime.schedule",
    "runtime.findRunnable",
    "runtime.stopm",
    "runtime.mPark",
  ];
  capture.futex(
    thread,
    [...stack, "runtime.notesleep", "runtime.futex"].map((name) => u(name)),
    {
      ...{ lock: parked, durationNs: 9e9, at: 10e9 },
    },
  );
  expect(analyzed(capture, [total(parked, process, 1, 9e9)])).toEqual([]);
});

test("a server whose futexes found no room in the kernel's table", () => {
  const capture = new FakeCapture();
  const { process, thread } = capture.process(80, "server");
  capture.futex(thread, [...THREAD, ...FUTEX_WAIT], { lock: 77, durationNs: 9e9 });
  expect(analyzed(capture, [total(-2, process, 100, 1e9)])).toEqual([]);
});

test("a thread parked at a mutex that another one holds while there is nothing to do, as redis parks its I/O threads", () => {
  const capture = new FakeCapture();
  const { process } = capture.process(6379, "redis-server");
  const parked = capture.thread(process, 6380, "io_thd_1");
  const lock = capture.lock({ kind: "user lock" });
  for (const at of [3e9, 6e9, 9e9])
    capture.futex(parked, [...THREAD, u("IOThreadMain"), ...MUTEX], { lock, durationNs: 2.9e9, at });
  expect(analyzed(capture, [total(lock, process, 3, 2.9e9)])).toEqual([]);
});

test("a pool that was notified twice, so that its sequence number is a lock's value, where no stack tells", () => {
  const capture = new FakeCapture();
  const { process } = capture.process(80, "pool");
  const lock = capture.lock({ kind: "user lock" });
  for (let n = 0; n < 6; n++)
    capture.futex(capture.thread(process, 81 + n, `worker-${n}`), [u("start"), ...FUTEX_WAIT], {
      ...{ lock, syscall: FUTEX_SYSCALL, durationNs: 10e9, at: 10e9 },
    });
  expect(analyzed(capture, [total(lock, process, 6, 10e9)])).toEqual([]);
});
