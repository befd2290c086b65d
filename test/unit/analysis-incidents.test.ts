// Incidents other than locks and probes: each on top of a healthy proxy, each with its culprit by name.
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { Finding } from "../../src/analysis/finding.js";
import { type FinalFacts, OFFCPU_STATES, RUNQUEUE_BUCKETS } from "../../src/capture/binding.js";
import { ns } from "../../src/model/units.js";
import { buildProfile } from "./helpers/build-profile.js";
import { FakeCapture, k, u } from "./helpers/fake-capture.js";
import { healthyNginx, OPEN, SYSCALL } from "./helpers/proxy-load.js";

function findings(add: (capture: FakeCapture) => Partial<FinalFacts> | undefined): Finding[] {
  const capture = new FakeCapture();
  healthyNginx(capture); // 1,000 CPU samples, 100 waits
  const final = add(capture) ?? {};
  return analyze(buildProfile(capture.events({ final })));
}

test("page faults: the process and the function that touches the memory", () => {
  const [finding, ...rest] = findings((capture) => {
    const { thread } = capture.process(900, "node");
    const fault = [
      k("asm_exc_page_fault"),
      k("exc_page_fault"),
      k("do_user_addr_fault"),
      k("handle_mm_fault"),
    ];
    capture.cpu(thread, [u("_start"), u("memset", "/usr/bin/node"), ...fault, k("clear_huge_page")], {
      times: 600,
    });
    return undefined;
  });
  expect(rest).toEqual([]);
  expect(finding).toMatchObject({ rule: "page-faults", severity: "critical", culprit: "node" });
  expect(finding!.share).toBeCloseTo(624 / 1600, 6);
  expect(finding!.contributors.map((c) => c.name)).toEqual(["node: memset", "nginx: ngx_palloc"]);
  expect(finding!.next[0]).toBe("perf stat -e minor-faults,major-faults -p 900 -- sleep 5");
});

test("memory reclaim and a flood of directory entries", () => {
  const found = findings((capture) => {
    const { thread } = capture.process(33, "kswapd0", { kernelThread: true });
    const reclaim = [k("ret_from_fork_asm"), k("kthread"), k("kswapd"), k("balance_pgdat"), k("shrink_node")];
    capture.cpu(thread, [...reclaim, k("isolate_lru_folios")], { times: 500 });
    const scanner = capture.process(5150, "scanner");
    capture.cpu(scanner.thread, [...OPEN, k("lookup_slow"), k("d_alloc_parallel"), k("__d_alloc")], {
      times: 300,
    });
    return undefined;
  });
  expect(found.map((f) => [f.rule, f.severity, f.culprit])).toEqual([
    ["memory-reclaim", "critical", "kswapd0"],
    ["dentry-flood", "warning", "scanner"],
  ]);
});

test("a chain of packet filter rules that every packet walks, in calls and in interrupts", () => {
  const found = (filtered: number) =>
    findings((capture) => {
      const wrk = capture.process(80, "wrk");
      const send = [u("_start"), u("send"), k("do_syscall_64"), k("tcp_sendmsg"), k("ip_output")];
      capture.cpu(wrk.thread, [...send, k("nf_hook_slow"), k("nft_do_chain")], { times: filtered });
      capture.cpu(wrk.thread, [u("_start"), u("parse")], { times: 1000 - filtered });
      return undefined;
    }).map((f) => [f.rule, f.severity, f.culprit]);
  expect(found(870)).toEqual([["packet-filter", "critical", "wrk"]]);
  expect(found(400)).toEqual([["packet-filter", "warning", "wrk"]]);
  // what a firewall of some tens of rules takes
  expect(found(150)).toEqual([]);
});

test("waiting for a CPU: who waits, and who has the CPUs", () => {
  const buckets = new Array<number>(RUNQUEUE_BUCKETS).fill(0);
  buckets[12] = 900; // about 50 us
  buckets[31] = 100; // [33.6 ms, 50 ms)
  const [finding] = findings((capture) => {
    const victim = capture.process(80, "haproxy", { cgroup: "/system.slice/it's here.service" });
    const hog = capture.process(666, "backup");
    capture.cpu(hog.thread, [u("_start"), u("compress")], { times: 3000 });
    return {
      runQueue: [{ process: victim.process, count: 1000, sumNs: ns(4.2e9), maxNs: ns(48e6), buckets }],
      samplesPerCpu: [{ cpu: 0, expected: 4000, received: 4000, idle: 0 }],
    };
  });
  expect(finding).toMatchObject({ rule: "run-queue-wait", severity: "warning", culprit: "backup" });
  expect(finding!.title).toMatch(
    /^haproxy \(pid 80\) waits for a CPU: 1 wait in 100 takes 4\d\.\d ms or more, while backup has 75\.0 %/,
  );
  expect(finding!.next[0]).toContain("cat '/sys/fs/cgroup/system.slice/it'\\''s here.service/cpu.stat'");
});

test("many short waits for a CPU: none is long, and together they take more than the process gets", () => {
  const buckets = new Array<number>(RUNQUEUE_BUCKETS).fill(0);
  buckets[25] = 707; // about 4.6 ms
  const found = (sumNs: number, times: number, count = 707) =>
    findings((capture) => {
      const victim = capture.process(80, "haproxy");
      capture.cpu(victim.thread, [u("_start"), u("main")], { times });
      capture.cpu(capture.process(666, "backup").thread, [u("_start"), u("compress")], { times: 4000 });
      const row = { process: victim.process, count, sumNs: ns(sumNs), maxNs: ns(12e6), buckets };
      return { runQueue: [row], samplesPerCpu: [{ cpu: 0, expected: 4000, received: 4000, idle: 0 }] };
    }).filter((finding) => finding.rule === "run-queue-wait");
  const [finding] = found(6.7e9, 130);
  expect(finding).toMatchObject({ severity: "warning", culprit: "backup" });
  expect(finding!.title).toMatch(/^haproxy \(pid 80\) waits for a CPU: it spends 8\d\.\d % of the time/);
  expect(finding!.detail).toContain("9.5 ms on average");
  // running longer than waiting, and the tens of microseconds of any queue of runnable threads, are no news
  expect(found(6.7e9, 900)).toEqual([]);
  expect(found(6.7e9, 130, 400_000)).toEqual([]);
});

test("waiting for a CPU on an idle machine is a quota", () => {
  const buckets = new Array<number>(RUNQUEUE_BUCKETS).fill(0);
  buckets[35] = 1000;
  const [finding] = findings((capture) => ({
    runQueue: [
      {
        process: capture.process(80, "haproxy").process,
        count: 1000,
        sumNs: ns(140e9),
        maxNs: ns(190e6),
        buckets,
      },
    ],
    samplesPerCpu: [{ cpu: 0, expected: 4000, received: 4000, idle: 3000 }],
  }));
  expect(finding).toMatchObject({
    rule: "run-queue-wait",
    severity: "critical",
    culprit: "haproxy (pid 80)",
  });
  expect(finding!.detail).toContain("quota");
});

test("uninterruptible sleepers: whose, how many, and in what", () => {
  const state = OFFCPU_STATES.indexOf("uninterruptible");
  const [finding, ...rest] = findings((capture) => {
    const db = capture.process(300, "postgres");
    const stack = [
      u("_start"),
      u("mdread"),
      ...SYSCALL,
      k("ext4_file_read_iter"),
      k("folio_wait_bit_common"),
      k("io_schedule"),
      k("schedule"),
      k("__schedule"),
    ];
    capture.offcpu(db.thread, stack, { durationNs: 1e9, times: 30, state: "uninterruptible" });
    return {
      offcpuTotals: [
        { process: db.process, state, count: 900, sumNs: ns(30e9), maxNs: ns(1e9) },
        { process: -1, state, count: 9, sumNs: ns(1e9), maxNs: ns(1e8) },
      ],
    };
  });
  expect(rest).toEqual([]);
  expect(finding).toMatchObject({ rule: "uninterruptible-sleep", severity: "warning", culprit: "postgres" });
  expect(finding!.title).toMatch(/^3\.1 threads on average/);
  expect(finding!.search).toBe("=ext4_file_read_iter");
});

test("a process that was stopped: how much of its time, and for how long; a job put aside is worth knowing only", () => {
  const state = OFFCPU_STATES.indexOf("stopped");
  const stopped = (count: number, sumNs: number, maxNs: number, queued = 0) =>
    findings((capture) => {
      const { process } = capture.process(700, "gateway");
      const endpoint = capture.endpoint({ role: "listening", address: "0.0.0.0", port: 80 });
      return {
        offcpuTotals: [{ process, state, count, sumNs: ns(sumNs), maxNs: ns(maxNs) }],
        listenQueues: queued > 0 ? [{ process, endpoint, length: queued, capacity: 0 }] : [],
      };
    });
  const [finding, ...rest] = stopped(5, 2.5e9, 600e6);
  expect(rest).toEqual([]);
  expect(finding).toMatchObject({
    rule: "stopped-process",
    severity: "warning",
    culprit: "gateway (pid 700)",
  });
  expect(finding!.title).toContain("for 25.0 % of its time: 5 times, 600.0 ms at most");
  expect(finding!.next[0]).toContain("/proc/700/status");
  expect(stopped(1, 10e9, 10e9)[0]).toMatchObject({ severity: "info" });
  expect(stopped(1, 10e9, 10e9, 17)[0]).toMatchObject({ severity: "warning" });
  expect(stopped(1, 10e9, 10e9, 17)[0]!.detail).toContain("17 connections wait");
  expect(stopped(3, 90e6, 40e6)).toEqual([]);
});

test("samples that did not come: steal is named where it explains them", () => {
  const zero = { cpu: 1, user: 0, nice: 0, system: 0, idle: 0, iowait: 0, irq: 0, softirq: 0, steal: 0 };
  const shortfall = (steal: number) =>
    findings(() => ({
      samplesPerCpu: [
        { cpu: 0, expected: 990, received: 988, idle: 0 },
        { cpu: 1, expected: 990, received: 600, idle: 0 },
      ],
      cpuTimesStart: [{ ...zero, cpu: 0 }, zero],
      cpuTimesEnd: [
        { ...zero, cpu: 0, user: 10e9 },
        { ...zero, user: 10e9 - steal, steal },
      ],
    }));
  const [stolen] = shortfall(4e9);
  expect(stolen).toMatchObject({
    rule: "sample-shortfall",
    severity: "warning",
    culprit: "hypervisor (steal)",
  });
  expect(stolen!.share).toBeCloseTo(392 / 1980, 6);
  expect(stolen!.contributors[0]!.name).toBe("CPU 1: 600 of 990 came, steal 40.0 %");
  const [throttled] = shortfall(0);
  expect(throttled).toMatchObject({ culprit: "CPU 1" });
  expect(throttled!.detail).toContain("throttled");
});

test("a CPU that sleeps and takes no timer interrupt is not short of samples", () => {
  const zero = { cpu: 0, user: 0, nice: 0, system: 0, idle: 0, iowait: 0, irq: 0, softirq: 0, steal: 0 };
  const found = findings(() => ({
    samplesPerCpu: [{ cpu: 0, expected: 990, received: 99, idle: 3 }],
    cpuTimesStart: [zero],
    cpuTimesEnd: [{ ...zero, user: 1e9, idle: 9e9 }],
  }));
  expect(found.filter((f) => f.rule === "sample-shortfall")).toEqual([]);
});

test("one blind CPU of many is told although the machine as a whole is seen", () => {
  const [finding] = findings(() => ({
    samplesPerCpu: Array.from({ length: 64 }, (_, cpu) => ({
      cpu,
      expected: 990,
      received: cpu === 9 ? 0 : 990,
      idle: 0,
    })),
  }));
  expect(finding).toMatchObject({ rule: "sample-shortfall", severity: "warning", culprit: "CPU 9" });
});

test("losses that matter, with the sentence that says what to do", () => {
  const [finding, ...rest] = findings(() => ({
    losses: [
      { id: "cpu.ring_full", count: 200, meaning: "Samples found no room: use a larger ring." },
      { id: "offcpu.slot_collision", count: 0, meaning: "" },
    ],
  }));
  expect(rest).toEqual([]);
  expect(finding).toMatchObject({ rule: "losses", severity: "warning", culprit: "cpu.ring_full" });
  expect(finding!.detail).toContain("Samples found no room: use a larger ring.");
});

test("user stacks that end early: a remark, never a warning, with the process", () => {
  const [finding, ...rest] = findings((capture) => {
    capture.cpu(capture.process(80, "haproxy").thread, [u("process_stream", "/usr/sbin/haproxy")], {
      times: 500,
    });
    return undefined;
  });
  expect(rest).toEqual([]);
  expect(finding).toMatchObject({ rule: "user-stacks-truncated", severity: "info", culprit: "haproxy" });
});

test("worst first: by severity, then by share", () => {
  const found = findings((capture) => {
    capture.cpu(capture.process(80, "haproxy").thread, [u("process_stream")], { times: 2000 });
    const { thread } = capture.process(900, "node");
    capture.cpu(thread, [u("_start"), k("asm_exc_page_fault")], { times: 800 });
    capture.cpu(thread, [u("_start"), k("_raw_spin_lock"), k("native_queued_spin_lock_slowpath")], {
      times: 1200,
    });
    return undefined;
  });
  expect(found.map((f) => f.rule)).toEqual(["spinlock-share", "page-faults", "user-stacks-truncated"]);
});
