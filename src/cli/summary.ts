// The short text at the end of `record` and `report`: findings first, then where the time went, what was lost, the cost.
// Pure: a profile, findings and the files in, lines out.
import type { Finding } from "../analysis/finding.js";
import type { Profile } from "../model/profile.js";
import { shortName } from "../model/short-name.js";
import type { CommandResult } from "./child.js";
import { digest } from "./digest.js";
import { count, duration, percent, plural, size } from "./figures.js";
import type { CostJson, CpuJson, FileJson, OffCpuJson } from "./json.js";
import { lockLines, userLockLines } from "./summary-locks.js";
import { socketLines } from "./summary-sockets.js";
import { userStackLines } from "./summary-stacks.js";
import { type Palette, PLAIN, printable } from "./terminal.js";

export interface SummaryContext {
  readonly files: readonly FileJson[];
  readonly childCommand: CommandResult | null;
  readonly palette?: Palette;
  /** Characters a line; names are cut to fit. */
  readonly width?: number;
}

const FUNCTION_ROWS = 5;
const SLEEPER_ROWS = 5;
const RUN_QUEUE_ROWS = 3;

/** @returns lines without their ends */
export function summaryLines(
  profile: Profile,
  findings: readonly Finding[],
  context: SummaryContext,
): string[] {
  const palette = context.palette ?? PLAIN;
  const width = context.width ?? 100;
  const { cpu, offcpu, locks, futex, sockets, cost } = digest(profile, FUNCTION_ROWS);
  return [
    ...headLines(profile, palette),
    ...findingLines(findings, palette),
    ...(cpu ? cpuLines(cpu, palette, width) : []),
    ...(offcpu ? sleeperLines(offcpu, palette, width) : []),
    ...(offcpu ? runQueueLines(offcpu, palette) : []),
    ...(locks ? lockLines(locks, palette, width) : []),
    ...(futex ? userLockLines(futex, palette, width) : []),
    ...(sockets ? socketLines(sockets, palette, width) : []),
    ...lossLines(profile, cpu, new Set(findings.map((finding) => finding.rule)), palette),
    ...(cost ? costLines(cost, palette) : []),
    ...(context.childCommand ? [commandLine(context.childCommand)] : []),
    ...context.files.map((file) => fileLine(file, palette)),
  ];
}

function headLines(profile: Profile, palette: Palette): string[] {
  const { facts } = profile;
  const cpus = profile.start.onlineCpus.length || facts.host.cpus;
  const what = facts.filters.length > 0 ? facts.filters.join(", ") : "the whole machine";
  const end = facts.endReason === "duration" ? "" : ` (ended early: ${printable(facts.endReason)})`;
  const expected = ["command exited", "target exited"].includes(facts.endReason)
    ? ` (${facts.endReason})`
    : end;
  return [
    palette.bold(
      `${duration(profile.durationNs)} of ${printable(facts.host.hostname)}, ${plural(cpus, "CPU")}: ${printable(what)}${expected}`,
    ),
  ];
}

function findingLines(findings: readonly Finding[], palette: Palette): string[] {
  if (findings.length === 0) return ["", "Findings: none of the known problems was seen."];
  const mark = { critical: palette.red("!!"), warning: palette.yellow(" !"), info: palette.dim(" i") };
  const lines = ["", palette.bold("Findings")];
  for (const finding of findings) {
    lines.push(`${mark[finding.severity]} ${printable(finding.title, 400)}`);
    if (finding.severity === "info") continue;
    for (const who of finding.contributors.slice(0, 3)) {
      lines.push(`     ${percent(who.share)}  ${printable(who.name, 120)}`);
    }
    const next = finding.next[0];
    if (next !== undefined) lines.push(palette.dim(`     next: ${printable(next, 400)}`));
  }
  return lines;
}

function cpuLines(cpu: CpuJson, palette: Palette, width: number): string[] {
  const head = `CPU: ${plural(cpu.samples, "sample")}, ${duration(cpu.weightNs)} of CPU time`;
  const own = cpu.lowflameNs > 0 ? `, ${duration(cpu.lowflameNs)} of it lowflame's own` : "";
  if (cpu.functions.length === 0) return ["", palette.bold(head + own)];
  return [
    "",
    palette.bold(head + own),
    palette.dim("     self     total  function"),
    ...cpu.functions.map((row) => {
      const file = baseName(row.module);
      // what has no name is called by its file already
      const named = row.name === file || row.name.startsWith(`${file}+0x`);
      const where = row.module === "" || row.module.startsWith("[kernel]") || named ? "" : ` (${file})`;
      const room = Math.max(20, width - 22 - where.length);
      const name = printable(row.name.length <= room ? row.name : shortName(row.name), room);
      return `  ${percent(row.selfShare).padStart(7)}  ${percent(row.totalShare).padStart(8)}  ${name}${printable(where, 60)}`;
    }),
  ];
}

function sleeperLines(offcpu: OffCpuJson, palette: Palette, width: number): string[] {
  if (offcpu.sleepers.length === 0) return ["", "Off-CPU: nothing but idle threads slept."];
  const rows = offcpu.sleepers.slice(0, SLEEPER_ROWS);
  return [
    "",
    palette.bold(
      `Off-CPU: longest sleepers, all threads of a process together (${count(offcpu.samples)} sampled waits)`,
    ),
    palette.dim("     time   longest  process, threads, state, where"),
    ...rows.map((row) => {
      const call = row.syscall ? ` in ${row.syscall}` : "";
      const place = row.place && row.place !== row.syscall ? `, ${row.place}` : "";
      const text = `${row.process}[${row.pid}], ${plural(row.threadCount, "thread")}, ${row.state}${call}${place}`;
      return `${duration(row.weightNs).padStart(9)} ${duration(row.longestNs).padStart(9)}  ${printable(text, width - 22)}`;
    }),
  ];
}

function runQueueLines(offcpu: OffCpuJson, palette: Palette): string[] {
  if (offcpu.runQueue.length === 0) return [];
  return [
    "",
    palette.bold("Waiting for a CPU (percentiles from a histogram)"),
    palette.dim("      p50       p99   longest  process"),
    ...offcpu.runQueue.slice(0, RUN_QUEUE_ROWS).map((row) => {
      const times = [row.p50Ns, row.p99Ns, row.maxNs].map((value) => duration(value).padStart(9)).join(" ");
      const pid = row.pid === null ? "" : `[${row.pid}]`;
      return `${times}  ${printable(row.process)}${pid}, ${plural(row.waits, "wait")}`;
    }),
  ];
}

/** @param told rules of the findings above: what they said is not said twice */
function lossLines(
  profile: Profile,
  cpu: CpuJson | null,
  told: ReadonlySet<string>,
  palette: Palette,
): string[] {
  const lines: string[] = [""];
  if (!profile.final) {
    lines.push(palette.yellow("Lost: not known, the capture was cut before its end."));
  } else {
    const lost = profile.final.losses.filter((row) => row.count > 0);
    if (lost.length === 0) lines.push("Lost: nothing.");
    for (const row of lost) {
      lines.push(palette.yellow(`Lost: ${count(row.count)} (${row.id}). ${printable(row.meaning, 300)}`));
    }
  }
  if (
    !told.has("sample-shortfall") &&
    cpu?.expectedSamples &&
    cpu.receivedSamples !== null &&
    cpu.receivedSamples < cpu.expectedSamples * 0.95
  ) {
    const share = 1 - cpu.receivedSamples / cpu.expectedSamples;
    lines.push(
      palette.yellow(
        `Samples missing: ${count(cpu.receivedSamples)} of ${count(cpu.expectedSamples)} expected arrived (${percent(share)} short).`,
      ),
    );
  }
  const { total, truncated } = profile.userStacks;
  if (profile.final?.userStacks) lines.push(...userStackLines(profile.userStacks));
  else if (truncated > 0 && !told.has("user-stacks-truncated")) {
    lines.push(
      `User stacks that end early: ${count(truncated)} of ${count(total)} (${percent(truncated / total)}).`,
    );
  }
  for (const note of new Set([...profile.notes, ...profile.start.notes]))
    lines.push(`Note: ${printable(note, 400)}`);
  return lines;
}

function costLines(cost: CostJson, palette: Palette): string[] {
  const own = cost.agentUserNs + cost.agentSystemNs;
  const time =
    cost.programsNs === null
      ? `${percent(cost.shareOfMachine)} of the machine for its own process alone (${duration(own)}; BPF programs not measured: ` +
        "the kernel's BPF statistics were off); "
      : `${percent(cost.shareOfMachine)} of the machine ` +
        `(BPF programs ${duration(cost.programsNs)}, its process ${duration(own)}); `;
  return [
    palette.dim(
      `Cost of lowflame: ${time}` +
        `${size(cost.peakRssBytes)} resident, ${size(cost.kernelMemoryBytes)} in the kernel.`,
    ),
  ];
}

const commandLine = (result: CommandResult): string =>
  `The command ${result.signal ? `was ended by ${result.signal}` : `exited with ${result.exitCode}`}.`;

function fileLine(file: FileJson, palette: Palette): string {
  const bytes = file.bytes === null ? "" : ` (${size(file.bytes)})`;
  const what = file.format === "html" ? "Report" : file.format === "lowflame" ? "Capture" : "Written";
  return `${what}: ${palette.bold(printable(file.path, 4_096))}${bytes}`;
}

const baseName = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
