// Off-CPU time and run-queue wait against programs that counted and timed their own sleeps.
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { OFFCPU_STATES } from "../../src/capture/binding.js";
import { bytes, ns } from "../../src/model/units.js";
import { Child } from "../support/children.js";
import { olderToo } from "../support/older-kernels.js";
import { schedstat, stateOf } from "../support/proc.js";
import { startProgram } from "../support/programs.js";
import { loss, type Recorded, recordWhile, rowsOf, sleep, sum } from "../support/record.js";

const totalsOf = ({ final, profile }: Recorded, pid: number, state: string) =>
  final.offcpuTotals.filter(
    (t) => profile.processes[t.process]?.pid === pid && OFFCPU_STATES[t.state] === state,
  );

for (const without of [[], ["sched_exit_tp"]]) {
  const kernel = without.length ? "without sched_exit_tp" : "with sched_exit_tp";

  test(`sleeps are counted exactly and weigh what they lasted, by function and state, ${kernel}`, async () => {
    const program = await startProgram("known-sleep", { args: ["--rounds", "2"], hold: true });
    const recorded = await recordWhile({ sources: ["offcpu"], without }, async () => {
      program.go();
      await program.result(30_000);
    });
    const { sleepers } = await program.result();
    const rows = rowsOf(recorded.profile, "offcpu");
    for (const s of sleepers) {
      const mine = rows.filter(
        (r) => r.tid === s.tid && OFFCPU_STATES[r.state] === s.state && !(r.flags & 16),
      );
      const weight = sum(mine, (r) => r.weightNs);
      const samples = sum(mine, (r) => r.samples);
      // Below the threshold (raised where others on the machine wait a lot) a wait is kept with a probability: 3 standard deviations of the estimate. The truth lies
      // between what was asked for and what the program measured, which includes waiting for a CPU on a busy machine.
      const kept = Math.min(1, s.lengthNs / recorded.final.offcpuThresholdMaxNs);
      const sigma = Math.sqrt((1 - kept) / (s.count * kept));
      const room = 0.05 + 3 * sigma * (without.length ? 3 : 1);
      expect(samples, s.name).toBeGreaterThan(0);
      const told = `${s.name}: ${weight} ns seen, ${s.measuredNs} ns measured, sigma ${sigma}`;
      expect(weight, told).toBeGreaterThan(s.lengthNs * s.count * (1 - room));
      expect(weight, told).toBeLessThan(s.measuredNs * (1 + room));
    }
    // exact counts, sampled or not: at least what the program did itself (the threads that feed the pipe and continue the stopped
    // child sleep as well: 66 times here)
    const counted = sleepers.filter((s) => s.pid === program.pid && s.state === "interruptible");
    const total = sum(totalsOf(recorded, program.pid, "interruptible"), (t) => t.count);
    const own = sum(counted, (s) => s.count);
    const switches = sum(counted, (s) => s.voluntarySwitches);
    expect(total).toBeGreaterThanOrEqual(switches);
    expect(total).toBeLessThan(own + 100);
    expect(loss(recorded.final, "offcpu.slot_collision")).toBe(0);
    expect(loss(recorded.final, "offcpu.ring_full")).toBe(0);
    // stacks and waits come through the rings of different CPUs when a thread moves
    expect(loss(recorded.final, "offcpu.stack_ahead_orphaned")).toBe(0);
  });
}

test("the system call that a thread slept in is known, and the function that made it", async () => {
  const program = await startProgram("known-sleep", { hold: true });
  const recorded = await recordWhile({ sources: ["offcpu"] }, async () => {
    program.go();
    await program.result(30_000);
  });
  const { sleepers } = await program.result();
  const syscalls: Record<string, readonly number[]> = {
    sleep_in_nanosleep: [35, 230],
    sleep_in_poll: [7],
    sleep_in_futex: [202],
    sleep_in_pipe_read: [0],
    sleep_in_vfork: [58],
  };
  const rows = rowsOf(recorded.profile, "offcpu");
  let checked = 0;
  for (const s of sleepers) {
    const expected = syscalls[s.function];
    if (!expected) continue;
    const mine = rows.filter((r) => r.tid === s.tid && OFFCPU_STATES[r.state] === s.state && !(r.flags & 16));
    expect(
      mine.some((r) => expected.includes(r.syscall)),
      s.name,
    ).toBe(true);
    checked++;
  }
  expect(checked).toBeGreaterThan(3);
});

test("threads that sleep all the time are charged in full, with kernel and user stack", async () => {
  const program = await startProgram("sleeper-forever");
  await sleep(200);
  const recorded = await recordWhile({ sources: ["offcpu"] }, () => sleep(1500));
  await program.stop();
  const { sleepers } = await program.result();
  const duration = Number(recorded.final.endMonotonicNs - recorded.start.startMonotonicNs);
  const rows = rowsOf(recorded.profile, "offcpu");
  expect(sleepers.length).toBeGreaterThan(0);
  for (const s of sleepers) {
    const mine = rows.filter((r) => r.tid === s.tid);
    expect(sum(mine, (r) => r.weightNs) / duration, s.name).toBeCloseTo(1, 1);
    expect(
      mine.every((r) => r.flags & 16),
      s.name,
    ).toBe(true);
    expect(
      mine.some((r) => r.kinds.includes("kernel") && r.kinds.includes("user")),
      s.name,
    ).toBe(true);
  }
});

for (const without of olderToo(["sched_exit_tp"]))
  test(`a wait that began before the recording keeps its state${without.length ? ", without sched_exit_tp" : ""}`, async () => {
    const vfork = await startProgram("vfork-wait", { args: ["--ms", "3000"] });
    const stopped = Child.start(["sleep", "60"]);
    try {
      await stopped.until(() => stateOf(vfork.pid) === "D", 5_000, "vfork");
      process.kill(stopped.pid, "SIGSTOP");
      await stopped.until(() => stateOf(stopped.pid) === "T", 5_000, "stop");
      const recorded = await recordWhile({ sources: ["offcpu"], without }, async () => {
        await sleep(500);
        process.kill(stopped.pid, "SIGCONT");
        await vfork.result(10_000);
      });
      for (const [pid, state] of [
        [vfork.pid, "uninterruptible"],
        [stopped.pid, "stopped"],
      ] as const) {
        const [total] = totalsOf(recorded, pid, state);
        expect(total, `${pid} ${state}`).toMatchObject({ count: 1 });
        expect(total!.sumNs).toBeGreaterThan(400e6);
        expect(totalsOf(recorded, pid, "other")).toEqual([]);
      }
    } finally {
      await vfork.stop();
      await stopped.stop("SIGKILL");
    }
  });

/** How far off the truth may be, in standard deviations: 6 in 100,000 runs of a right sampler are further off. */
const SIGMAS = 4;

for (const without of olderToo(["sched_exit_tp"]))
  for (const threshold of without.length ? [20_000_000] : [100_000, 20_000_000])
    test(`weights are unbiased: tens of thousands of short sleeps add up to the exact total, threshold ${threshold} ns${without.length ? ", without sched_exit_tp" : ""}`, async () => {
      const program = await startProgram("many-sleeps", { hold: true });
      const recorded = await recordWhile(
        {
          sources: ["offcpu"],
          without,
          offcpuThresholdNs: ns(threshold),
          filters: { pids: [program.pid] },
          ringBytes: bytes(16 << 20), // the first 100 ms of the lowest threshold keep almost every wait
        },
        async () => {
          program.go();
          await program.result(30_000);
        },
      );
      const { count, sumSquares } = await program.result();
      // not sampled, and measured by the same clock as what is sampled: no error but that of sampling is between the two
      const exact = recorded.final.offcpuTotals.filter(
        (t) => recorded.profile.processes[t.process]?.pid === program.pid,
      );
      const truth = sum(exact, (t) => t.sumNs);
      const estimate = sum(
        rowsOf(recorded.profile, "offcpu").filter((r) => r.pid === program.pid),
        (r) => r.weightNs,
      );
      expect(loss(recorded.final, "offcpu.ring_full")).toBe(0);
      expect(count).toBeGreaterThan(20_000);
      expect(sum(exact, (t) => t.count)).toBeGreaterThan(20_000);
      // A wait of length d is kept with p = d/T and weighs T, so its variance is T²p(1-p) = d(T-d), nothing for d >= T. Over
      // all waits, with the highest T there was (the budget raises it): at most T times the sum of d.
      // Without sched_exit_tp it is kept with some p >= 1/32 and weighs d/p: d²(1-p)/p, at most 31 d².
      const variance = without.length ? 31 * sumSquares : truth * recorded.final.offcpuThresholdMaxNs;
      const tolerance = (SIGMAS * Math.sqrt(variance)) / truth;
      const told = `${estimate / truth} of the exact ${truth} ns, ${count} sleeps, tolerance ${tolerance}`;
      expect(tolerance, told).toBeLessThan(0.3); // weights of 7/10 lack 0.3
      expect(Math.abs(estimate / truth - 1), told).toBeLessThan(tolerance);
    });

test("a process that is stopped again and again is named, with its longest stop; one that only sleeps is not", async () => {
  const programs = [Child.start(["sleep", "60"]), Child.start(["sleep", "60"])];
  const [stopped, asleep] = programs.map(({ pid }) => pid!);
  try {
    const { profile } = await recordWhile({ sources: ["offcpu"] }, async () => {
      for (let round = 0; round < 3; round++) {
        process.kill(stopped!, "SIGSTOP");
        await sleep(200);
        process.kill(stopped!, "SIGCONT");
        await sleep(100);
      }
    });
    const found = analyze(profile).filter(({ rule }) => rule === "stopped-process");
    expect(found.map(({ culprit }) => culprit)).toContain(`sleep (pid ${stopped})`);
    expect(found.map(({ culprit }) => culprit)).not.toContain(`sleep (pid ${asleep})`);
    expect(found[0]!.title).toMatch(/: 3 times, \d+\.\d ms at most$/);
  } finally {
    for (const program of programs) await program.stop();
  }
});

test("run-queue wait is what the kernel's own account says", async () => {
  const program = await startProgram("known-runq", { hold: true });
  const recorded = await recordWhile({ sources: ["offcpu"] }, async () => {
    program.go();
    await program.result(30_000);
  });
  const { spinners } = await program.result();
  const truth = sum(spinners, (s) => s.runDelayNs);
  const row = recorded.final.runQueue.find(
    (q) => recorded.profile.processes[q.process]?.pid === program.pid,
  )!;
  expect(truth).toBeGreaterThan(100e6);
  expect(row.sumNs / truth).toBeGreaterThan(0.9);
  expect(row.sumNs / truth).toBeLessThan(1.1);
  expect(sum(row.buckets, (b) => b)).toBe(row.count);
});

for (const without of olderToo(["sched_exit_tp"]))
  for (const since of ["the beginning of the recording", "before it"])
    test(`a runnable thread that gets no CPU waits for one, since ${since}${without.length ? ", without sched_exit_tp" : ""}`, async () => {
      // SCHED_IDLE beside two busy loops on its only CPU: it gets some thousandths of it at most
      const wrap = ["chrt", "--idle", "0", "taskset", "-c", "0"];
      const starved = await startProgram("getppid-loop", { args: ["--ms", "60000"], wrap, hold: true });
      const busy = await startProgram("known-runq", {
        args: ["--ms", "60000", "--threads", "2", "--cpu", "0"],
      });
      try {
        const before = since === "before it";
        let cpuNs = 0;
        let from = 0n;
        if (before) {
          starved.go();
          await sleep(300);
        }
        const recorded = await recordWhile({ sources: ["offcpu"], without }, async () => {
          from = process.hrtime.bigint();
          cpuNs = -schedstat(starved.pid).cpuNs;
          if (!before) starved.go();
          await sleep(1200);
          cpuNs += schedstat(starved.pid).cpuNs;
        });
        // always runnable: what it did not run it waited
        const truth = Number(recorded.final.endMonotonicNs - from) - cpuNs;
        const row = recorded.final.runQueue.find(
          (q) => recorded.profile.processes[q.process]?.pid === starved.pid,
        );
        const told = `${row?.sumNs} ns in ${row?.count} waits, ${truth} ns by the clock, ran ${cpuNs} ns`;
        expect(truth, told).toBeGreaterThan(0.9e9);
        expect(row, told).toBeDefined();
        expect(row!.sumNs / truth, told).toBeGreaterThan(0.9);
        expect(row!.sumNs / truth, told).toBeLessThan(1.1);
        expect(row!.maxNs, told).toBeLessThanOrEqual(row!.sumNs);
        // and it did not sleep meanwhile
        const asleep = sum(totalsOf(recorded, starved.pid, "interruptible"), (t) => t.sumNs);
        expect(asleep, told).toBeLessThan(0.1 * truth);
      } finally {
        await starved.stop();
        await busy.stop();
      }
    });

for (const without of olderToo(["sched_exit_tp"]))
  test(`no wait is longer than its thread has lived, also where threads find no slot${without.length ? ", without sched_exit_tp" : ""}`, async () => {
    const head = 1000; // ms; what is charged from the beginning of the recording shows
    let pid = 0;
    let born = 0n;
    const { start, final, profile, events } = await recordWhile(
      {
        sources: ["offcpu"],
        without,
        threadSlots: 64,
        offcpuThresholdNs: ns(1),
        filters: { comms: ["many-threads"] }, // else the machine's own threads take all the slots
      },
      async () => {
        await sleep(head);
        born = process.hrtime.bigint();
        const args = ["--threads", "400", "--ms", "800", "--period-ms", "100"];
        const program = await startProgram("many-threads", { args });
        pid = program.pid;
        await sleep(500);
        // half of its threads' waits end within the recording, the others are in progress at its end
      },
    );
    expect(loss(final, "offcpu.slot_collision")).toBeGreaterThan(100);
    const bornAt = Number(born - start.startMonotonicNs);
    const threads = new Set(
      profile.threads.flatMap((t, id) => (t && profile.processes[t.process]?.pid === pid ? [id] : [])),
    );
    let waits = 0;
    for (const e of events)
      for (const s of e.type === "batch" ? e.batch.samples : [])
        for (let i = 0; i < s.count; i++) {
          if (!threads.has(s.thread[i]!)) continue;
          waits++;
          expect(s.durationNs[i]!, `wait that ended at ${s.timeNs[i]}`).toBeLessThanOrEqual(
            s.timeNs[i]! - bornAt,
          );
        }
    expect(waits).toBeGreaterThan(50);
    const life = Number(final.endMonotonicNs - born);
    for (const t of final.offcpuTotals)
      if (profile.processes[t.process]?.pid === pid) expect(t.maxNs).toBeLessThanOrEqual(life);
    for (const q of final.runQueue)
      if (profile.processes[q.process]?.pid === pid) expect(q.maxNs).toBeLessThanOrEqual(life);
  });
