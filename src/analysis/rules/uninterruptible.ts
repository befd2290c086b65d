// Threads in uninterruptible sleep (state D): each counts as 1 in the load average, with no CPU used.

import { OFFCPU_STATES } from "../../capture/binding.js";
import { calledTree } from "../../model/called-tree.js";
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import { processName, Tally } from "../cpu-time.js";
import type { Finding } from "../finding.js";
import { plainName, WAIT_TEXT } from "../kernel-names.js";
import { graded, percent, searchFor, shown } from "../text.js";
import { D_STATE } from "../thresholds.js";

const D = OFFCPU_STATES.indexOf("uninterruptible");

/** At most one finding: load by process (exact totals) and what they wait in (sampled stacks). */
export function uninterruptible(profile: Profile): Finding[] {
  if (profile.durationNs <= 0) return [];
  const processes = new Tally();
  for (const row of profile.final?.offcpuTotals ?? [])
    if (row.state === D) {
      const process = profile.processes[row.process];
      processes.add(process === undefined ? "other processes" : shown(process.comm), row.sumNs);
    }
  const { reasons, sampled } = sleepReasons(profile);
  const exact = processes.total > 0;
  const sleepers = exact ? processes : sampled;
  const load = sleepers.total / profile.durationNs;
  const cpus = Math.max(1, profile.facts.host.cpus);
  const severity = graded(load, { warning: D_STATE.warning, critical: D_STATE.criticalPerCpu * cpus });
  if (severity === undefined) return [];
  const [first] = sleepers.top(1);
  const [reason] = reasons.top(1);
  const where =
    reason === undefined ? "" : `, most of it in ${reason.name} (${percent(reason.amount / reasons.total)})`;
  return [
    {
      rule: "uninterruptible-sleep",
      // One sleeper on a one-CPU machine meets both thresholds and is no incident yet.
      severity: load < 2 ? "warning" : severity,
      title: `${load.toFixed(1)} threads on average are in uninterruptible sleep, most of them of ${first!.name}`,
      detail: `They add ${load.toFixed(1)} to the load average without using a CPU. ${first!.name} makes up ${percent(first!.amount / sleepers.total)} of it${where}.${exact ? "" : " The figures are estimates from sampled waits."}`,
      culprit: first!.name,
      contributors: [
        ...sleepers.top(3).map(({ name, amount }) => ({ name, share: ratio(amount / sleepers.total) })),
        ...reasons.top(3).map(({ name, amount }) => ({ name, share: ratio(amount / reasons.total) })),
      ],
      next: [
        "ps -eo pid,stat,wchan:32,comm | awk '$2 ~ /^D/'",
        "cat /proc/pressure/io",
        "iostat -x 1 5    # a device with long await or full use",
        "dmesg | grep -i 'blocked for more than' | tail",
      ],
      tab: "offcpu",
      ...(reason === undefined ? {} : { search: searchFor(reason.name) }),
    },
  ];
}

/** Sampled D sleeps: by the first kernel function above the scheduler's and the lock's own text, and by process. */
function sleepReasons(profile: Profile): { reasons: Tally; sampled: Tally } {
  const { functions } = profile;
  const tree = calledTree(profile);
  const reasons = new Tally();
  const sampled = new Tally();
  const table = profile.weights.find((weights) => weights.source === "offcpu");
  for (let row = 0; row < (table?.count ?? 0); row++) {
    if (table!.state[row] !== D) continue;
    sampled.add(processName(profile, table!.thread[row]!), table!.weightNs[row]!);
    let node = table!.node[row]!;
    while (node !== 0 && WAIT_TEXT.test(plainName(functions.name[tree.func[node]!]!)))
      node = tree.parent[node]!;
    if (node !== 0) reasons.add(shown(functions.name[tree.func[node]!]!), table!.weightNs[row]!);
  }
  return { reasons, sampled };
}
