// Every way to lose an event is forced here, and has to show in its own counter.
import { expect, test } from "vitest";
import { SampleFlag } from "../../src/capture/binding.js";
import { bytes, hertz, ns } from "../../src/model/units.js";
import { startProgram } from "../support/programs.js";
import { loss, recordWhile, rowsOf, sleep, sum } from "../support/record.js";

test("threads that find no slot are counted, and those that have one are right", async () => {
  const program = await startProgram("many-threads", { args: ["--threads", "400"], hold: true });
  const { final } = await recordWhile({ sources: ["offcpu"], threadSlots: 64 }, async () => {
    program.go();
    await program.result(60_000);
  });
  expect(loss(final, "offcpu.slot_collision")).toBeGreaterThan(100);
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
  const program = await startProgram("known-sleep", { hold: true });
  const { final } = await recordWhile(
    { sources: ["offcpu"], ringBytes: bytes(4096), offcpuThresholdNs: ns(1000) },
    async () => {
      program.go();
      await program.result(30_000);
    },
  );
  expect(loss(final, "offcpu.ring_full")).toBeGreaterThan(0);
  expect(loss(final, "offcpu.ring_full_ns")).toBeGreaterThan(0);
});

test("processes that find no row in a full table are in the row other, with their whole time", async () => {
  const program = await startProgram("known-sleep", { hold: true });
  const { final } = await recordWhile({ sources: ["offcpu"], tableRows: 2 }, async () => {
    program.go();
    await program.result(30_000);
  });
  expect(loss(final, "offcpu.totals_full")).toBeGreaterThan(0);
  const rest = final.offcpuTotals.find((t) => t.process === -1)!;
  expect(rest.count).toBe(loss(final, "offcpu.totals_full"));
  expect(rest.sumNs).toBeGreaterThan(rest.maxNs);
  expect(final.runQueue.find((q) => q.process === -1)!.count).toBe(loss(final, "offcpu.runqueue_full"));
});

test("CPU samples that do not fit are counted: perf LOST and user halves", async () => {
  const program = await startProgram("known-cpu", { args: ["--ms", "1000", "--threads", "2"], hold: true });
  const { final, profile } = await recordWhile(
    { sources: ["cpu"], frequencyHz: hertz(9_999), ringBytes: bytes(4096) },
    async () => {
      program.go();
      await program.result();
    },
  );
  expect(loss(final, "perf.lost") + loss(final, "cpu.ring_full")).toBeGreaterThan(0);
  // a sample whose user half was lost is still a sample, and says so
  const missing = rowsOf(profile, "cpu").filter((r) => r.flags & SampleFlag.userMissing);
  if (loss(final, "cpu.user_half_missing") > 0) expect(sum(missing, (r) => r.samples)).toBeGreaterThan(0);
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
