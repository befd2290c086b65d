// Findings about user locks: contention, convoys, and owners that are themselves off the CPU.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { LockKind, OffCpuState, SourceName } from "../../src/capture/binding.js";
import { type FakeFrame, k, u } from "./helpers/fake-capture.js";
import { CONDITION, FUTEX_WAIT, MUTEX, THREAD } from "./helpers/futex-example.js";
import { app, fakeApp, futexOf, profileOf, WANTS } from "./helpers/futex-totals.js";
import { total } from "./helpers/lock-totals.js";

const RULES = /^(?:user-lock-|lock-held-)/;

/** 10 s on 4 CPUs: "app" with `threads` threads, of which `waiting` wait 100 times each, for `waitedNs` in all. */
function findings(options: {
  waitedNs: number;
  threads?: number;
  waiting?: number;
  kind?: LockKind;
  stack?: readonly FakeFrame[];
  cut?: boolean;
  sources?: readonly SourceName[];
  /** How many wait at one time, one group after the other; default all of them. */
  atOnce?: number;
}) {
  const { waitedNs, threads = 1, waiting = threads, atOnce = waiting } = options;
  const server = fakeApp(threads);
  const lock = futexOf(server, options.kind);
  const durationNs = waitedNs / waiting / 10;
  server.threads.slice(0, waiting).forEach((thread, i) => {
    const at = 9e9 - Math.floor(i / atOnce) * durationNs;
    // Where they take turns, each wait is one sample for all ten.
    const often = atOnce < waiting ? { times: 1, weightNs: durationNs * 10 } : { times: 10 };
    server.capture.futex(thread, options.stack ?? WANTS, { lock, durationNs, at, ...often });
  });
  const totals = [total(lock, server.process, 1000, waitedNs / 1000, 3)];
  const { cut = false, sources = ["futex"] } = options;
  const profile = profileOf(server, totals, { cut, sources });
  return analyze(profile).filter(({ rule }) => RULES.test(rule));
}

describe("user-lock-contention", () => {
  const contention = (options: Parameters<typeof findings>[0]) =>
    findings(options).filter(({ rule }) => rule === "user-lock-contention");

  test("is about a lock that takes 5 % of a process's time, and critical from 20 % on", () => {
    expect(contention({ waitedNs: 0.49e9 })).toEqual([]);
    expect(contention({ waitedNs: 0.51e9 }).map(({ severity }) => severity)).toEqual(["warning"]);
    const [finding, ...rest] = contention({ waitedNs: 2.1e9 });
    expect(rest).toEqual([]);
    expect(finding).toMatchObject({
      severity: "critical",
      title:
        "app (pid 80) waits 21.0 % of its time for a user lock: the one that Cache::get(Key const&) takes (futex 0x7f0000000000 of app (pid 80))",
      culprit: "futex 0x7f0000000000 of app (pid 80)",
      contributors: [{ name: "Cache::get(Key const&)", share: 1 }],
      tab: "futex",
      search: "=Cache::get(Key const&)",
    });
    for (const part of [
      "1000 times",
      "2.1 s in all",
      "1 wait in 100",
      "3 of them were given up after a timeout",
    ])
      expect(finding!.detail).toContain(part);
    expect(finding!.next.join("\n")).toContain("gdb -p 80 -batch -ex 'thread apply all bt'");
    expect(finding!.next.join("\n")).toContain("perf trace -s -p 80 -e futex -- sleep 5");
  });

  test("counts the time of all threads of the process, as for kernel locks", () => {
    expect(contention({ waitedNs: 1.4e9, threads: 3 })).toEqual([]);
    expect(contention({ waitedNs: 1.6e9, threads: 3 })).toHaveLength(1);
  });

  test("is also about a few threads that stand still among many idle ones, by the machine's time", () => {
    const [finding] = contention({ waitedNs: 3e9, threads: 200, waiting: 2 });
    // 0.15 % of the time of 200 threads, 7.5 % of that of four CPUs
    expect(finding).toMatchObject({ severity: "warning", share: 0.075 });
    expect(finding!.title).toMatch(/^0\.3 threads on average wait for a user lock, the one that Cache::get/);
    expect(finding!.title).toContain("(7.5 % of the machine's time)");
  });

  test("is no fault of idle workers, of which one waits for events with the lock held", () => {
    const idle = (syscall: number) => {
      const server = fakeApp(6);
      const lock = futexOf(server);
      for (const waiter of server.threads.slice(1)) {
        const wait = { lock, durationNs: 4e9, at: 5e9 };
        server.capture.futex(waiter, WANTS, wait);
        server.capture.futexOwners(server.threads[0]!, [k("inet_csk_accept")], {
          ...wait,
          ...{ state: "interruptible", syscall },
        });
      }
      const totals = [total(lock, server.process, 5, 4e9)];
      return analyze(profileOf(server, totals)).filter(({ rule }) => /lock/.test(rule));
    };
    const [SYS_ACCEPT, SYS_FSYNC] = [43, 74];
    expect(idle(SYS_ACCEPT).map(({ title }) => title)).toEqual([]);
    expect(idle(SYS_FSYNC).map(({ rule }) => rule)).toContain("user-lock-contention");
  });

  test("that none of them got in the whole recording may be idle workers or a deadlock: worth knowing, and no convoy", () => {
    const server = fakeApp(6);
    const lock = futexOf(server);
    for (const waiter of server.threads.slice(0, 5))
      server.capture.futex(waiter, WANTS, { lock, durationNs: 9.9e9, at: 9.95e9 });
    const [finding, ...more] = analyze(profileOf(server, [total(lock, server.process, 5, 9.9e9)])).filter(
      ({ rule }) => RULES.test(rule),
    );
    expect(more).toEqual([]);
    expect(finding).toMatchObject({ rule: "user-lock-contention", severity: "info" });
    expect(finding!.title).toMatch(
      /^5 threads of app \(pid 80\) waited for one user lock for all of the recording, and none got it: /,
    );
    expect(finding!.detail).toContain("deadlock");
  });

  test("is about each process's own lock, though forked workers have theirs at one address", () => {
    const server = fakeApp();
    const { capture } = server;
    const second = capture.process(90, "app");
    const lock = (pid: number) =>
      capture.lock({ kind: "user lock", address: 0x1000n, name: `futex 0x1000 of app (pid ${pid})` });
    const totals = [total(lock(80), server.process, 10, 4e7), total(lock(90), second.process, 10, 4e7)];
    expect(analyze(profileOf(server, totals)).filter(({ rule }) => RULES.test(rule))).toEqual([]);
  });

  test("knows the allocator's lock and stdio's", () => {
    const inLibc = (name: string) => [
      ...THREAD,
      app("run"),
      u(name, "/lib/libc.so.6"),
      u("__lll_lock_wait_private", "/lib/libc.so.6"),
      ...FUTEX_WAIT,
    ];
    const [allocator] = contention({ waitedNs: 3e9, stack: inLibc("malloc") });
    expect(allocator!.detail).toContain("It is a lock of the allocator");
    const [stdio] = contention({ waitedNs: 3e9, stack: inLibc("fputs") });
    expect(stdio!.detail).toContain("the lock of a stdio stream");
  });

  test("says what to do where no stack reaches past the lock", () => {
    const [finding] = contention({ waitedNs: 3e9, stack: MUTEX });
    expect(finding!.title).toContain("user lock: futex 0x7f0000000000 of app (pid 80)");
    expect(finding!.next.join("\n")).toContain("-fno-omit-frame-pointer");
    expect(finding).not.toHaveProperty("search");
  });

  test("is never about conditions, whichever way they are known, nor about futexes without a row", () => {
    expect(
      findings({ waitedNs: 90e9, threads: 10, kind: "user condition or idle wait", stack: FUTEX_WAIT }),
    ).toEqual([]);
    expect(findings({ waitedNs: 90e9, threads: 10, stack: [...THREAD, app("idle"), ...CONDITION] })).toEqual(
      [],
    );
    const server = fakeApp(10);
    expect(analyze(profileOf(server, [total(-2, server.process, 100, 1e9)]))).toEqual([]);
  });

  test("of a cut capture says that it estimates", () => {
    expect(contention({ waitedNs: 3e9, threads: 4, waiting: 2, cut: true })[0]!.detail).toContain(
      "estimates from sampled waits",
    );
  });
});

describe("user-lock-convoy", () => {
  const convoys = (options: Parameters<typeof findings>[0]) =>
    findings({ sources: ["offcpu", "futex"], ...options }).filter(({ rule }) => rule === "user-lock-convoy");

  test("is more than half of at least four threads in one queue that takes 5 % of their time", () => {
    const [finding, ...rest] = convoys({ waitedNs: 12e9, threads: 8, waiting: 5 });
    expect(rest).toEqual([]);
    expect(finding).toMatchObject({ severity: "warning", tab: "futex", search: "=Cache::get(Key const&)" });
    expect(finding!.title).toContain("5 of 8 threads of app (pid 80) queue for one user lock");
    expect(finding!.next.join()).toContain("tab of user locks");
  });

  test("is not half of the threads, fewer than four, or less time", () => {
    expect(convoys({ waitedNs: 12e9, threads: 8, waiting: 4 })).toEqual([]);
    expect(convoys({ waitedNs: 12e9, threads: 3 })).toEqual([]);
    expect(convoys({ waitedNs: 3.9e9, threads: 8 })).toEqual([]);
  });

  test("is about how many wait at one time, not how many ever waited", () => {
    expect(convoys({ waitedNs: 12e9, threads: 9, waiting: 8, atOnce: 2 })).toEqual([]);
    expect(convoys({ waitedNs: 12e9, threads: 9, waiting: 8, atOnce: 5 })[0]!.title).toMatch(/^5 of 9 /);
    // few waits were sampled at one time, but 6.5 threads wait on average
    expect(convoys({ waitedNs: 65e9, threads: 9, waiting: 8, atOnce: 2 })[0]!.title).toMatch(/^7 of 9 /);
  });

  test("where only waiters were seen, is eight of them at one time", () => {
    const sources: SourceName[] = ["futex"];
    expect(convoys({ waitedNs: 12e9, threads: 4, sources })).toEqual([]);
    expect(convoys({ waitedNs: 12e9, threads: 7, sources })).toEqual([]);
    expect(convoys({ waitedNs: 12e9, threads: 9, atOnce: 2, sources })).toEqual([]);
    expect(convoys({ waitedNs: 12e9, threads: 8, sources })[0]!.title).toContain(
      "8 of 8 threads of app (pid 80), of those that were seen, queue for one user lock",
    );
  });
});

describe("lock-held-asleep", () => {
  const FSYNC = [
    ...THREAD,
    app("flush"),
    k("do_syscall_64"),
    k("__x64_sys_fsync"),
    k("jbd2_log_wait_commit"),
  ];
  const [SYS_FSYNC, SYS_FUTEX, SYS_EPOLL_WAIT] = [74, 202, 232];

  function held(options: {
    waitNs: number;
    stack?: readonly FakeFrame[];
    state?: OffCpuState;
    syscall?: number;
    kind?: LockKind;
    waiter?: readonly FakeFrame[];
    /** Length of the owner's own wait, where `offcpu` was recorded. */
    ownNs?: number;
    /** The owner itself waits for a second lock. */
    chain?: boolean;
    /** A second thread waits for the lock at the same time. */
    queue?: boolean;
  }) {
    const server = fakeApp(3);
    const [waiter, owner, other] = server.threads as [number, number, number];
    const { capture } = server;
    const lock = futexOf(server, options.kind);
    const { waitNs, stack = FSYNC, state = "uninterruptible", syscall = SYS_FSYNC, ownNs } = options;
    for (const thread of options.queue ? [waiter, other] : [waiter])
      capture.futex(thread, options.waiter ?? WANTS, { lock, durationNs: waitNs, at: 5e9 });
    capture.futexOwners(owner, stack, { lock, state, syscall, durationNs: waitNs, at: 5e9 });
    if (ownNs !== undefined) capture.offcpu(owner, stack, { state, syscall, durationNs: ownNs, at: 5e9 });
    const totals = [total(lock, server.process, 1, waitNs)];
    if (options.chain) {
      const second = futexOf(server, "user lock", 0x7f0000000080n);
      capture.futex(owner, stack, { lock: second, syscall, durationNs: waitNs });
      totals.push(total(second, server.process, 1, waitNs));
    }
    const sources: SourceName[] = ownNs === undefined ? ["futex"] : ["offcpu", "futex"];
    return analyze(profileOf(server, totals, { sources })).filter(({ rule }) => rule === "lock-held-asleep");
  }

  test("is one wait of 100 ms for a lock whose owner sleeps, and critical from a second on", () => {
    expect(held({ waitNs: 99e6 })).toEqual([]);
    const [finding, ...rest] = held({ waitNs: 150e6 });
    expect(rest).toEqual([]);
    expect(finding).toMatchObject({
      severity: "warning",
      title:
        "A thread waited 150.0 ms for a user lock whose owner, worker-1 (thread 81 of app), was itself asleep in fsync (jbd2_log_wait_commit): futex 0x7f0000000000 of app (pid 80)",
      culprit: "worker-1 (thread 81 of app)",
      contributors: [{ name: "asleep in fsync (jbd2_log_wait_commit)", share: 1 }],
      tab: "futex",
      search: "=jbd2_log_wait_commit",
    });
    expect(finding!.detail).toContain("The lock is wanted in Cache::get(Key const&).");
    expect(finding!.next).toContain("Let go of the lock before fsync, and take it again afterwards.");
    expect(finding!.next.join("\n")).toContain("cat /proc/80/task/81/stack");
    expect(held({ waitNs: 1.2e9 })[0]!.severity).toBe("critical");
  });

  test("names the other lock that the owner waits for", () => {
    const [finding] = held({
      waitNs: 2e8,
      stack: WANTS,
      state: "interruptible",
      syscall: SYS_FUTEX,
      chain: true,
    });
    expect(finding!.title).toContain(
      "was itself waiting for futex 0x7f0000000080 of app (pid 80): futex 0x7f00",
    );
  });

  test("tells an owner that has no CPU from one that sleeps: priority inversion as it is in the books", () => {
    const [finding] = held({ waitNs: 2e8, state: "preempted", syscall: -1, stack: [app("spin")] });
    expect(finding!.title).toContain("was itself ready to run and without a CPU");
    expect(finding!.next.join("\n")).toContain("chrt -a -p 80");
  });

  test("an owner that lost its CPU inside of a futex call did not wait for a futex", () => {
    const server = fakeApp(2);
    const [waiter, owner] = server.threads as [number, number];
    const lock = futexOf(server);
    const second = futexOf(server, "user lock", 0x7f0000000080n);
    const state = { state: "preempted", syscall: SYS_FUTEX } as const;
    server.capture.futex(waiter, WANTS, { lock, durationNs: 9e8 });
    server.capture.futex(owner, WANTS, { lock: second, syscall: SYS_FUTEX, durationNs: 1e6 });
    server.capture.futexOwners(owner, WANTS, { lock, durationNs: 9e8, ...state });
    const totals = [total(lock, server.process, 1, 9e8), total(second, server.process, 1, 1e6)];
    const rules = analyze(profileOf(server, totals)).map(({ rule }) => rule);
    expect(rules).toContain("lock-held-asleep");
  });

  test("threads that take turns to wait for events are not told, nor is one that is parked behind another", () => {
    const [state, stack] = ["interruptible", [k("ep_poll")]] as const;
    const [SYS_POLL, SYS_SELECT, SYS_ACCEPT4] = [7, 23, 288];
    for (const syscall of [SYS_EPOLL_WAIT, SYS_POLL, SYS_SELECT, SYS_ACCEPT4]) {
      expect(held({ waitNs: 2.5e9, state, syscall, stack })).toEqual([]);
      expect(held({ waitNs: 2.5e9, state, syscall, stack, queue: true })).toEqual([]);
    }
    const SYS_NANOSLEEP = 35; // whoever sleeps with a lock held keeps even one thread from its work
    expect(held({ waitNs: 2.5e9, state, syscall: SYS_NANOSLEEP, stack })).toHaveLength(1);
  });

  test("is not an owner that ran, that slept only a little of the time, or a condition", () => {
    expect(held({ waitNs: 9e8, state: "none", stack: [], syscall: -1 })).toEqual([]);
    expect(held({ waitNs: 9e8, ownNs: 3e8 })).toEqual([]);
    expect(held({ waitNs: 9e8, ownNs: 6e8 })).toHaveLength(1);
    expect(held({ waitNs: 9e8, kind: "user condition or idle wait", waiter: FUTEX_WAIT })).toEqual([]);
  });

  test("hostile names are text on one line", () => {
    const server = fakeApp();
    const { capture } = server;
    const evil = capture.thread(server.process, 90, "a\u001b[2J\nb");
    const lock = capture.lock({ kind: "user lock", name: "futex\n\u202e<script>" });
    capture.futex(server.threads[0]!, [app("\u0007x"), ...MUTEX], { lock, durationNs: 1e9 });
    capture.futexOwners(evil, [k("evil\u009b")], {
      lock,
      state: "interruptible",
      syscall: 35,
      durationNs: 1e9,
    });
    const text = JSON.stringify(analyze(profileOf(server, [total(lock, server.process, 1, 1e9)])), null, 0);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
    expect(text).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]|\\u001b|\\n/);
  });
});
