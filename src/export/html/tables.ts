// The extra tables under the flame graphs: exact totals and histograms that are not made of samples.
import { type CpuTimes, OFFCPU_STATES } from "../../capture/binding.js";
import { percentile } from "../../model/histogram.js";
import type { Profile, WeightTable } from "../../model/profile.js";
import { syscallName } from "../../model/syscalls.js";
import type { ReportTable } from "./document.js";

const round = (value: number, digits: number): number => Number(value.toFixed(digits));
const toMs = (value: number): number => round(value / 1e6, 3);
const toUs = (value: number): number => round(value / 1e3, 1);

/** Process name and pid as two cells; the "other" row holds what did not fit into the kernel-side table. */
function processCells(profile: Profile, process: number): [string, string | number] {
  const row = process < 0 ? undefined : profile.processes[process];
  if (process < 0) return ["(other: the table was full)", ""];
  if (!row) return [`(process ${process}, not in the tables)`, ""];
  return [row.self ? `${row.comm} (lowflame itself)` : row.comm, row.pid];
}

/** Run-queue wait by process, longest sum first; null if none was recorded. */
export function runQueueTable(profile: Profile): ReportTable | null {
  const rows = profile.final?.runQueue ?? [];
  if (rows.length === 0) return null;
  return {
    title:
      "Waiting for a CPU, by process (counts and sums are exact, percentiles interpolated in a histogram)",
    columns: ["Process", "PID", "Waits", "Total, ms", "p50, µs", "p99, µs", "Longest, µs"],
    rows: [...rows]
      .sort((a, b) => b.sumNs - a.sumNs)
      .map((row) => [
        ...processCells(profile, row.process),
        row.count,
        toMs(row.sumNs),
        toUs(percentile(row, 0.5)),
        toUs(percentile(row, 0.99)),
        toUs(row.maxNs),
      ]),
  };
}

/** Exact off-CPU time by process and state, longest first; null if none was recorded. */
export function offCpuTotalsTable(profile: Profile): ReportTable | null {
  const rows = profile.final?.offcpuTotals ?? [];
  if (rows.length === 0) return null;
  return {
    title: "Time off the CPU, by process and state (exact: every wait is counted, not sampled)",
    columns: ["Process", "PID", "State", "Waits", "Total, ms", "Longest, ms"],
    rows: [...rows]
      .sort((a, b) => b.sumNs - a.sumNs)
      .map((row) => [
        ...processCells(profile, row.process),
        OFFCPU_STATES[row.state] ?? `state ${row.state}`,
        row.count,
        toMs(row.sumNs),
        toMs(row.maxNs),
      ]),
  };
}

/**
 * System calls that threads slept in, from the sampled waits. Idle kernel threads are in no system call and are left
 * out; so is lowflame itself. Null if no wait was in a system call.
 */
export function sleepingSyscallsTable(profile: Profile, weights: WeightTable): ReportTable | null {
  interface Sum {
    weight: number;
    samples: number;
    max: number;
  }
  const sums = new Map<number, Sum>();
  let total = 0;
  for (let row = 0; row < weights.count; row++) {
    const call = weights.syscall[row]!;
    const thread = profile.threads[weights.thread[row]!];
    if (call < 0 || (thread && profile.processes[thread.process]?.self)) continue;
    const sum = sums.get(call) ?? { weight: 0, samples: 0, max: 0 };
    sum.weight += weights.weightNs[row]!;
    sum.samples += weights.samples[row]!;
    sum.max = Math.max(sum.max, weights.maxNs[row]!);
    sums.set(call, sum);
    total += weights.weightNs[row]!;
  }
  if (sums.size === 0) return null;
  return {
    title: "System calls that threads slept in (estimated from sampled waits)",
    columns: ["System call", "Total, ms", "Share, %", "Samples", "Longest sampled, ms"],
    rows: [...sums]
      .sort((a, b) => b[1].weight - a[1].weight)
      .map(([call, sum]) => [
        syscallName(profile.facts.host.arch, call),
        toMs(sum.weight),
        round((100 * sum.weight) / total, 1),
        sum.samples,
        toMs(sum.max),
      ]),
  };
}

/** What /proc/stat says about each CPU beside the samples that it gave; null when the capture was cut. */
export function cpuTable(profile: Profile): ReportTable | null {
  const final = profile.final;
  if (!final || final.cpuTimesEnd.length === 0) return null;
  const starts = new Map(final.cpuTimesStart.map((row) => [row.cpu, row]));
  const samples = new Map(final.samplesPerCpu.map((row) => [row.cpu, row]));
  const rows = final.cpuTimesEnd.map((end) => {
    const start = starts.get(end.cpu);
    const spent = (field: Exclude<keyof CpuTimes, "cpu">): number =>
      Math.max(0, end[field] - (start?.[field] ?? end[field]));
    const [user, system] = [spent("user") + spent("nice"), spent("system")];
    const all =
      user + system + spent("idle") + spent("iowait") + spent("irq") + spent("softirq") + spent("steal");
    const share = (value: number): number => (all === 0 ? 0 : round((100 * value) / all, 1));
    const sample = samples.get(end.cpu);
    return [
      end.cpu,
      share(user),
      share(system),
      share(spent("irq")),
      share(spent("softirq")),
      share(spent("iowait")),
      share(spent("steal")),
      share(spent("idle")),
      sample?.expected ?? "",
      sample?.received ?? "",
    ];
  });
  return {
    title: "CPUs: percent of time from /proc/stat, and samples expected and received",
    columns: [
      ..."CPU,user,system,irq,softirq,iowait,steal,idle".split(","),
      "samples expected",
      "samples received",
    ],
    rows,
  };
}

/** BPF programs of other tools that were loaded during the recording; null if there were none. */
export function otherProgramsTable(profile: Profile): ReportTable | null {
  const rows = profile.final?.otherPrograms ?? [];
  if (rows.length === 0) return null;
  return {
    title: "BPF programs of other tools",
    columns: ["Program", "ID", "Type", "Runs", "Time, ms", "Runs skipped by the kernel", "Held by"],
    rows: [...rows]
      .sort((a, b) => b.ns - a.ns)
      .map((row) => [
        row.name,
        row.id,
        row.type,
        row.runs,
        toMs(row.ns),
        row.recursionMisses,
        row.owners.map((owner) => `${owner.comm} (pid ${owner.pid})`).join(", ") || "nobody visible",
      ]),
  };
}
