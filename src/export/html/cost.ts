// What the recording itself cost, as one sentence and a table.
import { ownCost } from "../../model/own-cost.js";
import type { Profile } from "../../model/profile.js";
import type { ReportDocument, ReportTable } from "./document.js";

const seconds = (value: number): string => `${(value / 1e9).toFixed(value < 1e8 ? 4 : 2)} s`;
const round = (value: number): number => Number(value.toFixed(3));
const mib = (value: number): string => `${(value / 2 ** 20).toFixed(1)} MiB`;
const NOT_MEASURED = "not measured";

/** Cost of lowflame during the recording: CPU time as a share of the machine, memory; null if the capture was cut. */
export function costOf(profile: Profile): ReportDocument["cost"] {
  const cost = profile.final?.cost;
  const own = ownCost(profile);
  if (!cost || !own) return null;
  const { programsNs, agentNs } = own;
  const percent = 100 * own.shareOfMachine;
  const share = `${percent.toFixed(percent < 1 ? 3 : 1)} % of this machine`;
  const during = `of CPU time in ${seconds(profile.durationNs)}`;
  const time =
    programsNs === null
      ? `lowflame's own process used ${seconds(agentNs)} ${during}: ${share}. Its BPF programs are not in that: their time ` +
        "was not measured, since the kernel's BPF statistics were off."
      : `lowflame used ${seconds(programsNs + agentNs)} ${during}: ${share} ` +
        `(BPF programs ${seconds(programsNs)}, its own process ${seconds(agentNs)}).`;
  const rows: ReportTable["rows"] = [
    ...[...cost.programs]
      .sort((a, b) => b.ns - a.ns)
      .map((row) =>
        programsNs === null
          ? [`BPF program ${row.name}`, NOT_MEASURED, NOT_MEASURED, ""]
          : [
              `BPF program ${row.name}`,
              row.runs,
              round(row.ns / 1e6),
              row.runs > 0 ? Math.round(row.ns / row.runs) : "",
            ],
      ),
    ["lowflame process, user", "", round(cost.agentUserNs / 1e6), ""],
    ["lowflame process, kernel", "", round(cost.agentSystemNs / 1e6), ""],
  ];
  return {
    text:
      `${time} Memory: ${mib(cost.peakRssBytes)} resident at most, ` +
      `${mib(cost.kernelMemoryBytes)} in the kernel.`,
    rows: { title: "By part", columns: ["Part", "Runs", "CPU time, ms", "ns a run"], rows },
  };
}
