// Idle threads that wait for a word of the program's own, and locks that look like it: told apart by names, else by how.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { conditionLocks } from "../../src/analysis/futex-conditions.js";
import { isOwnLock, isWordWait } from "../../src/analysis/user-lock-names.js";
import type { LockTotal } from "../../src/capture/binding.js";
import { type FakeFrame, u } from "./helpers/fake-capture.js";
import { FUTEX_WAIT, THREAD } from "./helpers/futex-example.js";
import { app, fakeApp, futexOf, profileOf, WANTS } from "./helpers/futex-totals.js";
import { total } from "./helpers/lock-totals.js";

const SYSCALL = u("syscall", "/usr/lib/x86_64-linux-gnu/libc.so.6");
const INLINED = [...THREAD, app("worker()"), SYSCALL, ...FUTEX_WAIT];

/** Three threads that wait for one word all of 10 s, in five waits each: is it a condition? */
function isCondition(
  options: { stack?: readonly FakeFrame[]; waits?: number; share?: number; owned?: boolean } = {},
): boolean {
  const { stack = INLINED, waits = 5, share = 0.98, owned = false } = options;
  const server = fakeApp(4);
  const [owner, ...pool] = server.threads as [number, ...number[]];
  const lock = futexOf(server);
  const durationNs = (10e9 / waits) * share;
  for (const thread of pool)
    for (let i = 1; i <= waits; i++) {
      const wait = { lock, durationNs, at: (i * 10e9) / waits };
      server.capture.futex(thread, stack, wait);
      if (owned) server.capture.futexOwners(owner, [], wait);
    }
  const totals = [total(lock, server.process, 3 * waits, durationNs)];
  return conditionLocks(profileOf(server, totals)).has(lock);
}

describe("where the wait is inlined into the program's own function", () => {
  test("threads that all wait at once for nearly all of the time, in long waits, are idle", () => {
    expect(isCondition()).toBe(true);
    expect(isCondition({ waits: 90 })).toBe(true);
  });

  test("a lock is told by its owner, by less waiting, and by short waits", () => {
    expect(isCondition({ owned: true })).toBe(false);
    expect(isCondition({ share: 0.85 })).toBe(false);
    expect(isCondition({ waits: 150 })).toBe(false);
  });

  test("a lock that twelve threads hand on has one that gets on, however long the others wait", () => {
    const server = fakeApp(12);
    const lock = futexOf(server);
    const slot = 10e9 / 60;
    server.threads.forEach((thread, n) => {
      for (let round = 0; round < 5; round++)
        server.capture.futex(thread, INLINED, {
          ...{ lock, durationNs: 10.9 * slot, at: (round * 12 + n) * slot },
        });
    });
    const totals = [total(lock, server.process, 60, 10.9 * slot)];
    expect(conditionLocks(profileOf(server, totals)).has(lock)).toBe(false);
  });

  test("the C library and Rust wait for locks", () => {
    const libc = u("libc.so.6+0x8a23", "/usr/lib/x86_64-linux-gnu/libc.so.6");
    expect(isCondition({ stack: [...THREAD, app("worker()"), libc, ...FUTEX_WAIT] })).toBe(false);
    const rust = app("std::sys::backtrace::__rust_begin_short_backtrace");
    expect(isCondition({ stack: [...THREAD, rust, SYSCALL, ...FUTEX_WAIT] })).toBe(false);
  });
});

describe("where std::atomic::wait has a name", () => {
  const wait = app("std::atomic<int>::wait(int, std::memory_order) const");
  const inner = app("void std::__detail::__platform_wait<int>(int const*, int)");
  const stack = (caller: string) => [...THREAD, app(caller), wait, inner, SYSCALL, ...FUTEX_WAIT];

  test("it is a wait for work, but in a function that is called as locks are", () => {
    const rarely = { share: 0.3 };
    expect(isCondition({ stack: stack("Pool::run(int)"), ...rarely })).toBe(true);
    expect(isCondition({ stack: stack("WordMutex::lock()"), ...rarely })).toBe(false);
    expect(isCondition({ stack: stack("spin_lock_slow"), ...rarely })).toBe(false);
    expect(isCondition({ stack: stack("Clock::block(int)"), ...rarely })).toBe(true);
  });

  test.each([
    "std::atomic<bool>::wait(bool, std::memory_order) const",
    "std::__atomic_base<int>::wait(int, std::memory_order) const",
    "std::atomic_flag::wait(bool, std::memory_order) const",
    "void std::__detail::__platform_wait<int>(int const*, int)",
    "void std::__detail::__waiter<std::integral_constant<bool, true> >::_M_do_wait_v<int>(int)",
    "std::__detail::__waiter_pool::_M_do_wait(int const*, int)",
    "void std::__atomic_wait_address_v<int, Pool::run()::{lambda()#1}>(int const*, int)",
    "std::__detail::__wait_impl(void const*, std::__detail::__wait_args_base&)",
    "std::__1::__libcpp_atomic_wait(void const volatile*, long)",
    "std::__1::__cxx_atomic_wait<int>(int const*)",
  ])("%s", (name) => {
    expect(isWordWait(name)).toBe(true);
  });

  test("names that only look like it", () => {
    for (const name of [
      "std::atomically",
      "my::atomic::wait",
      "std::mutex::lock()",
      "std::this_thread::yield",
    ])
      expect(isWordWait(name), name).toBe(false);
    for (const name of [
      "Mutex::lock()",
      "lock",
      "do_lock",
      "Gate::lock_shared()",
      "lockSlow",
      "acquire_lock",
    ])
      expect(isOwnLock(name), name).toBe(true);
    for (const name of ["block", "clock", "unlock", "Blocker::run", "locker", "lock_free_pop", "Lockfile"])
      expect(isOwnLock(name), name).toBe(false);
  });
});

/** A worker at its channel, in which Rust parks the thread. */
const WAITS = [...THREAD, app("Worker::run()"), app("std::thread::park"), SYSCALL, ...FUTEX_WAIT];

describe("where each has the lock while it waits on a condition, the others wait for the lock", () => {
  /** Four workers for 10 s: one after the other waits for `turnNs` on a condition of its own, the others for the lock. */
  function workers(options: { turnNs: number; part?: number; always?: boolean }) {
    const { turnNs, part = 1, always = false } = options;
    const server = fakeApp(4);
    const lock = futexOf(server);
    const totals: LockTotal[] = [];
    server.threads.forEach((thread, n) => {
      const own = futexOf(server, "user condition or idle wait", 0x7000n + BigInt(n));
      const turns = always ? (n === 0 ? 10e9 / turnNs : 0) : 10e9 / turnNs / 4;
      const others = always ? (n === 0 ? 0 : 10e9 / turnNs) : turns;
      for (let i = 0; i < turns; i++)
        server.capture.futex(thread, WAITS, {
          lock: own,
          durationNs: turnNs * part,
          at: (4 * i + n) * turnNs,
        });
      const waited = turnNs * (always ? 1 : 3);
      for (let i = 0; i < others; i++)
        server.capture.futex(thread, WANTS, { lock, durationNs: waited, at: (4 * i + n + 3) * turnNs });
      totals.push(total(lock, server.process, others, waited));
      if (turns > 0) totals.push(total(own, server.process, turns, turnNs * part));
    });
    return { profile: profileOf(server, totals), lock };
  }
  const found = (options: Parameters<typeof workers>[0]) =>
    analyze(workers(options).profile).filter(({ rule }) => /lock/.test(rule));

  test("with seldom something to do they are idle", () => {
    const { profile, lock } = workers({ turnNs: 200e6 });
    expect(conditionLocks(profile).has(lock)).toBe(true);
    expect(found({ turnNs: 200e6 })).toEqual([]);
  });

  test("with more to do they may be idle, or wait for an answer with the lock held: worth knowing, and no convoy", () => {
    const [finding, ...rest] = found({ turnNs: 20e6 });
    expect(rest).toEqual([]);
    expect(finding).toMatchObject({ rule: "user-lock-contention", severity: "info" });
    expect(finding!.title).toContain("take turns to hold a user lock while they wait on a condition");
    expect(finding!.detail).toContain("20.0 ms on average; the others wait for the lock, 3.0 at a time");
  });

  test("two threads that hardly ever do both are no pool: one waits for a lock, the other for work", () => {
    const server = fakeApp(2);
    const [waiter, idle] = server.threads as [number, number];
    const lock = futexOf(server);
    const own = futexOf(server, "user condition or idle wait", 0x7000n);
    server.capture.futex(waiter, WANTS, { lock, durationNs: 9.6e9, at: 9.7e9 });
    server.capture.futex(waiter, WAITS, { lock: own, durationNs: 1e6, at: 9.8e9 });
    server.capture.futex(idle, WAITS, { lock: own, durationNs: 9.6e9, at: 9.7e9 });
    server.capture.futex(idle, WANTS, { lock, durationNs: 1e6, at: 9.8e9 });
    const totals = [total(lock, server.process, 2, 4.8e9), total(own, server.process, 2, 4.8e9)];
    expect(conditionLocks(profileOf(server, totals)).has(lock)).toBe(false);
  });

  test("one that has it always, and one at the condition for half of the time, are contention", () => {
    expect(found({ turnNs: 20e6, always: true })[0]).toMatchObject({ severity: "critical" });
    expect(found({ turnNs: 20e6, part: 0.5 })[0]).toMatchObject({ severity: "critical" });
  });
});
