// What the recording itself cost, as one sentence and a table.
import type { Profile } from "../../model/profile.js";
import type { ReportDocument, ReportTable } from "./document.js";

const seconds = (value: number): string => `${(value / 1e9).toFixed(value < 1e8 ? 4 : 2)} s`;
const round = (value: number): number => Number(value.toFixed(3));

/** Cost of lowflame during the recording: CPU time as a share of the machine, memory; null if the capture was cut. */
export function costOf(profile: Profile): ReportDocument["cost"] {
  const cost = profile.final?.cost;
  if (!cost) return null;
  const programs = cost.programs.reduce((sum, program) => sum + program.ns, 0);
  const agent = cost.agentUserNs + cost.agentSystemNs;
  const cpus = profile.start.onlineCpus.length || profile.facts.host.cpus;
  const machine = profile.durationNs * cpus;
  const share = machine > 0 ? (100 * (programs + agent)) / machine : 0;
  const mib = (value: number): string => `${(value / 2 ** 20).toFixed(1)} MiB`;
  const rows: ReportTable["rows"] = [
    ...[...cost.programs]
      .sort((a, b) => b.ns - a.ns)
      .map((row) => [
        `BPF program ${row.name}`,
        row.runs,
        round(row.ns / 1e6),
        row.runs > 0 ? Math.round(row.ns / row.runs) : "",
      ]),
    ["lowflame process, user", "", round(cost.agentUserNs / 1e6), ""],
    ["lowflame process, kernel", "", round(cost.agentSystemNs / 1e6), ""],
  ];
  return {
    text:
      `lowflame used ${seconds(programs + agent)} of CPU time in ${seconds(profile.durationNs)}: ` +
      `${share.toFixed(share < 1 ? 3 : 1)} % of this machine (BPF programs ${seconds(programs)}, ` +
      `its own process ${seconds(agent)}). Memory: ${mib(cost.peakRssBytes)} resident at most, ` +
      `${mib(cost.kernelMemoryBytes)} in the kernel.`,
    rows: { title: "By part", columns: ["Part", "Runs", "CPU time, ms", "ns a run"], rows },
  };
}
