// CPU samples that were due against those that came, for each CPU.
import type { CpuTimes, FinalFacts } from "../capture/binding.js";

export interface CpuBalance {
  readonly cpu: number;
  /** Samples that the CPU's busy time is worth (steal included); all of the recording's where /proc/stat is not known. */
  readonly due: number;
  /** Samples that came and found the CPU busy. */
  readonly received: number;
  readonly missing: number;
  /** Share of the CPU's time that the hypervisor gave to others, 0 to 1. */
  readonly steal: number;
  /** Share of the CPU's time in idle and iowait, 0 to 1; undefined where /proc/stat is not known. */
  readonly idle: number | undefined;
  /** It came or went during the recording. */
  readonly gone: boolean;
}

/**
 * A CPU that sleeps deeply takes no timer interrupt, and nothing is missed by that: so what is due is what its busy time
 * by /proc/stat is worth, and idle samples do not count.
 */
export function sampleBalance(final: FinalFacts): CpuBalance[] {
  return final.samplesPerCpu.map((row) => {
    const before = final.cpuTimesStart.find((times) => times.cpu === row.cpu);
    const after = final.cpuTimesEnd.find((times) => times.cpu === row.cpu);
    const gone = (before !== undefined) !== (after !== undefined);
    const wall = before && after ? total(after) - total(before) : 0;
    if (!before || !after || wall <= 0) {
      const missing = Math.max(0, row.expected - row.received);
      return {
        cpu: row.cpu,
        due: row.expected,
        received: row.received,
        missing,
        steal: 0,
        idle: undefined,
        gone,
      };
    }
    const idle = Math.min(1, Math.max(0, (after.idle + after.iowait - before.idle - before.iowait) / wall));
    const due = Math.round(row.expected * (1 - idle));
    const received = row.received - row.idle;
    const steal = Math.max(0, (after.steal - before.steal) / wall);
    return { cpu: row.cpu, due, received, missing: Math.max(0, due - received), steal, idle, gone };
  });
}

function total(times: CpuTimes): number {
  const { user, nice, system, idle, iowait, irq, softirq, steal } = times;
  return user + nice + system + idle + iowait + irq + softirq + steal;
}
