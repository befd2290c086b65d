// Timer samples that should have come from a CPU and did not: then that CPU's picture is too small.
import type { Profile } from "../../model/profile.js";
import { sampleBalance } from "../../model/sample-balance.js";
import { ratio } from "../../model/units.js";
import type { Finding } from "../finding.js";
import { graded, percent } from "../text.js";
import { SHORTFALL } from "../thresholds.js";

/** At most one finding: the share of samples missing over all CPUs, the CPUs that miss most, and why. */
export function sampleShortfall(profile: Profile): Finding[] {
  if (profile.final === null) return [];
  const cpus = sampleBalance(profile.final)
    .filter((cpu) => cpu.due >= SHORTFALL.minExpected)
    .map((cpu) => ({ ...cpu, expected: cpu.due, share: cpu.missing / cpu.due }));
  const expected = cpus.reduce((sum, cpu) => sum + cpu.expected, 0);
  const missing = cpus.reduce((sum, cpu) => sum + cpu.missing, 0);
  if (expected === 0) return [];
  const worst = [...cpus].sort((a, c) => c.share - a.share);
  const share = missing / expected;
  // One blind CPU of 64 is below any threshold of the whole, and still a hole where the culprit may sit.
  const severity =
    graded(share, SHORTFALL) ?? (worst[0]!.share >= SHORTFALL.critical ? "warning" : undefined);
  if (severity === undefined) return [];
  const stolen = cpus.reduce((sum, cpu) => sum + Math.min(cpu.missing, cpu.steal * cpu.expected), 0);
  const gone = cpus.filter((cpu) => cpu.gone).map((cpu) => cpu.cpu);
  const reasons: string[] = [];
  if (stolen > missing / 2)
    reasons.push(
      `${percent(stolen / missing)} of what is missing is time that the hypervisor gave to other guests (steal).`,
    );
  if (gone.length > 0) reasons.push(`CPU ${gone.join(", ")} came or went during the recording.`);
  if (reasons.length === 0)
    reasons.push(
      "Neither steal nor CPUs that came or went explain it: the kernel throttled the sampling, or interrupts were off for long.",
    );
  return [
    {
      rule: "sample-shortfall",
      severity,
      title: `${percent(share)} of the expected CPU samples did not come (worst: CPU ${worst[0]!.cpu} with ${percent(worst[0]!.share)})`,
      detail: `${missing} of ${expected} samples are missing, so busy time on those CPUs is shown too small. ${reasons.join(" ")}`,
      share: ratio(share),
      culprit: stolen > missing / 2 ? "hypervisor (steal)" : `CPU ${worst[0]!.cpu}`,
      contributors: worst
        .filter((cpu) => cpu.missing > 0)
        .slice(0, 6)
        .map((cpu) => ({
          name: `CPU ${cpu.cpu}: ${cpu.received} of ${cpu.expected} came, steal ${percent(cpu.steal)}`,
          share: ratio(cpu.share),
        })),
      next: [
        "mpstat -P ALL 1 5    # steal and interrupts by CPU",
        "sysctl kernel.perf_cpu_time_max_percent kernel.perf_event_max_sample_rate    # what the kernel throttles to",
        `lowflame record -F ${Math.max(1, Math.floor(profile.facts.frequencyHz / 2))} -d 30s    # the same at half the rate`,
      ],
      tab: "cpu",
    },
  ];
}
