// Filters act in the kernel: what is not wanted is neither sampled nor counted.
import { expect, test } from "vitest";
import { hertz } from "../../src/model/units.js";
import { makeCgroup } from "../support/cgroups.js";
import { startProgram } from "../support/programs.js";
import { type Recorded, recordWhile, rowsOf, sum } from "../support/record.js";

const CPU_SAMPLES_A_SECOND = 499;

/** Two programs that burn CPU and sleep; the first is to be kept. */
async function recordTwo(
  filtersFor: (wanted: { pid: number }, other: { pid: number }) => { filters: object; undo?: () => void },
): Promise<{ recorded: Recorded; wanted: number; other: number }> {
  const wanted = await startProgram("known-cpu", { args: ["--ms", "800"], hold: true });
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
  expectOnly(await recordTwo(() => ({ filters: { comms: ["known-cpu"] } })));
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
