// Each counter of lost events: what is counted is what was forced. Most are forced here, by small rings and tables, by
// stopping this very process while the kernel goes on, and by programs whose stacks cannot be told (lost-stacks); those of
// other files and those that no test can force are listed with their reason, and a counter in no list fails the last test.
import { readdirSync, readlinkSync } from "node:fs";
import { beforeAll, expect, test } from "vitest";
import { type FinalFacts, SampleFlag, SOURCES, type SourceName } from "../../src/capture/binding.js";
import type { CaptureEvent } from "../../src/capture/events.js";
import { bytes, hertz, ns } from "../../src/model/units.js";
import { buildPrograms } from "../support/children.js";
import { runProgram, startProgram } from "../support/programs.js";
import { loss, recordEvents, recordWhile, rowsOf, sleep, sum, whileStopped } from "../support/record.js";

const FORCED_ELSEWHERE: Record<string, string> = {
  "locks.slot_collision": "locks.test.ts",
  "futex.table_full": "futex.test.ts",
  "offcpu.gone_on": "futex.test.ts",
  "unwind.tables_left_out": "unwind.test.ts",
  "unwind.tables_evicted": "unwind-loader.test.ts",
  "unwind.copies_dropped": "unwind-brief.test.ts",
  "symbols.tables_refused": "stripped-names.test.ts",
  "symbols.files_changed": "lines.test.ts",
  "cpu.user_half_by_chain": "cpu.test.ts",
};
/** Counters that are only shown: what it would take. */
const NOT_FORCED: Record<string, string> = {
  "perf.throttled": "sysctl perf_event_max_sample_rate, the whole machine's; throttled, Linux 6.17 hangs",
  "cpu.hotplug":
    "takes a CPU away from the machine: scripts/in-kernel-check.mjs does, in a machine of its own",
  "offcpu.kernel_truncated":
    "a sleep under 127 kernel functions: they do not fit into 16 KiB of kernel stack",
  "locks.kernel_truncated": "likewise",
  "offcpu.orphan_end": "a switch out whose program did not run: it happens, but not at will",
  "offcpu.tasks_cut": "200,000 sleeping threads",
  "locks.nested": "nine spin locks waited for at once by nested interrupts of one CPU",
  "locks.orphan_end": "a beginning that a program missed",
  "locks.user_truncated": "counted by the same code as offcpu.user_truncated",
  "locks.user_unreadable": "counted by the same code as offcpu.user_unreadable",
  "locks.too_many": "65,536 locks with a sampled wait each, at a budget of 50 stacks in 0.1 s",
  "bpf.recursion_missed": "an interrupt that runs a program on top of itself",
  "unwind.tables_refused": "a kernel without memory for a table",
  "unwind.files_too_many": "4,095 mapped files with tables",
  "unwind.processes_left_out": "16,384 parts of processes",
  "unwind.mappings_left_out": "513 executable mappings of a process, no two of which can be joined",
  "unwind.records_lost": "records of a CPU that the loader does not get to read in time: the whole machine's",
  "unwind.cpus_unseen": "a CPU that comes and goes at once",
  "unwind.requests_dropped": "4,096 processes with cut stacks between two looks of the loader",
  "symbols.unnamed_at_end": "20 s of naming still to do at the end",
  "symbols.lines_left": "15 s of reading debug information",
  "symbols.debug_info_too_large": "128 MiB of debug information: test/unit/symbols/symbols-lines.test.ts",
};

const forcedHere = new Set<string>();
/** Asserts that at least so many events of a kind were lost, and notes that this counter can count. */
function expectLost(final: FinalFacts, id: string, atLeast = 1): void {
  forcedHere.add(id);
  expect(loss(final, id), id).toBeGreaterThanOrEqual(atLeast);
}
/** Number of samples as they came; with `flag` of those that have it (rows of the model put samples together). */
function samplesIn(events: readonly CaptureEvent[], source?: SourceName, flag?: number): number {
  const batches = events.flatMap((e) => (e.type === "batch" ? e.batch.samples : []));
  return sum(
    batches.filter((s) => source === undefined || s.source === source),
    (s) => (flag === undefined ? s.count : s.flags.filter((f) => f & flag).length),
  );
}

beforeAll(buildPrograms);

test("threads that find no slot are counted, and those that have one are right", async () => {
  const program = await startProgram("many-threads", { args: ["--threads", "400"], hold: true });
  const { final } = await recordWhile({ sources: ["offcpu"], threadSlots: 64 }, async () => {
    program.go();
    await program.result(60_000);
  });
  expectLost(final, "offcpu.slot_collision", 100);
});

test("with slots sized from the live threads there is no collision among 2,000 threads", async () => {
  const program = await startProgram("many-threads", { args: ["--threads", "2000"], hold: true });
  await sleep(200);
  const { final } = await recordWhile({ sources: ["offcpu"] }, async () => {
    program.go();
    await program.result(60_000);
  });
  expect(loss(final, "offcpu.slot_collision")).toBe(0);
});

test("a ring that is full is counted, with the waiting time that its stacks stood for", async () => {
  const program = await startProgram("many-sleeps", { args: ["--ms", "500"], hold: true });
  const { final, profile } = await recordWhile(
    {
      sources: ["offcpu"],
      ringBytes: bytes(4096),
      offcpuThresholdNs: ns(1),
      filters: { pids: [program.pid] },
    },
    async () => {
      program.go();
      await program.result(30_000);
    },
  );
  expectLost(final, "offcpu.ring_full", 1000);
  // at this threshold every wait was to be sent and weighs its length: what did not come was lost, to the nanosecond
  expectLost(final, "offcpu.ring_full_ns");
  const come = sum(rowsOf(profile, "offcpu"), (r) => r.weightNs);
  expect(come + loss(final, "offcpu.ring_full_ns")).toBeCloseTo(
    sum(final.offcpuTotals, (t) => t.sumNs),
    -3,
  );
});

test("without sched_exit_tp: stacks and ends that lost each other in a full ring are counted", async () => {
  const program = await startProgram("many-sleeps", { args: ["--ms", "500"], hold: true });
  const { final } = await recordWhile(
    { sources: ["offcpu"], without: ["sched_exit_tp"], ringBytes: bytes(4096), offcpuThresholdNs: ns(1000) },
    async () => {
      program.go();
      await program.result(30_000);
    },
  );
  expectLost(final, "offcpu.stack_ahead_orphaned");
});

test("processes that find no row in a full table are in the row other, with their whole time", async () => {
  const program = await startProgram("known-sleep", { hold: true });
  const { final } = await recordWhile({ sources: ["offcpu"], tableRows: 2 }, async () => {
    program.go();
    await program.result(30_000);
  });
  expectLost(final, "offcpu.totals_full");
  expectLost(final, "offcpu.runqueue_full");
  const rest = final.offcpuTotals.find((t) => t.process === -1)!;
  expect(rest.count).toBe(loss(final, "offcpu.totals_full"));
  expect(rest.sumNs).toBeGreaterThan(rest.maxNs);
  expect(final.runQueue.find((q) => q.process === -1)!.count).toBe(loss(final, "offcpu.runqueue_full"));
});

test("while nobody drains, CPU samples, user halves, waits and execs that do not fit are counted", async () => {
  const execs = 900;
  // no CPU is idle: virtual machines fire the timers of idle ones late, and what was to come cannot be told
  const busy = await startProgram("known-cpu", { args: ["--ms", "20000", "--threads", "2"] });
  const { final, events } = await recordEvents(
    { frequencyHz: hertz(9_999), ringBytes: bytes(4096), offcpuThresholdNs: ns(1000) },
    async () => {
      await whileStopped(`taskset -c 0 exits-fast --repeat ${execs} --life-ms 0`);
      await sleep(200); // the perf ring tells of its losses with the next sample
    },
  );
  await busy.stop();
  // each sample that the timers took has come or is counted as lost
  const expected = sum(final.samplesPerCpu, (c) => c.expected);
  const received = sum(final.samplesPerCpu, (c) => c.received);
  expectLost(final, "perf.lost", 0.5 * expected);
  expect((received + loss(final, "perf.lost")) / expected).toBeGreaterThan(0.9);
  expect((received + loss(final, "perf.lost")) / expected).toBeLessThan(1.02);
  expectLost(final, "cpu.ring_full", 1000);
  expectLost(final, "offcpu.ring_full");
  // this ring holds 64 KiB whatever is asked for: 512 execs, and these are all on one CPU
  expectLost(final, "proc.ring_full", execs - 600);
  expect(loss(final, "proc.ring_full")).toBeLessThan(execs + 200);
  // a sample whose user half was lost is still a sample, and says so
  expectLost(final, "cpu.user_half_missing");
  expect(samplesIn(events, "cpu", SampleFlag.userMissing)).toBe(loss(final, "cpu.user_half_missing"));
});

test("user halves whose sample was lost are counted", async () => {
  const { final } = await recordWhile(
    {
      sources: ["cpu"],
      frequencyHz: hertz(9_999),
      ringBytes: bytes(4096),
      filters: { comms: ["getppid-loop"] },
    },
    async () => {
      // what is not wanted fills the perf rings and has no user half; then only halves find room
      await whileStopped("known-cpu --ms 100 --threads 2; getppid-loop --ms 100");
      await sleep(200);
    },
  );
  expectLost(final, "cpu.user_half_orphaned", 10);
});

test("lock waits that do not fit into their ring or table are counted", async () => {
  const until = performance.now() + 60_000;
  let final: FinalFacts;
  do {
    ({ final } = await recordWhile({ sources: ["locks"], ringBytes: bytes(4096), tableRows: 1 }, async () => {
      // two locks and more for one row; the ring is full soon after each drain, now before a stack, now before its end
      await Promise.all([
        runProgram("lock-contention", "--ms", "1500"),
        runProgram("lock-contention", "--mode", "1", "--ms", "1500"),
      ]);
      await sleep(200);
    }));
    // their process is lost, their lock only where its address is a process's own
    expect(sum(final.lockTotals, (t) => (t.process === -1 ? t.count : 0))).toBe(
      loss(final, "locks.table_full"),
    );
    expect(final.lockTotals.some((t) => t.process === -1 && t.lock >= 0)).toBe(true);
    // which of the two finds the ring full is chance, and more so where the host gives little time
  } while (loss(final, "locks.stack_ahead_orphaned") === 0 && performance.now() < until);
  expectLost(final, "locks.ring_full");
  expectLost(final, "locks.stack_ahead_orphaned");
  expectLost(final, "locks.table_full");
});

test("processes that are gone before anybody looks are counted, and each only once", async () => {
  const gone = async (unwind: boolean) => {
    const config = { sources: ["cpu"], frequencyHz: hertz(999), unwind } as const;
    const { final } = await recordWhile(config, () => whileStopped("exits-fast --repeat 20 --life-ms 20"));
    return final;
  };
  const final = await gone(false);
  expectLost(final, "symbols.process_gone", 18); // at 20 ms one may go without a sample
  // each has about 20 samples; other tests beside this one have brief processes, too
  expect(loss(final, "symbols.process_gone")).toBeLessThan(200);
  // where the kernel's records are read, they tell who had what mapped
  expect(loss(await gone(true), "symbols.process_gone")).toBeLessThan(10);
});

test("stacks deeper than 127 frames are counted and marked", async () => {
  const program = await startProgram("lost-stacks", { args: ["--mode", "0", "--ms", "300"], hold: true });
  const { final, profile, events } = await recordWhile(
    { frequencyHz: hertz(999), offcpuThresholdNs: ns(1000), filters: { pids: [program.pid] } },
    async () => {
      program.go();
      await program.result();
    },
  );
  for (const source of ["cpu", "offcpu"] as const) {
    expectLost(final, `${source}.user_truncated`, 50);
    const cut = rowsOf(profile, source).filter((r) => r.flags & SampleFlag.userTruncated);
    expect(samplesIn(events, source, SampleFlag.userTruncated)).toBe(loss(final, `${source}.user_truncated`));
    expect(cut.every((r) => r.stack.filter((f) => f === "go_deep").length > 100)).toBe(true);
  }
});

test("threads past the end of their memory have no user stack: counted and marked", async () => {
  const wrap = ["taskset", "-c", "0"]; // beside the spinners they have to wait for that CPU
  const spinners = await startProgram("known-runq", { args: ["--ms", "2500", "--threads", "2"], hold: true });
  const program = await startProgram("lost-stacks", { args: ["--mode", "1"], wrap, hold: true });
  const { final, profile, events } = await recordWhile(
    { frequencyHz: hertz(999), offcpuThresholdNs: ns(1000), filters: { comms: ["lost-stacks"] } },
    async () => {
      spinners.go();
      program.go();
      await program.result();
    },
  );
  await spinners.stop();
  for (const source of ["cpu", "offcpu"] as const) {
    expectLost(final, `${source}.user_unreadable`, source === "cpu" ? 10 : 1);
    const without = rowsOf(profile, source).filter((r) => r.flags & SampleFlag.userUnreadable);
    expect(samplesIn(events, source, SampleFlag.userUnreadable)).toBe(
      loss(final, `${source}.user_unreadable`),
    );
    expect(without.every((r) => r.kinds.every((kind) => kind !== "user"))).toBe(true);
  }
});

test("code in a file that is no program is counted as a file that failed", async () => {
  const program = await startProgram("lost-stacks", { args: ["--mode", "2", "--ms", "200"], hold: true });
  const { final } = await recordWhile({ sources: ["cpu"], frequencyHz: hertz(999) }, async () => {
    program.go();
    await program.result();
  });
  expectLost(final, "symbols.files_failed");
});

test("stacks that the full table of eight million nodes cuts are counted, and their time stays", async () => {
  const program = await startProgram("lost-stacks", {
    args: ["--mode", "3", "--count", "125000"],
    hold: true,
  });
  const { final, events } = await recordEvents(
    {
      sources: ["offcpu"],
      offcpuThresholdNs: ns(1), // every wait
      ringBytes: bytes(128 << 20),
      filters: { pids: [program.pid] },
    },
    async () => {
      program.go();
      await program.result();
    },
  );
  expectLost(final, "intern.stacks_cut", 1000);
  let nodes = 0;
  let weight = loss(final, "offcpu.ring_full_ns");
  for (const e of events) {
    if (e.type !== "batch") continue;
    const { firstId, count } = e.batch.tables.stacks;
    if (count) nodes = firstId + count;
    for (const s of e.batch.samples) {
      weight += sum([...s.weightNs], (w) => w);
      expect(s.stack.every((stack) => stack < nodes)).toBe(true);
    }
  }
  expect(nodes).toBe(8 << 20);
  expect(weight).toBeCloseTo(
    sum(final.offcpuTotals, (t) => t.sumNs),
    -3,
  );
});

const QUEUE = 1 << 18;
test("samples that JavaScript does not take in time are counted: taken and lost are all there were", async () => {
  const program = await startProgram("ping-pong", { args: ["--ms", "60000"] });
  const { final, events } = await recordEvents(
    { sources: ["offcpu"], offcpuThresholdNs: ns(1), ringBytes: bytes(32 << 20), queueSamples: QUEUE },
    async (_, session) => {
      const cell = new Int32Array(new SharedArrayBuffer(4));
      const until = performance.now() + 50_000;
      // the event loop does not turn
      while (session.liveCounts().samples < 1.5 * QUEUE && performance.now() < until)
        Atomics.wait(cell, 0, 0, 100);
      await program.stop();
    },
  );
  expectLost(final, "queue.full", 10_000);
  // what came before, and after the program's end, was taken
  expect(samplesIn(events)).toBeLessThanOrEqual(QUEUE + 100_000);
  expect(samplesIn(events) + loss(final, "queue.full")).toBeGreaterThan(1.5 * QUEUE);
});

test("9,999 Hz with the default rings loses nothing", async () => {
  const program = await startProgram("known-cpu", { args: ["--ms", "1000"], hold: true });
  const { final } = await recordWhile({ sources: ["cpu"], frequencyHz: hertz(9_999) }, async () => {
    program.go();
    await program.result();
  });
  expect(loss(final, "perf.lost")).toBe(0);
  expect(loss(final, "cpu.ring_full")).toBe(0);
});

test("the cost of the recording is told, from the kernel's statistics and the process's own account", async () => {
  const { final } = await recordWhile({}, () => sleep(500));
  const runs = new Map(final.cost.programs.map((p) => [p.name, p]));
  expect(runs.get("lf_switch_out")!.runs).toBeGreaterThan(0);
  expect(runs.get("lf_switch_out")!.ns).toBeGreaterThan(0);
  expect(final.cost.agentUserNs + final.cost.agentSystemNs).toBeGreaterThan(0);
  expect(final.cost.kernelMemoryBytes).toBeGreaterThan(100_000);
});

test("the kernel's BPF statistics, which cost every program of the machine, are on in the first five seconds and seldom after", async () => {
  const on = () =>
    readdirSync("/proc/self/fd").some((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`) === "anon_inode:bpf-stats";
      } catch {
        return false; // closed meanwhile
      }
    });
  const shareOn = async (ms: number) => {
    const looks: boolean[] = [];
    for (const until = performance.now() + ms; performance.now() < until; await sleep(5)) looks.push(on());
    return looks.filter(Boolean).length / looks.length;
  };
  await recordWhile({ sources: ["locks"] }, async () => {
    expect(await shareOn(1000)).toBe(1);
    await sleep(4500);
    const later = await shareOn(4500);
    expect(later).toBeGreaterThan(0);
    expect(later).toBeLessThan(0.2);
  });
  expect(on()).toBe(false);
});

test("runs of a BPF program that begin after the first window of statistics are told, scaled to all the time", async () => {
  const program = await startProgram("getppid-loop", { args: ["--ms", "6000"], hold: true });
  const { final } = await recordWhile({ sources: ["sockets"] }, async () => {
    await sleep(5500);
    program.go();
    await program.result(30_000);
  });
  const { calls } = await program.result();
  const told = final.cost.programs.find((p) => p.name === "lf_call_enter")!.runs;
  // six windows of a tenth of a second, in which the loop is slower, since the statistics cost as much as the calls
  expect(told / calls, `${told} told of ${calls}`).toBeGreaterThan(0.35);
  expect(told / calls, `${told} told of ${calls}`).toBeLessThan(1.5);
});

test("every counter is forced in this file or another, or it is told here why not", async () => {
  const { final } = await recordWhile({ sources: [...SOURCES] }, () => sleep(100));
  // those of sockets have a file of their own
  const ids = final.losses
    .map((l) => l.id)
    .filter((id) => !id.startsWith("sockets."))
    .sort();
  expect([...forcedHere, ...Object.keys({ ...FORCED_ELSEWHERE, ...NOT_FORCED })].sort()).toEqual(ids);
});
