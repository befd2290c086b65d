// What is said of each futex: exact totals with timeouts, who waited and from where, who held it, and which are no locks.
import { describe, expect, test } from "vitest";
import { lockGroups } from "../../src/analysis/lock-groups.js";
import { lockSummaries, locksRecorded, notSelf } from "../../src/analysis/lock-summary.js";
import type { LockKind } from "../../src/capture/binding.js";
import { lockIndex } from "../../src/export/html/locks.js";
import { FakeCapture, type FakeFrame, k, u } from "./helpers/fake-capture.js";
import { CONDITION, FUTEX_WAIT, MUTEX, THREAD } from "./helpers/futex-example.js";
import { app, fakeApp, futexOf, profileOf, WANTS } from "./helpers/futex-totals.js";
import { total } from "./helpers/lock-totals.js";

const LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6";
const RUST = "/usr/bin/app";

describe("the summary of a futex", () => {
  test("has the exact totals, timeouts apart from wake-ups, and the threads that were seen waiting", () => {
    const server = fakeApp(4);
    const lock = futexOf(server);
    for (const thread of server.threads.slice(0, 3))
      server.capture.futex(thread, WANTS, { lock, durationNs: 20e6, times: 2 });
    const profile = profileOf(server, [
      total(lock, server.process, 90, 20e6, 7),
      total(lock, server.process, 10, 1e6, 2),
    ]);
    expect(lockSummaries(profile, "futex")).toMatchObject([
      {
        lock,
        name: "futex 0x7f0000000000 of app (pid 80)",
        kind: "user lock",
        contention: true,
        count: 100,
        sumNs: 1.81e9,
        maxNs: 20e6,
        timeouts: 9,
        threads: 3,
        atOnce: 3,
        samples: 6,
        callers: [{ name: "Cache::get(Key const&)", share: 1 }],
        waiters: [{ process: server.process, count: 100 }],
      },
    ]);
  });

  test("tells who held it", () => {
    const server = fakeApp(2);
    const lock = futexOf(server);
    server.capture.futex(server.threads[0]!, WANTS, { lock, times: 4 });
    server.capture.futexOwners(server.threads[1]!, [app("Cache::evict()")], { lock, times: 3 });
    const [row] = lockSummaries(profileOf(server, [total(lock, server.process, 4, 10e6)]), "futex");
    expect(row!.owners).toEqual([{ name: "worker-1 (thread 81 of app)", share: 0.75 }]);
  });

  test("is one row where its waiters expect several values and it is of one kind after all", () => {
    const server = fakeApp(3);
    const kinds: LockKind[] = ["user lock", "user condition or idle wait"];
    const [asLock, asNumber] = kinds.map((kind) => futexOf(server, kind));
    const forked = server.capture.process(90, "app");
    const [another, elsewhere] = [futexOf(server), futexOf(server, "user lock", 0x7f0000000040n)];
    server.capture.futex(server.threads[1]!, WANTS, { lock: asLock!, times: 4 });
    server.capture.futex(server.threads[2]!, WANTS, { lock: asNumber!, times: 2 });
    server.capture.futexOwners(server.threads[0]!, [app("hold()")], { lock: asNumber!, times: 3 });
    server.capture.futex(forked.thread, WANTS, { lock: another });
    const profile = profileOf(server, [
      total(asLock!, server.process, 409, 1e6, 2),
      total(asNumber!, server.process, 17, 2e6, 1),
      total(another, forked.process, 5, 1e6),
      total(elsewhere, server.process, 3, 1e6),
    ]);
    const [joined, ...rest] = lockSummaries(profile, "futex");
    expect(joined).toMatchObject({
      ...{ lock: asLock, locks: [asLock, asNumber], kind: "user lock", contention: true },
      ...{ count: 426, sumNs: 443e6, maxNs: 2e6, timeouts: 3, samples: 6, threads: 2, atOnce: 1 },
    });
    expect(joined!.owners[0]).toMatchObject({ name: "app (pid 80)" });
    // forked workers have different locks at one address
    expect(rest.map(({ locks, count }) => [locks, count])).toEqual([
      [[another], 5],
      [[elsewhere], 3],
    ]);
    const { rows, column } = lockIndex(profile, "futex");
    expect(rows.map(({ waits }) => waits)).toEqual([426, 5, 3]);
    const table = profile.weights.find(({ source }) => source === "futex")!;
    expect([...column(table)].sort()).toEqual([0, 0, 1]);
  });

  test("is one row where readers and writers of glibc's read-write lock wait at two words", () => {
    const server = fakeApp(2);
    const locks = [0x7f0000000148n, 0x7f000000014cn, 0x7f0000000188n, 0x7f000000018cn].map((address) =>
      futexOf(server, "user lock", address),
    );
    const [readers, writers, one, next] = locks as [number, number, number, number];
    const rwlock = (name: string) => [...THREAD, app("Cache::get(Key const&)"), u(name, LIBC), ...FUTEX_WAIT];
    server.capture.futex(server.threads[0]!, rwlock("pthread_rwlock_rdlock@GLIBC_2.2.5"), { lock: readers });
    server.capture.futex(server.threads[1]!, rwlock("__pthread_rwlock_wrlock_full64"), { lock: writers });
    // two mutexes that lie so are two locks
    for (const lock of [one, next]) server.capture.futex(server.threads[0]!, WANTS, { lock });
    const totals = locks.map((lock, i) => total(lock, server.process, 5 + i, 1e6));
    const profile = profileOf(server, totals);
    const rows = lockSummaries(profile, "futex").map((row) => [row.locks, row.count]);
    expect(rows).toEqual([
      [[readers, writers], 11],
      [[next], 8],
      [[one], 7],
    ]);
    expect(lockGroups(profile, lockSummaries(profile, "futex"))).toHaveLength(3);
  });

  test("of two kinds stays two rows", () => {
    const server = fakeApp(2);
    const [lock, number] = [futexOf(server), futexOf(server, "user condition or idle wait")];
    const totals = [total(lock, server.process, 4, 1e6), total(number, server.process, 2, 1e6)];
    server.capture.futex(server.threads[0]!, WANTS, { lock });
    server.capture.futex(server.threads[1]!, [...THREAD, ...CONDITION], { lock: number });
    expect(lockSummaries(profileOf(server, totals), "futex").map(({ kind }) => kind)).toEqual([
      "user lock",
      "user condition or idle wait",
    ]);
  });

  test("never mixes with kernel locks", () => {
    const server = fakeApp();
    const [futex, mutex] = [futexOf(server), server.capture.lock({ name: "rtnl_mutex" })];
    server.capture.locks(server.threads[0]!, [k("rtnl_lock")], { lock: mutex });
    const totals = [total(futex, server.process, 1, 1e6), total(mutex, server.process, 2, 1e6)];
    const profile = profileOf(server, [...totals, total(-1, -1, 3, 1e6), total(-2, -1, 4, 1e6)]);
    const counts = (source: "locks" | "futex") =>
      lockSummaries(profile, source).map(({ lock, count }) => [lock, count]);
    expect(counts("locks")).toEqual([
      [-1, 3],
      [mutex, 2],
    ]);
    expect(counts("futex")).toEqual([
      [-2, 4],
      [futex, 1],
    ]);
  });

  test("has locks and conditions that found no row in the kernel's table apart, and rows that were never sent among the locks", () => {
    const server = fakeApp();
    const condition = futexOf(server, "user condition or idle wait", 0x9000n);
    server.capture.futex(server.threads[0]!, WANTS, { lock: condition, durationNs: 1e6 });
    const totals = [total(-2, -1, 3, 9e9), total(77, server.process, 1, 9e9), total(-3, -1, 5, 1e9)];
    const rows = lockSummaries(profileOf(server, totals), "futex");
    expect(rows).toMatchObject([
      { lock: -2, count: 4, contention: true, samples: 0 },
      { lock: -3, count: 5, contention: false, samples: 1 },
    ]);
    expect(lockSummaries(profileOf(server, totals), "locks")).toEqual([]);
  });

  test("of a cut capture is estimated, and its timeouts are not known", () => {
    const server = fakeApp();
    const lock = futexOf(server);
    server.capture.futex(server.threads[0]!, WANTS, { lock, times: 4, durationNs: 1e6, weightNs: 10e6 });
    const profile = profileOf(server, [], { cut: true });
    expect(lockSummaries(profile, "futex")).toMatchObject([{ count: 40, sumNs: 40e6, timeouts: null }]);
  });

  test("without lowflame's own waits when they are not asked for", () => {
    const capture = new FakeCapture();
    const own = capture.process(99, "lowflame", { self: true });
    const lock = capture.lock({ kind: "user lock" });
    const profile = profileOf({ capture, process: own.process, threads: [own.thread] }, [
      total(lock, own.process, 4, 1e9),
    ]);
    expect(lockSummaries(profile, "futex")).toHaveLength(1);
    expect(lockSummaries(profile, "futex", notSelf(profile))).toEqual([]);
  });

  test("is there for a recording in which nobody waited", () => {
    const server = fakeApp();
    expect(locksRecorded(profileOf(server, []), "futex")).toBe(true);
    expect(locksRecorded(profileOf(server, []), "locks")).toBe(false);
    expect(lockSummaries(profileOf(server, []), "futex")).toEqual([]);
  });
});

describe("the caller of a user lock", () => {
  const callerOf = (stack: readonly FakeFrame[]) => {
    const server = fakeApp();
    const lock = futexOf(server);
    server.capture.futex(server.threads[0]!, stack, { lock });
    const [row] = lockSummaries(profileOf(server, [total(lock, server.process, 1, 1e6)]), "futex");
    return row!.callers[0]!.name;
  };
  const libc = (name: string) => u(name, LIBC);

  test.each<[string, readonly FakeFrame[]]>([
    ["glibc", MUTEX],
    ["a stripped C library", [libc("libc.so.6+0x8b1a2"), libc("libc.so.6+0x87f10"), ...FUTEX_WAIT]],
    ["libstdc++", [u("std::mutex::lock()"), u("__gthread_mutex_lock(pthread_mutex_t*)"), ...MUTEX]],
    [
      "Rust",
      [
        u("<std::sync::mutex::Mutex<T>>::lock", RUST),
        u("std::sys::sync::mutex::futex::Mutex::lock_contended", RUST),
        u("std::sys::pal::unix::futex::futex_wait", RUST),
        u("syscall", LIBC),
        ...FUTEX_WAIT,
      ],
    ],
    ["Go", [u("runtime.lock2"), u("runtime.futexsleep"), u("runtime.futex.abi0"), ...FUTEX_WAIT.slice(0, 2)]],
    ["musl", [u("pthread_mutex_timedlock"), u("__timedwait"), u("__timedwait_cp"), ...FUTEX_WAIT]],
  ])("is the first user function outside the text of %s", (_, text) => {
    expect(callerOf([...THREAD, app("main_loop"), app("Cache::get(Key const&)"), ...text])).toBe(
      "Cache::get(Key const&)",
    );
  });

  test("is the allocator, or stdio, where it is their lock", () => {
    expect(
      callerOf([...THREAD, app("f"), libc("malloc"), libc("__lll_lock_wait_private"), ...FUTEX_WAIT]),
    ).toBe("malloc");
    expect(
      callerOf([...THREAD, app("f"), libc("fputs"), libc("__lll_lock_wait_private"), ...FUTEX_WAIT]),
    ).toBe("fputs");
  });

  test("is unknown where the stack ends in the text of the lock, or shows only how the thread began", () => {
    const rust = [
      "std::sys::backtrace::__rust_begin_short_backtrace",
      "core::ops::function::FnOnce::call_once{{vtable.shim}}",
    ];
    const starts = rust.map((name) => [...THREAD, u(name, RUST), ...MUTEX]);
    for (const stack of [MUTEX, [...THREAD, ...MUTEX], FUTEX_WAIT, ...starts])
      expect(callerOf(stack)).toBe("[unknown]");
    expect(
      callerOf([...THREAD, u("std::rt::lang_start_internal", RUST), u("app::work", RUST), ...MUTEX]),
    ).toBe("app::work");
  });

  test("is fit to be shown whatever it is called", () => {
    expect(callerOf([app("evil\u202e\n<b>"), ...MUTEX])).toBe("evil\\u{202e}\\x0a<b>");
  });
});

describe("conditions are no contention", () => {
  const kinds = (
    kind: LockKind,
    stacks: readonly (readonly [weightNs: number, stack: readonly FakeFrame[]])[],
    over: { alsoCondition?: number } = {},
  ) => {
    const server = fakeApp();
    const lock = futexOf(server, kind);
    for (const [weightNs, stack] of stacks)
      server.capture.futex(server.threads[0]!, stack, { lock, durationNs: weightNs });
    const totals = [total(lock, server.process, 10, 10e6)];
    if (over.alsoCondition !== undefined) {
      const same = futexOf(server, "user condition or idle wait");
      totals.push(total(same, server.process, over.alsoCondition, 1e6));
    }
    const found = lockSummaries(profileOf(server, totals), "futex").find((row) => row.lock === lock)!;
    return [found.kind, found.contention];
  };
  const waits = [...THREAD, app("Pool::take()"), ...CONDITION];
  const condition = ["user condition or idle wait", false];

  test("those that the kernel's side tells by the expected value", () => {
    expect(kinds("user condition or idle wait", [])).toEqual(condition);
    expect(kinds("user condition or idle wait", [[1e6, FUTEX_WAIT]])).toEqual(condition);
  });

  test.each<[string, readonly FakeFrame[]]>([
    ["a condition variable whose sequence number is 2 by chance", waits],
    [
      "a parked thread",
      [app("run"), u("std::thread::park"), u("std::sys::sync::thread_parking::futex::Parker::park")],
    ],
    [
      "a semaphore",
      [app("run"), u("sem_wait@@GLIBC_2.34", LIBC), u("__new_sem_wait_slow64", LIBC), ...FUTEX_WAIT],
    ],
    [
      "an idle thread of Go",
      [u("runtime.findRunnable"), u("runtime.stopm"), u("runtime.notesleep"), u("runtime.futex")],
    ],
  ])("%s, by the names on the stack", (_, stack) => {
    expect(kinds("user lock", [[1e6, stack]])).toEqual(condition);
  });

  test("if more than half of the sampled waiting says so", () => {
    const rest = [40e6, WANTS] as const;
    expect(kinds("user lock", [[60e6, waits], rest])).toEqual(condition);
    expect(kinds("user lock", [[40e6, waits], rest])).toEqual(["user lock", true]);
  });

  test("but not the mutex that a condition variable takes again: the innermost name decides", () => {
    const again = [
      ...THREAD,
      app("Pool::take()"),
      u("pthread_cond_wait@@GLIBC_2.3.2", LIBC),
      u("__pthread_mutex_cond_lock", LIBC),
      u("__lll_lock_wait", LIBC),
      ...FUTEX_WAIT,
    ];
    expect(kinds("user lock", [[1e6, again]])).toEqual(["user lock", true]);
  });

  test("nor a lock that waits for a sequence number, as Rust's read-write lock does for its writers", () => {
    const write = [
      app("Cache::put"),
      u("std::sys::sync::rwlock::futex::RwLock::write_contended", RUST),
      u("std::sys::pal::unix::futex::futex_wait", RUST),
      ...FUTEX_WAIT,
    ];
    expect(kinds("user condition or idle wait", [[1e6, write]])).toEqual(["user lock", true]);
    const stacks = [[40e6, write] as const, [60e6, FUTEX_WAIT] as const];
    expect(kinds("user condition or idle wait", stacks)).toEqual(condition);
  });

  test("nor a lock with priority inheritance, which is one by its operation", () => {
    const kind = "user lock, priority inheritance";
    expect(kinds(kind, [[1e6, waits]])).toEqual([kind, true]);
  });

  test("without a stack that tells, a word that is mostly waited for as a condition is one", () => {
    expect(kinds("user lock", [], { alsoCondition: 11 })).toEqual(condition);
    expect(kinds("user lock", [[1e6, FUTEX_WAIT]], { alsoCondition: 11 })).toEqual(condition);
    expect(kinds("user lock", [], { alsoCondition: 9 })).toEqual(["user lock", true]);
    expect(kinds("user lock", [[1e6, WANTS]], { alsoCondition: 11 })).toEqual(["user lock", true]);
  });
});
