// Other people's BPF programs and probes: who they are, what they cost, and what stops them.
import type { OtherProgram } from "../../capture/binding.js";
import type { Profile } from "../../model/profile.js";
import { type Ratio, ratio } from "../../model/units.js";
import type { CpuTime } from "../cpu-time.js";
import type { Finding } from "../finding.js";
import { foreignTime, NO_PROGRAM } from "../foreign-time.js";
import { isOwn, othersFor, programSymbol } from "../own-programs.js";
import { graded, percent, shown, time } from "../text.js";
import { FOREIGN_BPF, MIN_SAMPLES } from "../thresholds.js";

const RULE = "foreign-bpf";

/** Programs seen in stacks (from 1 % of CPU time on), then those that only the kernel's statistics know. */
export function foreignBpf(profile: Profile, cpu: CpuTime | undefined): Finding[] {
  const findings: Finding[] = [];
  const told = new Set<OtherProgram>();
  if (cpu !== undefined) {
    const seen = foreignTime(cpu);
    for (const [func, ns] of seen.nsByProgram) {
      const share = ns / cpu.totalNs;
      const severity = graded(share, FOREIGN_BPF);
      if (severity === undefined || (seen.samples.get(func) ?? 0) < MIN_SAMPLES) continue;
      const contributors = partsOf(seen.parts.get(func), cpu.totalNs);
      if (func === NO_PROGRAM) {
        findings.push(probeWithoutProgram(severity, share, contributors));
        continue;
      }
      const symbol = programSymbol(profile.functions.name[func]!)!;
      const programs = othersFor(profile, symbol);
      for (const program of programs) told.add(program);
      const name = shown(symbol.name || symbol.tag);
      const owners = ownersOf(programs);
      findings.push({
        rule: RULE,
        severity,
        title: `BPF program "${name}"${ownerText(owners)} takes ${percent(share)} of the busy CPU time`,
        detail: `${percent(share)} of the busy CPU time was spent in this program, in what it calls and in the probe that leads to it; it is not one of lowflame's. ${statistics(profile, programs)}`,
        share: ratio(share),
        culprit: name,
        contributors,
        next: stepsFor(programs, owners, symbol.tag),
        tab: "cpu",
        search: `=${profile.functions.name[func]!}`,
      });
    }
  }
  for (const program of profile.final?.otherPrograms ?? []) {
    if (told.has(program) || isOwn(profile, program)) continue;
    const cpus = profile.durationNs > 0 ? program.ns / profile.durationNs : 0;
    if (cpus <= FOREIGN_BPF.infoCpuFraction) continue;
    const owners = ownersOf([program]);
    const name = shown(program.name || program.tag);
    findings.push({
      rule: RULE,
      severity: "info",
      title: `BPF program "${name}"${ownerText(owners)} takes ${percent(cpus)} of one CPU by the kernel's statistics`,
      detail: `It is not one of lowflame's. ${statistics(profile, [program])} The time of the probe that leads to it is not in these figures.`,
      share: ratio(cpus / Math.max(1, profile.facts.host.cpus)),
      culprit: name,
      contributors: [],
      next: stepsFor([program], owners, program.tag),
    });
  }
  findings.sort((a, c) => (c.share ?? 0) - (a.share ?? 0));
  return findings.slice(0, FOREIGN_BPF.maxFindings);
}

function probeWithoutProgram(
  severity: Finding["severity"],
  share: number,
  contributors: Finding["contributors"],
): Finding {
  return {
    rule: RULE,
    severity,
    title: `Kernel probes (kprobe, uprobe, ftrace or tracepoint) take ${percent(share)} of the busy CPU time`,
    detail: `${percent(share)} of the busy CPU time was spent in the text of kernel probes, and no BPF program was seen below them. Somebody is tracing this machine, with ftrace or perf or with programs whose symbols are hidden; lowflame itself uses no such probe.`,
    share: ratio(share),
    contributors,
    next: [
      "bpftool perf show",
      "cat /sys/kernel/tracing/kprobe_events /sys/kernel/tracing/uprobe_events",
      "cat /sys/kernel/tracing/current_tracer /sys/kernel/tracing/enabled_functions",
    ],
    tab: "cpu",
    search: "kprobe|kretprobe|rethook|ftrace|uprobe|perf_trace_",
  };
}

function partsOf(
  parts: ReadonlyMap<string, number> | undefined,
  total: number,
): { name: string; share: Ratio }[] {
  return [...(parts ?? [])]
    .map(([name, ns]) => ({ name: shown(name), share: ratio(ns / total) }))
    .sort((a, c) => c.share - a.share)
    .slice(0, 5);
}

interface Owner {
  readonly pid: number;
  readonly comm: string;
}

function ownersOf(programs: readonly OtherProgram[]): readonly Owner[] {
  const byPid = new Map<number, Owner>();
  for (const program of programs) for (const owner of program.owners) byPid.set(owner.pid, owner);
  return [...byPid.values()];
}

function ownerText(owners: readonly Owner[]): string {
  if (owners.length === 0) return "";
  const first = owners
    .slice(0, 3)
    .map((owner) => `${shown(owner.comm)}, pid ${owner.pid}`)
    .join("; ");
  return ` (of ${first}${owners.length > 3 ? `; ${owners.length - 3} more` : ""})`;
}

function statistics(profile: Profile, programs: readonly OtherProgram[]): string {
  if (programs.length === 0)
    return profile.final === null
      ? "The capture was cut before the list of loaded programs, so its owner is not known."
      : "It was not in the kernel's list of programs when the recording ended: its owner has unloaded it since.";
  const total = { runs: 0, ns: 0, misses: 0 };
  for (const program of programs) {
    total.runs += program.runs;
    total.ns += program.ns;
    total.misses += program.recursionMisses;
  }
  const type = shown(programs[0]!.type);
  const ids = programs.map((program) => program.id).join(", ");
  const copies = programs.length > 1 ? `, loaded ${programs.length} times` : "";
  const each = total.runs > 0 ? `, ${time(total.ns / total.runs)} a run` : "";
  const misses = total.misses > 0 ? ` ${total.misses} runs were skipped because it ran into itself.` : "";
  return `By the kernel's statistics it ran some ${total.runs.toLocaleString("en-US")} times${each} (type ${type}, id ${ids}${copies}).${misses}`;
}

function stepsFor(programs: readonly OtherProgram[], owners: readonly Owner[], tag: string): string[] {
  const show =
    programs.length === 0
      ? [`bpftool prog show tag ${tag}`]
      : programs.slice(0, 3).map((program) => `bpftool prog show id ${program.id}`);
  // Stopping pid 1 would stop the machine; what systemd holds belongs to one of its units.
  const stoppable = owners.filter((owner) => owner.pid > 1).slice(0, 3);
  const who = owners.slice(0, 3).map((owner) => `ps -fp ${owner.pid}`);
  const stop = stoppable.flatMap((owner) => [
    `systemctl status ${owner.pid}    # the service it belongs to`,
    `kill ${owner.pid}    # ends it, and with it its programs`,
  ]);
  if (stop.length > 0) return [...show, ...who, ...stop];
  return [
    ...show,
    ...who,
    "bpftool -f prog show    # pinned programs and their paths: they outlive their owner",
    "bpftool link show    # what holds it attached",
  ];
}
