// Kernel locks that threads wait for so long that it is felt: one lock that takes much of a process's or the machine's
// time, and convoys, where most threads of a process queue for one lock.
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import { Tally } from "../cpu-time.js";
import type { Finding } from "../finding.js";
import { adviceFor } from "../lock-advice.js";
import { type LockGroup, lockGroups } from "../lock-groups.js";
import { lockSummaries, lockTotalsExact, notSelf } from "../lock-summary.js";
import { graded, percent, shown, time } from "../text.js";
import { LOCK_CONTENTION, LOCK_CONVOY, MIN_SAMPLES } from "../thresholds.js";

/** A process and what a lock takes of it. */
interface Victim {
  readonly process: number;
  readonly name: string;
  readonly threads: number;
  /** Of the time of its threads, 0 to 1. */
  readonly share: number;
}

/** Findings "lock-contention" and "lock-convoy"; lowflame's own waits are left out. */
export function lockFindings(profile: Profile): Finding[] {
  if (profile.durationNs <= 0) return [];
  const exact = lockTotalsExact(profile);
  const groups = lockGroups(profile, lockSummaries(profile, notSelf(profile))).filter(
    (group) => exact || group.samples >= MIN_SAMPLES,
  );
  if (groups.length === 0) return [];
  const threads = threadsByProcess(profile);
  const victims = groups.map((group) => victimsOf(profile, group, threads));
  const contended = groups.flatMap((group, i) => contention(profile, group, victims[i]!, exact) ?? []);
  const waiting = waitingThreads(profile, groups);
  const convoys = groups.flatMap((group, i) => convoy(group, victims[i]!, waiting[i]!) ?? []);
  return [
    ...contended.slice(0, LOCK_CONTENTION.maxFindings),
    ...convoys.slice(0, LOCK_CONTENTION.maxFindings),
  ];
}

function contention(
  profile: Profile,
  group: LockGroup,
  victims: readonly Victim[],
  exact: boolean,
): Finding | undefined {
  const cpus = profile.start.onlineCpus.length || Math.max(1, profile.facts.host.cpus);
  const ofMachine = group.sumNs / (profile.durationNs * cpus);
  const victim = victims[0];
  const ofVictim = victim?.share ?? 0;
  const share = Math.max(ofMachine, ofVictim);
  const severity = graded(share, LOCK_CONTENTION);
  if (severity === undefined) return undefined;
  const names = waitersByName(profile, group);
  const [most] = names.top(1);
  const who = most === undefined ? "" : `, most of them of ${most.name}`;
  const title =
    victim !== undefined && ofVictim >= ofMachine
      ? `${victim.name} waits ${percent(ofVictim)} of its time for a kernel lock: ${group.name}`
      : `${(group.sumNs / profile.durationNs).toFixed(1)} threads on average wait for a kernel lock, ${group.name}${who} (${percent(ofMachine)} of the machine's time)`;
  const advice = adviceFor(group, processPid(profile, victim));
  return {
    rule: "lock-contention",
    severity,
    title,
    detail: [...figures(profile, group, names, exact), advice.why].join(" "),
    share: ratio(Math.min(1, share)),
    culprit: group.name,
    contributors: group.callers.map(({ name, share: part }) => ({ name, share: ratio(part) })),
    next: advice.next,
    tab: "locks",
    ...searchFor(group),
  };
}

/** What was seen, in sentences. */
function figures(profile: Profile, group: LockGroup, names: Tally, exact: boolean): string[] {
  const tail = group.p99Ns > 0 ? `1 wait in 100 took ${time(group.p99Ns)} or more, ` : "";
  const sentences = [
    `It was waited for ${group.count} times, ${time(group.sumNs)} in all over ${time(profile.durationNs)}: ${tail}the longest ${time(group.maxNs)}.`,
  ];
  if (!exact) sentences.push("These are estimates from sampled waits, since the capture was cut.");
  const waiters = names.top(3).map(({ name, amount }) => `${name} ${percent(amount / names.total)}`);
  if (waiters.length > 0) sentences.push(`Who waited: ${waiters.join(", ")}.`);
  const owners = group.owners
    .slice(0, 2)
    .map(({ name, share }) => `${name} (${percent(share)} of the waiting)`);
  if (owners.length > 0) sentences.push(`Meanwhile it was held by ${owners.join(" and ")}.`);
  const [caller] = group.callers;
  if (caller !== undefined) sentences.push(`It is wanted most in ${caller.name} (${percent(caller.share)}).`);
  return sentences;
}

function convoy(
  group: LockGroup,
  victims: readonly Victim[],
  waiting: ReadonlyMap<number, ReadonlySet<number>>,
): Finding | undefined {
  const queued = (victim: Victim) => waiting.get(victim.process)?.size ?? 0;
  const victim = victims.find(
    (each) =>
      each.threads >= LOCK_CONVOY.minThreads &&
      queued(each) > each.threads * LOCK_CONVOY.threadShare &&
      each.share >= LOCK_CONVOY.warning,
  );
  const severity = victim && graded(victim.share, LOCK_CONVOY);
  if (victim === undefined || severity === undefined) return undefined;
  const [caller] = group.callers;
  return {
    rule: "lock-convoy",
    severity,
    title: `${queued(victim)} of ${victim.threads} threads of ${victim.name} queue for one kernel lock: ${group.name}`,
    detail: `The threads of ${victim.name} spend ${percent(victim.share)} of their time in this queue, one behind the other. Only one of them gets on at a time, so more threads make the queue longer and nothing faster.${caller === undefined ? "" : ` Most of them come by way of ${caller.name}.`}`,
    share: ratio(Math.min(1, victim.share)),
    culprit: group.name,
    contributors: group.callers.map(({ name, share }) => ({ name, share: ratio(share) })),
    next: [
      "Run with fewer threads and compare: if nothing gets slower, the lock is the limit.",
      "Read in the tab of kernel locks who holds it, and what else is done while it is held.",
    ],
    tab: "locks",
    ...searchFor(group),
  };
}

const searchFor = ({ callers }: LockGroup): { search?: string } =>
  callers[0] === undefined || callers[0].name === "[unknown]" ? {} : { search: `=${callers[0].name}` };

/** Threads seen of each process, whatever they did. */
function threadsByProcess(profile: Profile): ReadonlyMap<number, number> {
  const threads = new Map<number, number>();
  for (const row of profile.threads)
    if (row !== undefined) threads.set(row.process, (threads.get(row.process) ?? 0) + 1);
  return threads;
}

/** Processes that waited, hardest hit first. Kernel threads wait on behalf of others and have no time of their own. */
function victimsOf(profile: Profile, group: LockGroup, threads: ReadonlyMap<number, number>): Victim[] {
  return [...group.waiters]
    .flatMap(([id, waitedNs]) => {
      const process = profile.processes[id];
      if (process === undefined || process.kernelThread || process.pid === 0) return [];
      const count = Math.max(1, threads.get(id) ?? 0);
      const name = `${shown(process.comm)} (pid ${process.pid})`;
      return [{ process: id, name, threads: count, share: waitedNs / (profile.durationNs * count) }];
    })
    .sort((a, c) => c.share - a.share);
}

const processPid = (profile: Profile, victim: Victim | undefined): number | undefined =>
  victim && profile.processes[victim.process]?.pid;

/** Waited time by process name: the workers of one program are one waiter. */
function waitersByName(profile: Profile, group: LockGroup): Tally {
  const names = new Tally();
  for (const [id, waitedNs] of group.waiters)
    names.add(shown(profile.processes[id]?.comm ?? "other processes"), waitedNs);
  return names;
}

/** By group: process -> threads of it that sampled waits saw waiting. */
function waitingThreads(profile: Profile, groups: readonly LockGroup[]): Map<number, Set<number>>[] {
  const result = groups.map(() => new Map<number, Set<number>>());
  const groupOf = new Map<number, number>();
  groups.forEach((group, i) => {
    for (const lock of group.locks) groupOf.set(lock, i);
  });
  const table = profile.weights.find((weights) => weights.source === "locks");
  for (let row = 0; table?.lock !== undefined && row < table.count; row++) {
    const group = groupOf.get(table.lock[row]!);
    const thread = table.thread[row]!;
    const process = profile.threads[thread]?.process;
    if (group === undefined || process === undefined) continue;
    const threads = result[group]!.get(process);
    if (threads === undefined) result[group]!.set(process, new Set([thread]));
    else threads.add(thread);
  }
  return result;
}
