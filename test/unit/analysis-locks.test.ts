// Findings about kernel locks that take much of somebody's time, and what spinning says of them.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { LockTotal, SourceName } from "../../src/capture/binding.js";
import { buildProfile } from "./helpers/build-profile.js";
import { b, FakeCapture, type FakeFrame, k } from "./helpers/fake-capture.js";
import { facts, MAP, profileOf, RWSEM, total } from "./helpers/lock-totals.js";
import { healthyNginx, SEND } from "./helpers/proxy-load.js";

/** Findings about locks: 10 s on 4 CPUs, "app" with `threads` threads that each wait once, for `waitedNs` in all. */
function findings(options: {
  waitedNs: number;
  threads?: number;
  waiting?: number;
  name?: string;
  stack?: readonly FakeFrame[];
  self?: boolean;
  cut?: boolean;
  kernelThread?: boolean;
  sources?: readonly SourceName[];
}) {
  const { waitedNs, threads = 1, waiting = threads, name = "mmap_lock of app (pid 80)" } = options;
  const capture = new FakeCapture();
  const app = capture.process(80, "app", {
    self: options.self ?? false,
    kernelThread: options.kernelThread ?? false,
  });
  const all = [app.thread];
  while (all.length < threads) all.push(capture.thread(app.process, 80 + all.length, "app"));
  const lock = capture.lock({ kind: "rwsem, write", name });
  const stack = options.stack ?? [...MAP, ...RWSEM];
  for (const thread of all.slice(0, waiting))
    capture.locks(thread, stack, { lock, times: 10, durationNs: waitedNs / waiting / 10 });
  const backup = capture.process(70, "backup").thread;
  capture.lockOwners(backup, MAP, { lock, times: 10, durationNs: waitedNs / waiting / 10 });
  const events = capture.events({
    facts: { sources: options.sources ?? facts.sources },
    final: { lockTotals: [total(lock, app.process, 1000, waitedNs / 1000)] },
  });
  const profile = buildProfile(options.cut ? events.slice(0, -1) : events);
  return analyze(profile).filter(({ rule }) => rule.startsWith("lock-"));
}

describe("lock-contention", () => {
  test("is about a lock that takes 5 % of a process's time, and critical from 20 % on", () => {
    expect(findings({ waitedNs: 0.49e9 })).toEqual([]);
    expect(findings({ waitedNs: 0.51e9 }).map(({ severity }) => severity)).toEqual(["warning"]);
    const [finding, ...rest] = findings({ waitedNs: 2.1e9 });
    expect(rest).toEqual([]);
    expect(finding).toMatchObject({
      rule: "lock-contention",
      severity: "critical",
      culprit: "mmap_lock of app (pid 80)",
      title: "app (pid 80) waits 21.0 % of its time for a kernel lock: mmap_lock of app (pid 80)",
      contributors: [{ name: "ksys_mmap_pgoff", share: 1 }],
      tab: "locks",
      search: "=ksys_mmap_pgoff",
    });
    for (const part of [
      "1000 times",
      "2.1 s in all",
      "1 wait in 100",
      "longest 2.1 ms",
      "held by backup (pid 70)",
    ])
      expect(finding!.detail).toContain(part);
  });

  test("counts the time of all threads of the process", () => {
    expect(findings({ waitedNs: 0.51e9, threads: 3 })).toEqual([]);
    expect(findings({ waitedNs: 1.6e9, threads: 3 })).toHaveLength(1);
  });

  test("is also about many processes that wait a little each", () => {
    const wait = (waitedNs: number) => {
      const capture = new FakeCapture();
      const lock = capture.lock({ kind: "rwlock, read", name: "tasklist_lock" });
      const totals = Array.from({ length: 100 }, (_, i) =>
        total(lock, capture.process(100 + i, "ps").process, 100, waitedNs / 100),
      );
      return analyze(profileOf(capture, totals)).filter(({ rule }) => rule === "lock-contention");
    };
    const [finding] = wait(0.3e9);
    // 100 processes wait 0.3 s each: 30 s of 10 s, and 75 % of four CPUs.
    expect(finding).toMatchObject({ severity: "critical", share: 0.75 });
    expect(finding!.title).toBe(
      "3.0 threads on average wait for a kernel lock, tasklist_lock, most of them of ps (75.0 % of the machine's time)",
    );
    // More that wait than there are CPUs have no share of the machine's time.
    expect(wait(0.9e9)[0]).toMatchObject({
      share: 1,
      title: "9.0 threads on average wait for a kernel lock, tasklist_lock, most of them of ps",
    });
  });

  test("takes readers and writers of one rwsem together", () => {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "app");
    const address = 0xffff_8881_0000_1000n;
    const name = "mmap_lock of app (pid 80)";
    const reading = capture.lock({ kind: "rwsem, read", address, name });
    const writing = capture.lock({ kind: "rwsem, write", address, name });
    const rows = [total(reading, process, 100, 3e6), total(writing, process, 100, 3e6)];
    const found = analyze(profileOf(capture, rows)).filter(({ rule }) => rule === "lock-contention");
    expect(found).toHaveLength(1); // neither has 5 % alone
    expect(found[0]!.share).toBeCloseTo(0.06, 6);
  });

  test("never adds up the locks of processes that had one address one after the other", () => {
    const capture = new FakeCapture();
    const address = 0xffff_8881_0000_1000n;
    const rows = [80, 90, 100].map((pid) => {
      const { process } = capture.process(pid, "short");
      const name = `mmap_lock of short (pid ${pid})`;
      return total(capture.lock({ kind: "rwsem, write", address, name }), process, 100, 9e6);
    });
    // together 2.7 s of 40: each alone has 2.25 %
    const short = analyze(profileOf(capture, rows)).filter(({ rule }) => rule === "lock-contention");
    expect(short.map(({ title }) => title)).toEqual(
      [100, 80, 90].map((pid) => expect.stringContaining(`short (pid ${pid}) waits 9.0 % of its time`)),
    );
    for (const { detail } of short) expect(detail).toContain("It was waited for 100 times, 900.0 ms");
  });

  test("tells two locks of one name by their addresses", () => {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "app");
    const rows = [0x1000n, 0x2000n].map((address) =>
      total(
        capture.lock({ kind: "rwsem, write", address, name: "in a inode_cache object" }),
        process,
        10,
        0.9e9,
      ),
    );
    const titles = analyze(profileOf(capture, rows)).map(({ title }) => title);
    expect(titles.filter((title) => title.includes("inode_cache object at 0x1000"))).toHaveLength(1);
    expect(titles.filter((title) => title.includes("inode_cache object at 0x2000"))).toHaveLength(1);
  });

  test("says of how much of the waiting the owners are known, and that of readers they never are", () => {
    const held = (owned: number) => {
      const capture = new FakeCapture();
      const { process, thread } = capture.process(80, "app");
      const lock = capture.lock({ kind: "rwsem, write", name: "mmap_lock of app (pid 80)" });
      capture.locks(thread, [...MAP, ...RWSEM], { lock, times: 10, durationNs: 300e6 });
      const backup = capture.process(70, "backup").thread;
      if (owned > 0) capture.lockOwners(backup, MAP, { lock, times: owned, durationNs: 300e6 });
      return analyze(profileOf(capture, [total(lock, process, 10, 300e6)]))[0]!.detail;
    };
    expect(held(9)).toContain("Meanwhile it was held by backup (pid 70) (90.0 % of the waiting).");
    expect(held(3)).toContain("is known for 30.0 % of the waiting only: backup (pid 70)");
    expect(held(0)).toContain("Who held it meanwhile is not known: readers leave no name there.");
  });

  test("takes the buckets of one program's hash maps together", () => {
    const capture = new FakeCapture();
    const { process, thread } = capture.process(80, "app");
    const stack = [
      ...SEND,
      b("bpf_prog_6deef7357e7b4530_count_calls"),
      k("htab_map_update_elem"),
      k("_raw_spin_lock"),
    ];
    const totals = Array.from({ length: 20 }, () => {
      const lock = capture.lock({ kind: "spin lock" });
      capture.locks(thread, stack, { lock, durationNs: 1e5 });
      return total(lock, process, 1000, 1e5);
    });
    const found = analyze(profileOf(capture, totals)).filter(({ rule }) => rule === "lock-contention");
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({
      severity: "critical",
      culprit: "bucket lock of a BPF hash map (program count_calls)",
    });
    expect(found[0]!.next[0]).toContain("bpftool prog show");
    // PERCPU_HASH takes bucket locks as well: the advice must not send anybody there.
    expect(found[0]!.next.join(" ")).toContain("of a per-CPU hash map, too; arrays have none");
  });

  test("says what to look at by what kind of lock it is", () => {
    const next = (over: Partial<Parameters<typeof findings>[0]>) =>
      findings({ waitedNs: 3e9, ...over })[0]!.next.join("\n");
    expect(next({})).toContain("perf trace -s -p 80 -e mmap,munmap");
    expect(next({})).toContain("perf lock contention -ab -l -Y rwsem");
    const dup = [
      ...MAP,
      k("ksys_dup3"),
      k("alloc_fd"),
      k("_raw_spin_lock"),
      k("native_queued_spin_lock_slowpath"),
    ];
    expect(next({ name: "", stack: dup })).toContain("close,dup");
    expect(next({ name: "in a files_cache object" })).toContain("close,dup");
    expect(next({ name: "rtnl_mutex" })).toContain(
      "Search the flame graph of kernel locks for ksys_mmap_pgoff",
    );
  });

  test("is never about lowflame itself, nor about kernel threads' own time", () => {
    expect(findings({ waitedNs: 9e9, self: true, threads: 8 })).toEqual([]);
    expect(findings({ waitedNs: 1.9e9, kernelThread: true })).toEqual([]);
  });

  test("of a cut capture says that it estimates, and needs samples for it", () => {
    // what was recorded ends with the last sample: 10 or 20 ms here
    const [finding] = findings({ waitedNs: 0.1e9, cut: true });
    expect(finding!.detail).toContain("estimates from sampled waits");
    const capture = new FakeCapture();
    const { thread } = capture.process(80, "app");
    capture.locks(thread, MAP, { lock: capture.lock(), times: 9 });
    expect(analyze(buildProfile(capture.events({ facts }).slice(0, -1)))).toEqual([]);
  });
});

describe("lock-convoy", () => {
  const convoys = (options: Parameters<typeof findings>[0]) =>
    findings(options).filter(({ rule }) => rule === "lock-convoy");

  test("is more than half of at least four threads in one queue that takes 5 % of their time", () => {
    const [finding, ...rest] = convoys({ waitedNs: 12e9, threads: 8, waiting: 5 });
    expect(rest).toEqual([]);
    expect(finding).toMatchObject({
      severity: "warning",
      culprit: "mmap_lock of app (pid 80)",
      tab: "locks",
    });
    expect(finding!.title).toContain("5 of 8 threads of app (pid 80)");
    expect(finding!.detail).toContain("15.0 % of their time");
    expect(convoys({ waitedNs: 40e9, threads: 8, waiting: 7 })[0]).toMatchObject({ severity: "critical" });
  });

  test("is not half of the threads, fewer than four, or less time", () => {
    expect(convoys({ waitedNs: 12e9, threads: 8, waiting: 4 })).toEqual([]);
    expect(convoys({ waitedNs: 12e9, threads: 3 })).toEqual([]);
    expect(convoys({ waitedNs: 3.9e9, threads: 8 })).toEqual([]);
  });

  test("where only waiters were seen, is eight of them at one time", () => {
    for (const sources of [["locks"], ["cpu", "locks"]] as const) {
      // four of four that were seen, and nobody knows of how many
      expect(convoys({ waitedNs: 12e9, threads: 4, sources })).toEqual([]);
      expect(convoys({ waitedNs: 60e9, threads: 12, sources })).toEqual([]);
      const [finding] = convoys({ waitedNs: 90e9, threads: 12, sources });
      expect(finding!.title).toContain("12 of 12 threads of app (pid 80), of those that were seen, queue");
    }
    const [finding] = convoys({ waitedNs: 12e9, threads: 4, sources: ["offcpu", "locks"] });
    expect(finding!.title).toContain("4 of 4 threads of app (pid 80) queue");
  });
});

describe("spinlock-share", () => {
  const SPIN = [k("_raw_spin_lock"), k("native_queued_spin_lock_slowpath")];
  /** 300 of 1,300 CPU samples spin, about 3 s. */
  function detail(
    waits: (capture: FakeCapture, process: number) => LockTotal[],
    sources: readonly SourceName[] = facts.sources,
  ) {
    const capture = new FakeCapture();
    const { one } = healthyNginx(capture);
    capture.cpu(one.thread, [...SEND, k("__d_lookup"), ...SPIN], { times: 300 });
    const lockTotals = waits(capture, one.process);
    const profile = buildProfile(capture.events({ facts: { sources }, final: { lockTotals } }));
    return analyze(profile).find(({ rule }) => rule === "spinlock-share")!.detail;
  }

  test("names the two locks that were spun for most, with their exact time", () => {
    const text = detail((capture, process) => [
      total(capture.lock({ kind: "spin lock", name: "in a dentry object" }), process, 1000, 2e6),
      total(capture.lock({ kind: "rwlock, write", name: "tasklist_lock" }), process, 100, 3e6),
      total(capture.lock({ kind: "spin lock", name: "run queue of CPU 3" }), process, 10, 3e6),
      total(capture.lock({ kind: "mutex", name: "rtnl_mutex" }), process, 1000, 1e7),
    ]);
    expect(text).toContain("spin lock in a dentry object (2.0 s) and tasklist_lock (300.0 ms)");
    expect(text).not.toContain("rtnl_mutex");
  });

  test("says when the kernel hides such waits from its tracepoints", () => {
    const few = detail((capture, process) => [total(capture.lock({ kind: "spin lock" }), process, 10, 1e6)]);
    expect(few).toContain("this guest's kernel hides them");
    expect(few).toContain("test-and-set lock");
  });

  test("says nothing of it where waits for locks were not recorded", () => {
    expect(detail(() => [], ["cpu"])).not.toContain("tracepoint");
  });
});
