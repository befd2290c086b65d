// What the recording itself cost in CPU time: its programs where the kernel measured them, and its process.
import type { Profile } from "./profile.js";

export interface OwnCost {
  /** Time in lowflame's BPF programs; null where the kernel's BPF statistics were off, so that nobody measured it. */
  readonly programsNs: number | null;
  /** CPU time of its process, user and kernel. */
  readonly agentNs: number;
  /** Both as a share of the time of all CPUs; of the process alone where `programsNs` is null. */
  readonly shareOfMachine: number;
}

/** Null when the capture was cut before its end, where the cost stands. */
export function ownCost(profile: Profile): OwnCost | null {
  const cost = profile.final?.cost;
  if (!cost) return null;
  // The kernel counts 0 runs while its statistics are off: a sum of them would say that nothing was spent.
  const measured = cost.statisticsOn !== false;
  const programsNs = measured ? cost.programs.reduce((sum, program) => sum + program.ns, 0) : null;
  const agentNs = cost.agentUserNs + cost.agentSystemNs;
  const machineNs = profile.durationNs * (profile.start.onlineCpus.length || profile.facts.host.cpus);
  return {
    programsNs,
    agentNs,
    shareOfMachine: machineNs > 0 ? ((programsNs ?? 0) + agentNs) / machineNs : 0,
  };
}
