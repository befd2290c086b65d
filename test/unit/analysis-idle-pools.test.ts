// Idle threads that wait for a word of the program's own, and locks that look like it: told apart by names, else by how.
import { describe, expect, test } from "vitest";
import { conditionLocks } from "../../src/analysis/futex-conditions.js";
import { isOwnLock, isWordWait } from "../../src/analysis/user-lock-names.js";
import { type FakeFrame, u } from "./helpers/fake-capture.js";
import { FUTEX_WAIT, THREAD } from "./helpers/futex-example.js";
import { app, fakeApp, futexOf, profileOf } from "./helpers/futex-totals.js";
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
