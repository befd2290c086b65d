// Threads that could run and got no CPU: who waits, and who has the CPUs.
import type { RunQueueRow } from "../../capture/binding.js";
import { mergeRunQueue, percentile } from "../../model/histogram.js";
import type { Profile } from "../../model/profile.js";
import { sampleBalance } from "../../model/sample-balance.js";
import { ratio } from "../../model/units.js";
import { type CpuTime, processName, Tally } from "../cpu-time.js";
import type { Finding } from "../finding.js";
import { percent, shown, time } from "../text.js";
import { RUN_QUEUE, RUN_QUEUE_STARVED } from "../thresholds.js";

interface Waiter {
  readonly name: string;
  readonly cgroup: string | undefined;
  readonly row: RunQueueRow;
  readonly p99: number;
  /** Waiting, of waiting and running, 0..1; of the recording where the CPU time is not known. */
  readonly waiting: number;
}

/** A wait in a hundred is long enough to be felt. */
function isLate({ row, p99 }: Waiter, profile: Profile): boolean {
  return (
    p99 >= RUN_QUEUE.warningNs &&
    row.count >= RUN_QUEUE.minWaits &&
    row.sumNs >= profile.durationNs * RUN_QUEUE.minSumFraction
  );
}

/** No wait is long, but together they take as much as the process gets. */
function isStarved({ row, waiting }: Waiter, profile: Profile): boolean {
  return (
    waiting >= RUN_QUEUE_STARVED.share &&
    row.count >= RUN_QUEUE.minWaits &&
    row.sumNs >= row.count * RUN_QUEUE_STARVED.minMeanNs &&
    row.sumNs >= profile.durationNs * RUN_QUEUE_STARVED.minSumFraction
  );
}

/** At most one finding: the processes whose p99 or whose share of waiting is bad, and the occupants of the CPUs. */
export function runQueue(profile: Profile, cpu: CpuTime | undefined): Finding[] {
  const all = waiters(profile, cpu);
  const bad = all
    .filter((waiter) => isLate(waiter, profile) || isStarved(waiter, profile))
    .sort((a, c) => c.row.sumNs - a.row.sumNs);
  const first = bad[0];
  if (first === undefined) return [];
  const sum = all.reduce((total, { row }) => total + row.sumNs, 0);
  const occupants = new Tally();
  // a filtered recording does not know who else was there: it would blame the victim
  const whole = profile.facts.filters.length === 0;
  for (let i = 0; whole && cpu !== undefined && i < cpu.table.count; i++)
    occupants.add(processName(profile, cpu.table.thread[i]!), cpu.table.weightNs[i]!);
  const top = occupants.top(3);
  const idle = idleShare(profile);
  const who = top.map(({ name, amount }) => `${name} ${percent(amount / occupants.total)}`).join(", ");
  const quota = idle !== undefined && idle > 0.3;
  const reason = quota
    ? `The CPUs were idle for ${percent(idle)} of the time, so either the load came in bursts, or there is a limit: a cgroup's CPU quota, or threads pinned to few CPUs.`
    : who === ""
      ? `Who had the CPUs is not in this recording (record ${whole ? "with --what cpu,offcpu" : "without filters"}).`
      : `The CPUs were busy with ${who}.`;
  const p99 = Math.max(...bad.map((waiter) => waiter.p99));
  return [
    {
      rule: "run-queue-wait",
      severity: p99 >= RUN_QUEUE.criticalNs ? "critical" : "warning",
      title: `${first.name} waits for a CPU: ${isLate(first, profile) ? `1 wait in 100 takes ${time(first.p99)} or more` : `it spends ${percent(first.waiting)} of the time that it could run in the queue`}${quota || top[0] === undefined ? "" : `, while ${top[0].name} has ${percent(top[0].amount / occupants.total)} of the CPU time`}`,
      detail: `${first.name} was ready to run and waited ${first.row.count} times, ${time(first.row.sumNs)} in all, ${time(first.row.sumNs / first.row.count)} on average and ${time(first.row.maxNs)} at most. ${reason}`,
      ...(sum > 0 ? { share: ratio(first.row.sumNs / sum) } : {}),
      culprit: quota ? first.name : (top[0]?.name ?? first.name),
      contributors: bad.slice(0, 6).map((waiter) => ({
        name: `${waiter.name} waits, p99 ${time(waiter.p99)}`,
        share: ratio(waiter.row.sumNs / sum),
      })),
      next: [
        quotaCommand(first.cgroup),
        "cat /proc/pressure/cpu",
        "ps -eo pid,psr,ni,cls,pcpu,comm --sort=-pcpu | head -15",
      ],
      tab: "offcpu",
    },
  ];
}

/** The path is quoted, since a cgroup may be called anything; one that is not a plain path is not repeated. */
function quotaCommand(cgroup: string | undefined): string {
  const what = "nr_throttled: is a quota in the way?";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters must not reach a terminal.
  if (cgroup === undefined || !cgroup.startsWith("/") || /[\u0000-\u001f\u007f-\u009f]/.test(cgroup))
    return `grep -r 'nr_throttled [1-9]' /sys/fs/cgroup --include=cpu.stat    # ${what}`;
  const folder = cgroup.startsWith("/sys/fs/cgroup") ? cgroup : `/sys/fs/cgroup${cgroup}`;
  return `cat '${`${folder}/cpu.stat`.replaceAll("'", "'\\''")}'    # ${what}`;
}

/** Run-queue rows by process; the idle task waits for nothing. */
function waiters(profile: Profile, cpu: CpuTime | undefined): Waiter[] {
  const ran = new Map<number, number>();
  for (let i = 0; cpu !== undefined && i < cpu.table.count; i++) {
    const process = profile.threads[cpu.table.thread[i]!]?.process ?? -1;
    ran.set(process, (ran.get(process) ?? 0) + cpu.table.weightNs[i]!);
  }
  const rows = new Map<number, RunQueueRow[]>();
  for (const row of profile.final?.runQueue ?? []) {
    const process = profile.processes[row.process];
    // ksoftirqd and its like wait behind everybody by design
    if (process?.pid === 0 || process?.self || process?.kernelThread) continue;
    const id = process?.id ?? -1;
    rows.set(id, [...(rows.get(id) ?? []), row]);
  }
  return [...rows].map(([id, parts]) => {
    const process = profile.processes[id];
    const row = mergeRunQueue(parts);
    const name = process === undefined ? "other processes" : `${shown(process.comm)} (pid ${process.pid})`;
    const whole = cpu === undefined ? profile.durationNs : row.sumNs + (ran.get(id) ?? 0);
    const waiting = whole > 0 ? row.sumNs / whole : 0;
    return { name, cgroup: process?.cgroup, row, p99: percentile(row, 0.99), waiting };
  });
}

/** Share of the CPUs' time that they were idle; undefined where /proc/stat is not known. */
function idleShare(profile: Profile): number | undefined {
  if (profile.final === null) return undefined;
  const known = sampleBalance(profile.final).flatMap((cpu) => (cpu.idle === undefined ? [] : [cpu.idle]));
  if (known.length > 0) return known.reduce((sum, idle) => sum + idle, 0) / known.length;
  let received = 0;
  let idle = 0;
  for (const cpu of profile.final.samplesPerCpu) {
    received += cpu.received;
    idle += cpu.idle;
  }
  return received > 0 ? idle / received : undefined;
}
