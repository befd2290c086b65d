// Filters act in the kernel: what is not wanted is neither sampled nor counted.
import { expect, test } from "vitest";
import { OFFCPU_STATES } from "../../src/capture/binding.js";
import { hertz } from "../../src/model/units.js";
import { makeCgroup, type TemporaryCgroup } from "../support/cgroups.js";
import { olderToo } from "../support/older-kernels.js";
import { startProgram } from "../support/programs.js";
import { type Recorded, recordWhile, rowsOf, sleep, sum } from "../support/record.js";

const CPU_SAMPLES_A_SECOND = 499;

/** Name of the program that is to be kept, which no other test beside this one has. */
const WANTED = "lowflame-wanted";

/** Two programs that burn CPU and sleep; the first is to be kept. */
async function recordTwo(
  filtersFor: (wanted: { pid: number }, other: { pid: number }) => { filters: object; undo?: () => void },
): Promise<{ recorded: Recorded; wanted: number; other: number }> {
  const wanted = await startProgram("known-cpu", { args: ["--ms", "800"], hold: true, comm: WANTED });
  const other = await startProgram("known-cpu-nofp", { args: ["--ms", "800"], hold: true });
  const { filters, undo } = filtersFor(wanted, other);
  try {
    const recorded = await recordWhile({ frequencyHz: hertz(CPU_SAMPLES_A_SECOND), filters }, async () => {
      wanted.go();
      other.go();
      await Promise.all([wanted.result(), other.result()]);
    });
    return { recorded, wanted: wanted.pid, other: other.pid };
  } finally {
    undo?.();
  }
}

function expectOnly({ recorded, wanted }: { recorded: Recorded; wanted: number }): void {
  for (const source of ["cpu", "offcpu"] as const) {
    const pids = new Set(rowsOf(recorded.profile, source).map((r) => r.pid));
    for (const pid of pids) expect(pid, source).toBe(wanted);
  }
  const cpu = rowsOf(recorded.profile, "cpu");
  expect(sum(cpu, (r) => r.samples)).toBeGreaterThan(0.8 * CPU_SAMPLES_A_SECOND * 0.7);
  for (const t of recorded.final.offcpuTotals)
    expect(recorded.profile.processes[t.process]?.pid).toBe(wanted);
  for (const q of recorded.final.runQueue) expect(recorded.profile.processes[q.process]?.pid).toBe(wanted);
}

test("--pid keeps that process alone", async () => {
  expectOnly(await recordTwo((wanted) => ({ filters: { pids: [wanted.pid] } })));
});

test("--pid may be given several times", async () => {
  const { recorded, wanted, other } = await recordTwo((a, b) => ({ filters: { pids: [a.pid, b.pid] } }));
  expect(new Set(rowsOf(recorded.profile, "cpu").map((r) => r.pid))).toEqual(new Set([wanted, other]));
});

test("--comm keeps processes and threads of that name", async () => {
  expectOnly(await recordTwo(() => ({ filters: { comms: [WANTED] } })));
});

test("--cgroup keeps what runs below that directory", async () => {
  expectOnly(
    await recordTwo((wanted) => {
      const cgroup = makeCgroup("lowflame-filter-test");
      cgroup.add(wanted.pid);
      return { filters: { cgroups: [cgroup.path] }, undo: () => cgroup.remove() };
    }),
  );
});

for (const without of olderToo(["sched_exit_tp"]))
  test(`--cgroup keeps that group and those below it, not others with a like name${without.length ? ", without sched_exit_tp" : ""}`, async () => {
    const a = makeCgroup("lowflame-filter-a");
    const x = makeCgroup("lowflame-filter-x");
    const wanted = a.child("b");
    const below = wanted.child("c");
    const outside = [a, a.child("bb"), x.child("b"), x.child("lowflame-filter-a").child("b")];
    const started: { stop(): Promise<void> }[] = [];
    /** Threads that sleep all the time and a process that runs and sleeps, both in that group. */
    const populate = async (group: TemporaryCgroup) => {
      const sleeper = await startProgram("sleeper-forever");
      const runner = await startProgram("known-runq", { args: ["--ms", "20000", "--threads", "1"] });
      started.push(sleeper, runner);
      for (const { pid } of [sleeper, runner]) group.add(pid);
      return [sleeper.pid, runner.pid];
    };
    try {
      const inside = [...(await populate(wanted)), ...(await populate(below))].sort();
      const others = (await Promise.all(outside.map(populate))).flat();
      const recorded = await recordWhile(
        { frequencyHz: hertz(CPU_SAMPLES_A_SECOND), filters: { cgroups: [wanted.path] }, without },
        async () => {
          await sleep(600);
          // sleepers that wake meanwhile are not wanted either
          for (const pid of others) process.kill(pid, "SIGSTOP");
          await sleep(100);
          for (const pid of others) process.kill(pid, "SIGCONT");
          await sleep(300);
        },
      );
      const { profile, final } = recorded;
      const seen = (processes: readonly number[]) =>
        [...new Set(processes.map((process) => profile.processes[process]?.pid))].sort();
      const offcpu = rowsOf(profile, "offcpu");
      expect([...new Set(offcpu.map((r) => r.pid))].sort()).toEqual(inside);
      for (const { pid } of rowsOf(profile, "cpu")) expect(inside).toContain(pid);
      expect(seen(final.offcpuTotals.map((t) => t.process))).toEqual(inside);
      for (const pid of seen(final.runQueue.map((q) => q.process))) expect(inside).toContain(pid);
      // those that slept from before the beginning until after the end are there in full, in both groups
      const asleep = sum(
        offcpu.filter((r) => r.comm === "sleeper-forever"),
        (r) => r.weightNs,
      );
      const duration = Number(final.endMonotonicNs - recorded.start.startMonotonicNs);
      expect(asleep / (2 * 4 * duration)).toBeGreaterThan(0.9); // two processes of four threads
    } finally {
      for (const program of started) await program.stop();
      a.remove();
      x.remove();
    }
  });

test("--cpu keeps what happens on that CPU", async () => {
  const program = await startProgram("known-cpu", { args: ["--ms", "800", "--threads", "2"], hold: true });
  const { events, final } = await recordWhile(
    { frequencyHz: hertz(CPU_SAMPLES_A_SECOND), filters: { cpus: [1] } },
    async () => {
      program.go();
      await program.result();
    },
  );
  const cpus = new Set<number>();
  for (const e of events)
    if (e.type === "batch")
      for (const s of e.batch.samples)
        for (let i = 0; i < s.count; i++) if (!(s.flags[i]! & 16)) cpus.add(s.cpu[i]!);
  expect(cpus).toEqual(new Set([1]));
  expect(final.samplesPerCpu.map((c) => c.cpu)).toEqual([1]);
});

for (const without of olderToo(["sched_exit_tp"]))
  test(`--cpu: a thread that went to another CPU and runs there does not wait on the first${without.length ? ", without sched_exit_tp" : ""}`, async () => {
    const program = await startProgram("cpu-hopper", { hold: true });
    const { profile, final } = await recordWhile(
      { sources: ["offcpu"], filters: { cpus: [0], pids: [program.pid] }, without },
      async () => {
        program.go();
        await program.child.until(() => program.child.stdout.includes("hopped"), 30_000, "hops");
        await sleep(200); // the recording ends while it runs on the other CPU
      },
    );
    const { wallNs, cpuNs, sleptNs } = await program.result();
    const total = sum(final.offcpuTotals, (t) => t.sumNs);
    const weights = sum(rowsOf(profile, "offcpu"), (r) => r.weightNs);
    const queued = sum(final.runQueue, (q) => q.sumNs);
    const told = `${total} ns told, ${weights} ns in stacks, ${queued} ns in the run queue; off the CPU ${wallNs - cpuNs} ns, slept ${sleptNs}`;
    // never more than the thread was off any CPU, and at least its sleeps that ended on the wanted one
    expect(total, told).toBeLessThan((wallNs - cpuNs) * 1.05 + 5e6);
    expect(queued, told).toBeLessThan((wallNs - cpuNs) * 1.05 + 5e6);
    expect(total + queued, told).toBeGreaterThan(sleptNs[0] * 0.9);
    expect(
      sum(final.offcpuTotals, (t) => (OFFCPU_STATES[t.state] === "interruptible" ? t.sumNs : 0)),
      told,
    ).toBeLessThan((sleptNs[0] + sleptNs[1]) * 1.05);
    // single waits are 5 ms; a stay on the other CPU lasts 10 ms and longer
    for (const t of final.offcpuTotals) expect(t.maxNs, told).toBeLessThan(wallNs / 4);
  });
