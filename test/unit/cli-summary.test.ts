// The summary and the digest behind it: who is named, what is counted, and that hostile names stay text.
import { describe, expect, it } from "vitest";
import type { Finding } from "../../src/analysis/finding.js";
import { truncatedStacks } from "../../src/analysis/rules/losses.js";
import { SampleFlag, userEndFlags } from "../../src/capture/binding.js";
import { digest } from "../../src/cli/digest.js";
import { summaryLines } from "../../src/cli/summary.js";
import { userStackLines } from "../../src/cli/summary-stacks.js";
import { paletteFor, printable } from "../../src/cli/terminal.js";
import { bytes, ns, ratio } from "../../src/model/units.js";
import type { UserStackCounts } from "../../src/model/user-stacks.js";
import { buildProfile } from "./helpers/build-profile.js";
import { MemoryStream } from "./helpers/cli-harness.js";
import { FakeCapture, k, u } from "./helpers/fake-capture.js";

const finding: Finding = {
  rule: "foreign-bpf",
  severity: "critical",
  title: "61.2 % of busy CPU time is in the BPF program slowtool",
  detail: "…",
  contributors: [{ name: "sys_enter", share: ratio(0.6) }],
  next: ["bpftool prog show id 12"],
};

/** So many stacks by how they ended: 0 = whole. */
function stacks(
  byEnd: Readonly<Record<number, number>>,
  cutPrograms: UserStackCounts["cutPrograms"] = [],
): UserStackCounts {
  const ends = Object.entries(byEnd).map(([end, count]) => ({ source: "cpu", end: Number(end), count }));
  const total = ends.reduce((sum, { count }) => sum + count, 0);
  return { total, truncated: total - (byEnd[0] ?? 0), ends, cutPrograms };
}

describe("user stacks", () => {
  it("are whole, or it is said what cut them short, most often first", () => {
    expect(userStackLines(stacks({}))).toEqual([]);
    expect(userStackLines(stacks({ 0: 9_990 }))).toEqual(["User stacks: all 9,990 are whole."]);
    expect(userStackLines(stacks({ 0: 9_990, 4: 4, 1: 5, 99: 1 }))).toEqual([
      "User stacks: 99.9 % of 10,000 are whole; cut short: process not known 0.050 %, no rule 0.040 %, end 99 0.010 %.",
    ]);
  });
  it("tell causes that add up to what is not whole", () => {
    const [line] = userStackLines(stacks({ 0: 60, 1: 14, 2: 12, 3: 6, 4: 4, 6: 3, [-1]: 1 }));
    expect(line).toBe(
      "User stacks: 60.0 % of 100 are whole; cut short: process not known 14.0 %, mapping not known 12.0 %, table not loaded 6.0 %, no rule 4.0 %, other causes 4.0 %.",
    );
  });
  it("say in which programs most were cut short, and why there", () => {
    const [, line] = userStackLines(
      stacks({ 0: 90, 1: 10 }, [
        { name: "forks\u001b[2J", pid: 0, end: 1, count: 7 },
        { name: "forks\u001b[2J", pid: 0, end: 4, count: 1 },
        { name: "old", pid: 12, end: 4, count: 2 },
      ]),
    );
    expect(line).toMatch(
      /^ {2}Most of those cut short are of forks\S* \(process not known 7, no rule 1\), old\[12\] \(no rule 2\)\.$/,
    );
    expect(line).not.toContain("\u001b");
  });
  it("are not all whole when one is not", () => {
    expect(userStackLines(stacks({ 0: 1e6, 6: 1 }))[0]).toMatch(/^User stacks: 99\.9 % of 1,000,001 /);
  });
});

function profile(over: Parameters<FakeCapture["events"]>[0] = {}) {
  const capture = new FakeCapture();
  const nginx = capture.process(4711, "nginx");
  const own = capture.process(99, "lowflame", { self: true });
  const kworker = capture.process(30, "kworker/0:1", { kernelThread: true });
  capture.cpu(nginx.thread, [u("main"), u("parse"), u("parse"), k("memcpy")], { times: 30 });
  capture.cpu(nginx.thread, [u("main"), u("parse")], { times: 10 });
  capture.cpu(own.thread, [u("main"), u("uv_run")], { times: 60 });
  capture.offcpu(nginx.thread, [u("main"), k("do_epoll_wait"), k("schedule"), k("__schedule")], {
    durationNs: 3e9,
    syscall: 232,
  });
  capture.offcpu(nginx.thread, [u("main"), k("do_epoll_wait"), k("schedule"), k("__schedule")], {
    durationNs: 1e9,
    syscall: 232,
  });
  capture.offcpu(nginx.thread, [u("main"), k("io_schedule")], { durationNs: 5e9, state: "uninterruptible" });
  capture.offcpu(own.thread, [u("main")], { durationNs: 9e9 });
  capture.offcpu(kworker.thread, [k("worker_thread"), k("schedule")], { durationNs: 9e9 });
  capture.offcpu(kworker.thread, [k("kthreadd")], { durationNs: 9e9, state: "idle" });
  return buildProfile(capture.events(over));
}

describe("the digest", () => {
  it("counts self and total time without lowflame's own, and recursion once", () => {
    const { cpu } = digest(profile());
    expect(cpu?.samples).toBe(100);
    expect(cpu?.functions.map((row) => [row.name, row.selfShare, row.totalShare])).toEqual([
      ["memcpy", 0.75, 0.75],
      ["parse", 0.25, 1],
    ]);
    expect(cpu!.lowflameNs / cpu!.weightNs).toBeCloseTo(0.6, 6);
  });

  it("groups sleepers by process, state and place, and leaves out who only waits for work", () => {
    const { offcpu } = digest(profile());
    expect(offcpu?.sleepers).toEqual([
      expect.objectContaining({
        process: "nginx",
        state: "uninterruptible",
        place: "io_schedule",
        weightNs: 5e9,
      }),
      expect.objectContaining({
        process: "nginx",
        state: "interruptible",
        syscall: "epoll_wait",
        place: "do_epoll_wait",
        weightNs: 4e9,
        longestNs: 3e9,
        samples: 2,
        threadCount: 1,
      }),
    ]);
  });

  it("gives run-queue percentiles by process, the longest sum first", () => {
    const buckets = new Array<number>(56).fill(0);
    buckets[0] = 98;
    buckets[21] = 2; // from 1.05 ms on
    const row = { process: 1, count: 100, sumNs: ns(3e6), maxNs: ns(1.4e6), buckets };
    const { offcpu } = digest(profile({ final: { runQueue: [row] } }));
    expect(offcpu?.runQueue[0]).toMatchObject({ process: "nginx", pid: 4711, waits: 100, maxNs: 1.4e6 });
    expect(offcpu!.runQueue[0]!.p50Ns).toBeLessThan(1_024);
    expect(offcpu!.runQueue[0]!.p99Ns).toBeGreaterThan(1e6);
  });
});

function lockProfile(cut = false) {
  const capture = new FakeCapture();
  const app = capture.process(80, "app");
  const worker = capture.thread(app.process, 81, "worker");
  const own = capture.process(99, "lowflame", { self: true });
  const stack = [u("main"), k("ksys_mmap_pgoff"), k("down_write"), k("rwsem_down_write_slowpath")];
  const buckets = new Array<number>(56).fill(0);
  buckets[21] = 200; // from 1.05 ms on
  const lockTotals = Array.from({ length: 7 }, (_, i) => {
    const name = i === 0 ? "mmap_lock of app (pid 80)" : `lock_${i}`;
    const lock = capture.lock({ kind: "rwsem, write", name, address: 0xffff888100000000n + BigInt(i) });
    capture.locks(worker, stack, { lock, times: 2 });
    return {
      lock,
      process: app.process,
      count: 200,
      sumNs: ns((7 - i) * 0.1e9),
      maxNs: ns(1.4e6),
      timeouts: 0,
      buckets,
    };
  });
  capture.lockOwners(app.thread, stack, { lock: lockTotals[0]!.lock });
  const mine = { ...lockTotals[0]!, process: own.process, sumNs: ns(9e9) };
  const events = capture.events({
    facts: { sources: ["locks"] },
    final: { lockTotals: [...lockTotals, mine] },
  });
  return buildProfile(cut ? events.slice(0, -1) : events);
}

describe("the digest of kernel locks", () => {
  it("has each lock with its exact figures, the longest sum first, without lowflame's own waits", () => {
    const { locks } = digest(lockProfile(), 3);
    expect(locks).toMatchObject({ exact: true, waits: 1400, sumNs: 2.8e9, samples: 14, lockCount: 7 });
    expect(locks?.locks.map(({ name }) => name)).toEqual(["mmap_lock of app (pid 80)", "lock_1", "lock_2"]);
    expect(locks?.locks[0]).toMatchObject({
      kind: "rwsem, write",
      address: "0xffff888100000000",
      waits: 200,
      sumNs: 0.7e9,
      maxNs: 1.4e6,
      waiters: [{ pid: 80, process: "app", waits: 200, sumNs: 0.7e9 }],
      callers: [{ name: "ksys_mmap_pgoff", share: 1 }],
      owners: [{ name: "app (pid 80)", share: 0.5 }],
      samples: 2,
      relativeError: 0,
    });
  });

  it("is null where they were not recorded, and says when it only estimates", () => {
    expect(digest(profile()).locks).toBeNull();
    expect(digest(lockProfile(true)).locks).toMatchObject({ exact: false, lockCount: 7, waits: 14 });
    const nobody = buildProfile(new FakeCapture().events({ facts: { sources: ["locks"] } }));
    expect(digest(nobody).locks).toMatchObject({ exact: true, waits: 0, locks: [] });
  });
});

describe("the summary", () => {
  const text = (...args: Parameters<typeof summaryLines>) => summaryLines(...args).join("\n");
  const context = { files: [], childCommand: null };

  it("starts with the findings, before any table", () => {
    const lines = summaryLines(profile(), [finding], context);
    expect(lines.findIndex((line) => line.includes("61.2 %"))).toBeLessThan(
      lines.findIndex((line) => line.startsWith("CPU:")),
    );
    expect(lines.join("\n")).toContain("next: bpftool prog show id 12");
  });

  it("says that nothing was lost, or exactly what", () => {
    expect(text(profile(), [], context)).toContain("Lost: nothing.");
    const losses = [
      { id: "cpu.ring_full", count: 1234, meaning: "samples did not fit: record fewer sources." },
      { id: "perf.lost", count: 0, meaning: "unused" },
    ];
    const lossy = text(profile({ final: { losses } }), [], context);
    expect(lossy).toContain("Lost: 1,234 (cpu.ring_full). samples did not fit: record fewer sources.");
    expect(lossy).not.toContain("perf.lost");
  });

  it("tells a shortfall of samples", () => {
    const samplesPerCpu = [{ cpu: 0, expected: 990, received: 495, idle: 0 }];
    expect(text(profile({ final: { samplesPerCpu } }), [], context)).toContain(
      "495 of 990 expected arrived (50.0 % short)",
    );
  });

  it("tells as many user stacks cut short as the figures beside it and the tree, by tables or not", () => {
    const walked = {
      ...{ processes: 1, tables: 1, tableBytes: bytes(0), buildNs: ns(0), rereads: 0 },
      ...{ filesWithout: 0, filesUnreadable: 0, rowsLeftOut: 0 },
    };
    const capture = new FakeCapture();
    const { thread } = capture.process(4711, "nginx");
    // an entry by its name, whatever ended the walk; a first frame without one; and one that is neither
    capture.cpu(thread, [u("_start"), u("f")], { times: 60, flags: userEndFlags(4) });
    capture.cpu(thread, [u("fiber"), u("f")], { times: 20, flags: SampleFlag.userWhole | userEndFlags(0) });
    capture.cpu(thread, [u("lost"), u("f")], { times: 15, flags: userEndFlags(4) });
    capture.cpu(thread, [u("lost"), u("f")], { times: 5, flags: userEndFlags(10) });
    const whole = buildProfile(capture.events({ final: { userStacks: walked } }));
    const said = text(whole, [], context);
    expect(said).toContain("User stacks: 80.0 % of 100 are whole; cut short: no rule 15.0 %, guessed 5.0 %.");
    expect(said).toContain("Most of those cut short are of nginx[4711] (no rule 15, guessed 5).");
    expect(said).not.toContain("end early");
    const [finding] = truncatedStacks(whole);
    expect(finding).toMatchObject({ title: "20.0 % of the user stacks end early, most of them of nginx" });
    expect(finding!.contributors).toEqual([{ name: "nginx", share: 0.2 }]);
    expect(finding!.detail).toContain("20 of 100 user stacks");
    expect(finding!.detail).toContain("nginx: no rule (15), nginx: guessed (5)");
    expect(text(buildProfile(capture.events()), [], context)).toContain(
      "User stacks that end early: 20 of 100 (20.0 %).",
    );
  });

  it("does not say again what a finding said", () => {
    const samplesPerCpu = [{ cpu: 0, expected: 990, received: 495, idle: 0 }];
    const told = { ...finding, rule: "sample-shortfall", title: "half of the samples did not come" };
    expect(text(profile({ final: { samplesPerCpu } }), [told], context)).not.toContain("Samples missing");
  });

  it("lists the worst five kernel locks with who wants and who holds them", () => {
    const lines = summaryLines(lockProfile(), [], context);
    const start = lines.indexOf("Kernel locks: the worst five of 1,400 waits for 7 locks, 2.80 s");
    expect(lines.slice(start + 1, start + 4)).toEqual([
      "    total       p99   longest  lock, kind, waits",
      "   700 ms   1.40 ms   1.40 ms  mmap_lock of app (pid 80), rwsem, write, 200 waits",
      "                               wanted in ksys_mmap_pgoff (100.0 %), held by app (pid 80) (50.0 %)",
    ]);
    expect(lines.filter((line) => line.includes("rwsem, write"))).toHaveLength(5);
    for (const line of lines.slice(start, start + 12)) expect(line.length).toBeLessThanOrEqual(100);
  });

  it("tells who wants and who holds a lock in two lines where one is too short, and cuts neither", () => {
    const lines = summaryLines(lockProfile(), [], { ...context, width: 70 });
    const at = lines.findIndex((line) => line.endsWith("lock, kind, waits")) + 1;
    expect(lines.slice(at + 1, at + 3).map((line) => line.trim())).toEqual([
      "wanted in ksys_mmap_pgoff (100.0 %)",
      "held by app (pid 80) (50.0 %)",
    ]);
  });

  it("says when nobody waited for a kernel lock, and when the figures are estimates", () => {
    const nobody = buildProfile(new FakeCapture().events({ facts: { sources: ["locks"] } }));
    expect(text(nobody, [], context)).toContain("Kernel locks: nobody waited for one.");
    expect(text(lockProfile(true), [], context)).toContain("estimated from samples");
    expect(text(profile(), [], context)).not.toContain("Kernel locks");
  });

  it("does not claim that nothing was lost when the capture was cut", () => {
    const events = new FakeCapture().events();
    expect(text(buildProfile(events.slice(0, -1)), [], context)).toContain("Lost: not known");
  });

  it("tells its own cost as a share of the machine", () => {
    // 30 ms of agent time in 10 s of 4 CPUs.
    expect(text(profile(), [], context)).toContain("Cost of lowflame: 0.075 % of the machine");
  });

  it("has no escape sequence from a hostile name", () => {
    const capture = new FakeCapture();
    const { thread } = capture.process(1, "\u001b[31mevil\u202e");
    capture.cpu(thread, [u("a\u001b]0;owned\u0007b"), u("<script>")]);
    capture.offcpu(thread, [u("\r\nLost: nothing.")]);
    for (const line of summaryLines(buildProfile(capture.events()), [], context)) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that they are absent is the point
      expect(line).not.toMatch(/[\u0000-\u001f\u202e]/);
    }
  });

  it("leaves template arguments and parameters out where the whole name does not fit", () => {
    const name = `std::map<${"std::string, ".repeat(9)}int>::find(std::string const&)`;
    const capture = new FakeCapture();
    const { thread } = capture.process(1, "cxx");
    capture.cpu(thread, [u(name)]);
    const profile = buildProfile(capture.events());
    expect(text(profile, [], { ...context, width: 80 })).toContain(" std::map<…>::find(…) (");
    expect(text(profile, [], { ...context, width: 200 })).toContain(` ${name} (`);
  });

  it("keeps lines short however long a name is", () => {
    const capture = new FakeCapture();
    const { thread } = capture.process(1, "cxx");
    capture.cpu(thread, [u(`std::map<${"std::string, ".repeat(300)}int>`)]);
    for (const line of summaryLines(buildProfile(capture.events()), [], { ...context, width: 80 })) {
      if (line.includes("std::")) expect(line.length).toBeLessThanOrEqual(80);
    }
  });
});

describe("colour", () => {
  const stream = (isTTY: boolean) => Object.assign(new MemoryStream(), { isTTY });
  const coloured = (isTTY: boolean, env: Record<string, string>) =>
    paletteFor(stream(isTTY), env).red("x") !== "x";
  it("is for terminals only, unless NO_COLOR or FORCE_COLOR say otherwise", () => {
    expect(coloured(true, {})).toBe(true);
    expect(coloured(false, {})).toBe(false);
    expect(coloured(true, { NO_COLOR: "1" })).toBe(false);
    expect(coloured(false, { FORCE_COLOR: "1" })).toBe(true);
    expect(coloured(true, { FORCE_COLOR: "0" })).toBe(false);
    expect(coloured(true, { NO_COLOR: "1", FORCE_COLOR: "1" })).toBe(false);
    expect(coloured(true, { TERM: "dumb" })).toBe(false);
  });
});

describe("printable", () => {
  it("shows control characters and cuts in the middle", () => {
    expect(printable("a\u001bb\n")).toBe("a\\x1bb\\x0a");
    expect(printable("x".repeat(50), 11)).toBe("xxxxx…xxxxx");
  });
});
