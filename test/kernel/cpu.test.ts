// CPU samples against programs that count their own CPU time, and against perf.
import { expect, test } from "vitest";
import { SampleFlag } from "../../src/capture/binding.js";
import { hertz } from "../../src/model/units.js";
import { startBpfHog } from "../support/bpf-hog.js";
import { startPerfRecord, summarizePerf } from "../support/perf-record.js";
import { startProgram } from "../support/programs.js";
import { loss, recordWhile, rowsOf, sleep, sum } from "../support/record.js";

const BURNERS = ["burn_half", "burn_thirty_percent", "burn_fifth"] as const;

for (const name of ["known-cpu", "known-cpu-nofp"] as const) {
  test(`${name}: each function's share is what the program measured itself`, async () => {
    const program = await startProgram(name, { args: ["--ms", "3000"], hold: true });
    const recorded = await recordWhile({ sources: ["cpu"], frequencyHz: hertz(997) }, async () => {
      program.go();
      await program.result();
    });
    const counted = await program.result();
    const rows = rowsOf(recorded.profile, "cpu").filter((r) => r.pid === program.pid);
    const total = sum(rows, (r) => r.weightNs);
    // whole CPU time of the process: 3 s at 997 Hz is about 3,000 samples, one standard deviation is 2 %
    expect(total / counted.cpuNs).toBeGreaterThan(0.93);
    expect(total / counted.cpuNs).toBeLessThan(1.07);
    for (const burner of BURNERS) {
      const seen =
        sum(
          rows.filter((r) => r.stack.includes(burner)),
          (r) => r.weightNs,
        ) / total;
      const truth = counted.functions[burner] / counted.cpuNs;
      expect(Math.abs(seen - truth), `${burner}: ${seen} seen, ${truth} true`).toBeLessThan(0.05);
    }
  });
}

for (const without of [[], ["hrtimer_expire_entry"]]) {
  const how = without.length ? "by a grouped BPF event" : "at the timer";
  test(`the user half is joined to its own sample, ${how}`, async () => {
    const program = await startProgram("known-cpu", { args: ["--ms", "1500"], hold: true });
    const { profile, final } = await recordWhile(
      { sources: ["cpu"], frequencyHz: hertz(499), without },
      async () => {
        program.go();
        await program.result();
      },
    );
    const rows = rowsOf(profile, "cpu").filter((r) => r.pid === program.pid);
    expect(sum(rows, (r) => r.samples)).toBeGreaterThan(500);
    const joined = rows.filter((r) => r.stack.some((f) => f === "burn_in_shares" || f.startsWith("burn_")));
    expect(sum(joined, (r) => r.samples) / sum(rows, (r) => r.samples)).toBeGreaterThan(0.95);
    expect(final.losses.find((l) => l.id === "cpu.user_half_missing")!.count).toBeLessThan(5);
  });
}

test("a grouped BPF event walks by unwind tables, for the moment of its sample", async () => {
  const program = await startProgram("known-cpu-nofp", { args: ["--ms", "2000"], hold: true });
  const { profile, final } = await recordWhile(
    { sources: ["cpu"], frequencyHz: hertz(499), without: ["hrtimer_expire_entry"] },
    async () => {
      program.go();
      await program.result();
    },
  );
  const rows = rowsOf(profile, "cpu").filter((r) => r.pid === program.pid);
  const samples = sum(rows, (r) => r.samples);
  expect(samples).toBeGreaterThan(700);
  const walked = rows.filter((r) => r.flags & SampleFlag.userWhole);
  expect(sum(walked, (r) => r.samples) / samples, JSON.stringify(final.userStacks)).toBeGreaterThan(0.97);
  // whole down to the thread's start, and the leaf is that of the sample
  for (const r of walked) expect(r.stack[0]).not.toBe("[truncated]");
  const burners = walked.filter((r) => BURNERS.some((name) => r.stack.includes(name)));
  expect(sum(burners, (r) => r.samples) / samples).toBeGreaterThan(0.95);
  expect(loss(final, "cpu.user_half_by_chain") / samples).toBeLessThan(0.05);
});

test("a grouped BPF event that is turned away: frame pointers instead, counted, and no stack is lost", async () => {
  const hog = await startBpfHog({ ms: 6_000, cpu: 0 });
  try {
    const { profile, final } = await recordWhile(
      { sources: ["cpu"], frequencyHz: hertz(199), without: ["hrtimer_expire_entry"] },
      () => sleep(2_000),
    );
    const victim = rowsOf(profile, "cpu").filter((r) => r.pid === hog.victim.pid);
    const inProgram = victim.filter((r) => r.stack.some((f) => /^bpf_prog_(?!.*_lf_)/.test(f)));
    expect(sum(inProgram, (r) => r.samples)).toBeGreaterThan(20);
    expect(inProgram.filter((r) => !r.kinds.includes("user"))).toEqual([]);
    expect(loss(final, "cpu.user_half_by_chain")).toBeGreaterThanOrEqual(
      sum(inProgram, (r) => r.samples) / 2,
    );
  } finally {
    await hog.stop();
  }
});

test("BPF programs that follow one another in the same memory each have their own name and time", async () => {
  const program = await startProgram("bpf-turns", { args: ["--ms", "700"], hold: true });
  const { profile } = await recordWhile({ sources: ["cpu"], frequencyHz: hertz(499) }, async () => {
    program.go();
    await program.result();
  });
  const counted = await program.result();
  const rows = rowsOf(profile, "cpu").filter((r) => r.pid === program.pid);
  for (const turn of ["alpha", "beta", "gamma"] as const) {
    const seen = sum(
      rows.filter((r) => r.stack.some((f) => f.endsWith(`_turn_${turn}`))),
      (r) => r.weightNs,
    );
    // what is sampled before the kernel's symbols are read again has no name, but not another's
    expect(seen / counted[turn], turn).toBeGreaterThan(0.7);
    expect(seen / counted[turn], turn).toBeLessThan(1.1);
  }
});

test("time inside another tool's BPF program is seen as perf sees it", async () => {
  const hog = await startBpfHog({ ms: 8_000, cpu: 0 });
  try {
    const perf = await startPerfRecord({ frequencyHz: 199 });
    const { profile, start, final } = await recordWhile({ sources: ["cpu"], frequencyHz: hertz(199) }, () =>
      sleep(4_000),
    );
    const from = Number(start.startMonotonicNs);
    const to = Number(final.endMonotonicNs);
    const theirs = summarizePerf(await perf.stop(), { fromNs: from, toNs: to });
    const rows = rowsOf(profile, "cpu").filter((r) => r.pid !== 0);
    const samples = sum(rows, (r) => r.samples);
    const inBpf = sum(
      rows.filter((r) => r.stack.some((f) => f.startsWith("bpf_prog_") && !f.includes("_lf_"))),
      (r) => r.samples,
    );
    expect(theirs.bpfShare).toBeGreaterThan(0.15);
    // the same time on the same CPUs: 5 points of share
    expect(Math.abs(inBpf / samples - theirs.bpfShare)).toBeLessThan(0.05);
    // and as many samples on the hogged CPU, to 3 %
    const here = final.samplesPerCpu.find((c) => c.cpu === 0)!;
    const busy = here.received - here.idle;
    const perfBusy = theirs.busyByCpu.get(0)!;
    expect(Math.abs(busy - perfBusy) / perfBusy, `${busy} here, ${perfBusy} by perf`).toBeLessThan(0.03);
    // with its user half: the loop that makes the calls
    const victim = rows.filter((r) => r.pid === hog.victim.pid);
    expect(
      victim.some((r) => r.stack.some((f) => f.startsWith("bpf_prog_")) && r.kinds.includes("user")),
    ).toBe(true);
    expect(final.otherPrograms.some((p) => p.owners.some((o) => o.comm === "bpftrace") && p.ns > 0)).toBe(
      true,
    );
  } finally {
    await hog.stop();
  }
});

test("what is received is compared with what was due, and CPU times are kept", async () => {
  const program = await startProgram("known-cpu", { args: ["--ms", "2000", "--threads", "2"], hold: true });
  const { final } = await recordWhile({ sources: ["cpu"], frequencyHz: hertz(99) }, async () => {
    program.go();
    await program.result();
  });
  for (const cpu of final.samplesPerCpu) {
    const from = final.cpuTimesStart.find((t) => t.cpu === cpu.cpu)!;
    const to = final.cpuTimesEnd.find((t) => t.cpu === cpu.cpu)!;
    const busyNs =
      to.user -
      from.user +
      to.nice -
      from.nice +
      to.system -
      from.system +
      to.irq -
      from.irq +
      to.softirq -
      from.softirq;
    const received = cpu.received - cpu.idle;
    expect(Math.abs(received - (busyNs / 1e9) * 99), `CPU ${cpu.cpu}`).toBeLessThan(20);
  }
});
