// What findings about kernel locks and user locks share: one lock that takes much of a process's or the machine's time, and
// convoys, where most threads of a process queue for one lock. What the two are called, and what to do, the rules say.
import type { LockSource } from "../capture/sample-sources.js";
import type { Profile } from "../model/profile.js";
import { ratio } from "../model/units.js";
import { Tally } from "./cpu-time.js";
import type { Finding } from "./finding.js";
import { conditionLocks } from "./futex-conditions.js";
import { heldInConditions } from "./idle-pools.js";
import type { LockAdvice } from "./lock-advice.js";
import { type LockGroup, lockGroups } from "./lock-groups.js";
import { lockSummaries, lockTotalsExact, notSelf, waitersOnAverage } from "./lock-summary.js";
import { graded, percent, searchFor, shown, time } from "./text.js";
import {
  IDLE_POOL,
  LOCK_CONTENTION,
  LOCK_CONVOY,
  MIN_SAMPLES,
  OWNERS_KNOWN,
  PARKED_AT_A_LOCK,
} from "./thresholds.js";

/** How a rule talks about its locks. */
export interface LockTerms {
  readonly source: LockSource;
  readonly contentionRule: string;
  readonly convoyRule: string;
  /** "kernel lock" */
  readonly lock: string;
  /** What to call a lock in a title. */
  title(group: LockGroup): string;
  /** @param pid the process that waits most, where one is known */
  advice(group: LockGroup, pid: number | undefined): LockAdvice;
}

/** A process and what a lock takes of it. */
interface Victim {
  readonly process: number;
  readonly name: string;
  readonly threads: number;
  readonly waitedNs: number;
  /** Of the time of its threads, 0 to 1. */
  readonly share: number;
}

/** Findings about the locks of one source, longest total first; lowflame's own waits and conditions are left out. */
export function lockFindingsOf(profile: Profile, terms: LockTerms): Finding[] {
  if (profile.durationNs <= 0) return [];
  const { source } = terms;
  const exact = lockTotalsExact(profile, source);
  const contended = lockSummaries(profile, source, notSelf(profile)).filter(({ contention }) => contention);
  const groups = lockGroups(profile, contended).filter((group) => exact || group.samples >= MIN_SAMPLES);
  if (groups.length === 0) return [];
  const threads = threadsByProcess(profile);
  const victims = groups.map((group) => victimsOf(profile, group, threads));
  const turns = source === "futex" ? heldInConditions(profile, conditionLocks(profile)) : new Map();
  const findings = groups.flatMap(
    (group, i) => contention(profile, terms, group, victims[i]!, exact, turns) ?? [],
  );
  const waiting = waitingThreads(profile, source, groups);
  const convoys = groups.flatMap((group, i) =>
    ledFor(group, turns) ? [] : (convoy(profile, terms, group, victims[i]!, waiting[i]!) ?? []),
  );
  return [
    ...findings.slice(0, LOCK_CONTENTION.maxFindings),
    ...convoys.slice(0, LOCK_CONTENTION.maxFindings),
  ];
}

/** Search of a finding: the function that wants the lock most. */
export const searchForCaller = ({ callers }: Pick<LockGroup, "callers">): { search?: string } =>
  callers[0] === undefined || callers[0].name === "[unknown]" ? {} : { search: searchFor(callers[0].name) };

function contention(
  profile: Profile,
  terms: LockTerms,
  group: LockGroup,
  victims: readonly Victim[],
  exact: boolean,
  turns: ReadonlyMap<number, number>,
): Finding | undefined {
  const cpus = profile.start.onlineCpus.length || Math.max(1, profile.facts.host.cpus);
  const ofMachine = group.sumNs / (profile.durationNs * cpus);
  const victim = victims[0];
  const ofVictim = victim?.share ?? 0;
  const share = Math.max(ofMachine, ofVictim);
  const severity = graded(share, LOCK_CONTENTION);
  if (severity === undefined || (terms.source === "futex" && parkedAt(profile, group))) return undefined;
  if (terms.source === "futex" && exact && nobodyGotIt(profile, group))
    return stuck(profile, terms, group, victim);
  if (ledFor(group, turns)) return ledByTurns(profile, terms, group, victim, turns);
  const names = waitersByName(profile, group);
  const [most] = names.top(1);
  // A futex has its process in its name.
  const who = most === undefined || terms.source === "futex" ? "" : `, most of them of ${most.name}`;
  // waiters that sleep can be more than there are CPUs: then how many says it all
  const machine = ofMachine > 1 ? "" : ` (${percent(ofMachine)} of the machine's time)`;
  const title =
    victim !== undefined && ofVictim >= ofMachine
      ? `${victim.name} waits ${percent(ofVictim)} of its time for a ${terms.lock}: ${terms.title(group)}`
      : `${(group.sumNs / profile.durationNs).toFixed(1)} threads on average wait for a ${terms.lock}, ${terms.title(group)}${who}${machine}`;
  const advice = terms.advice(group, processPid(profile, victim));
  return {
    rule: terms.contentionRule,
    severity,
    title,
    detail: [...figures(profile, group, names, exact), advice.why].join(" "),
    share: ratio(Math.min(1, share)),
    culprit: group.name,
    contributors: group.callers.map(({ name, share: part }) => ({ name, share: ratio(part) })),
    next: advice.next,
    tab: terms.source,
    ...searchForCaller(group),
  };
}

/**
 * Whether all who were seen to wait for a mutex did so for the whole recording: idle workers look like that, and those of a
 * deadlock. A writer that waits so for a read-write lock is one that readers pass by.
 */
const nobodyGotIt = (profile: Profile, { atOnce, count, sumNs, readWrite }: LockGroup): boolean =>
  !readWrite && atOnce >= count && sumNs >= IDLE_POOL.share * count * profile.durationNs;

function stuck(profile: Profile, terms: LockTerms, group: LockGroup, victim: Victim | undefined): Finding {
  const pid = processPid(profile, victim);
  const owner = group.owners[0] === undefined ? "" : ` It is held by ${group.owners[0].name}.`;
  return {
    rule: terms.contentionRule,
    severity: "info",
    title: `${group.count} threads of ${victim?.name ?? "a process"} waited for one ${terms.lock} for all of the recording, and none got it: ${terms.title(group)}`,
    detail: `Idle workers look like this, of which one holds the lock while it waits for work, and so do the threads of a deadlock.${owner} What the process's other threads wait for tells which: for work, or for a lock that one of these holds.`,
    culprit: group.name,
    contributors: group.callers.map(({ name, share: part }) => ({ name, share: ratio(part) })),
    next: [
      `gdb -p ${pid ?? "PID"} -batch -ex 'thread apply all bt'    # who holds it, and what that thread waits for; stops the process meanwhile`,
    ],
    tab: terms.source,
    ...searchForCaller(group),
  };
}

const ledFor = ({ locks }: LockGroup, turns: ReadonlyMap<number, number>): boolean =>
  [...locks].some((lock) => turns.has(lock));

function ledByTurns(
  profile: Profile,
  terms: LockTerms,
  group: LockGroup,
  victim: Victim | undefined,
  turns: ReadonlyMap<number, number>,
): Finding {
  const meanNs = Math.max(...[...group.locks].map((lock) => turns.get(lock) ?? 0));
  return {
    rule: terms.contentionRule,
    severity: "info",
    title: `The threads of ${victim?.name ?? "a process"} take turns to hold a ${terms.lock} while they wait on a condition: ${terms.title(group)}`,
    detail: `One is at the condition at any time, ${time(meanNs)} on average; the others wait for the lock, ${(group.sumNs / profile.durationNs).toFixed(1)} at a time. Idle workers look like this, of which one waits for work with the lock held. So do requests that wait for an answer with the lock held: those wait for each other.`,
    culprit: group.name,
    contributors: group.callers.map(({ name, share: part }) => ({ name, share: ratio(part) })),
    next: [
      "Read in the tab of user locks in which function the condition is waited for: for work to come, or for an answer.",
    ],
    tab: terms.source,
    ...searchForCaller(group),
  };
}

/**
 * One thread that waits for a mutex long and seldom: it may have nothing to do. Where the owner sleeps another rule tells. Nobody
 * parks at a read-write lock, and its owner is not known.
 */
const parkedAt = (profile: Profile, { atOnce, count, readWrite }: LockGroup): boolean =>
  !readWrite && atOnce < 2 && count < (PARKED_AT_A_LOCK.waitsPerSecond * profile.durationNs) / 1e9;

/** What was seen, in sentences. */
function figures(profile: Profile, group: LockGroup, names: Tally, exact: boolean): string[] {
  const tail = group.p99Ns > 0 ? `1 wait in 100 took ${time(group.p99Ns)} or more, ` : "";
  const given = group.timeouts > 0 ? `; ${group.timeouts} of them were given up after a timeout` : "";
  const sentences = [
    `It was waited for ${group.count} times, ${time(group.sumNs)} in all over ${time(profile.durationNs)}: ${tail}the longest ${time(group.maxNs)}${given}.`,
  ];
  if (!exact) sentences.push("These are estimates from sampled waits, since the capture was cut.");
  const waiters = names.top(3).map(({ name, amount }) => `${name} ${percent(amount / names.total)}`);
  if (waiters.length > 0) sentences.push(`Who waited: ${waiters.join(", ")}.`);
  if (group.atOnce > 1) sentences.push(`At one time at least ${group.atOnce} threads waited for it.`);
  const owners = group.owners
    .slice(0, 2)
    .map(({ name, share }) => `${name} (${percent(share)} of the waiting)`);
  const known = group.owners.reduce((sum, { share }) => sum + share, 0);
  if (owners.length > 0 && known >= OWNERS_KNOWN.all)
    sentences.push(`Meanwhile it was held by ${owners.join(" and ")}.`);
  else if (owners.length > 0 && known >= OWNERS_KNOWN.some)
    sentences.push(
      `Who held it meanwhile is known for ${percent(known)} of the waiting only: ${owners.join(" and ")}.`,
    );
  else if (group.kind.startsWith("rwsem") || group.kind === "mutex")
    sentences.push(
      `Who held it meanwhile is not known${group.kind === "mutex" ? "" : ": readers leave no name there"}.`,
    );
  const [caller] = group.callers;
  if (caller !== undefined && caller.name !== "[unknown]")
    sentences.push(`It is wanted most in ${caller.name} (${percent(caller.share)}).`);
  return sentences;
}

function convoy(
  profile: Profile,
  terms: LockTerms,
  group: LockGroup,
  victims: readonly Victim[],
  waiting: ReadonlyMap<number, ReadonlySet<number>>,
): Finding | undefined {
  const whole = profile.facts.sources.includes("offcpu"); // idle threads wait, too: it has them all
  const queued = (victim: Victim) => {
    const ever = waiting.get(victim.process)?.size ?? 0;
    return group.atOnce > 0 ? Math.min(ever, Math.max(group.atOnce, onAverage(profile, victim))) : ever;
  };
  const victim = victims.find(
    (each) =>
      each.threads >= LOCK_CONVOY.minThreads &&
      queued(each) > each.threads * LOCK_CONVOY.threadShare &&
      each.share >= LOCK_CONVOY.warning &&
      (whole || showsOthers(profile, each, waiting) || manyAtOnce(profile, group, each)),
  );
  const severity = victim && graded(victim.share, LOCK_CONVOY);
  if (victim === undefined || severity === undefined) return undefined;
  if (terms.source === "futex" && lockTotalsExact(profile, "futex") && nobodyGotIt(profile, group))
    return undefined;
  const [caller] = group.callers;
  return {
    rule: terms.convoyRule,
    severity,
    title: `${queued(victim)} of ${victim.threads} threads of ${victim.name}${whole ? "" : ", of those that were seen,"} queue for one ${terms.lock}: ${terms.title(group)}`,
    detail: `The threads of ${victim.name} spend ${percent(victim.share)} of their time in this queue, one behind the other. Only one of them gets on at a time, so more threads make the queue longer and nothing faster.${caller === undefined || caller.name === "[unknown]" ? "" : ` Most of them come by way of ${caller.name}.`}`,
    share: ratio(Math.min(1, victim.share)),
    culprit: group.name,
    contributors: group.callers.map(({ name, share }) => ({ name, share: ratio(share) })),
    next: [
      "Run with fewer threads and compare: if nothing gets slower, the lock is the limit.",
      `Read in the tab of ${terms.lock}s who holds it, and what else is done while it is held.`,
    ],
    tab: terms.source,
    ...searchForCaller(group),
  };
}

const onAverage = (profile: Profile, { waitedNs }: Victim): number => waitersOnAverage(profile, waitedNs);

/** CPU samples show the threads of a process that do something; waits for locks none but the waiters. */
const showsOthers = (
  { facts }: Profile,
  victim: Victim,
  waiting: ReadonlyMap<number, ReadonlySet<number>>,
): boolean => facts.sources.includes("cpu") && victim.threads > (waiting.get(victim.process)?.size ?? 0);

/** So many that it is a queue, however many other threads there are that nobody saw. */
const manyAtOnce = (profile: Profile, { atOnce }: LockGroup, victim: Victim): boolean =>
  Math.max(atOnce, onAverage(profile, victim)) >= LOCK_CONVOY.minUnseen;

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
      const count = Math.max(1, threads.get(process.id) ?? 0);
      const name = `${shown(process.comm)} (pid ${process.pid})`;
      return [
        {
          process: process.id,
          name,
          threads: count,
          waitedNs,
          share: waitedNs / (profile.durationNs * count),
        },
      ];
    })
    .sort((a, c) => c.share - a.share);
}

const processPid = (profile: Profile, victim: Victim | undefined): number | undefined =>
  victim && profile.processes[victim.process]?.pid;

/** Waited time by process name: the workers of one program are one waiter. */
function waitersByName(profile: Profile, group: LockGroup): Tally {
  const names = new Tally();
  for (const [id, waitedNs] of group.waiters) names.add(nameOf(profile.processes[id]?.comm), waitedNs);
  return names;
}

/** "?" are those that had ended before anything named them. */
const nameOf = (comm: string | undefined): string =>
  comm === undefined ? "other processes" : comm === "?" ? "processes that have ended" : shown(comm);

/** By group: process -> threads of it that sampled waits saw waiting. */
function waitingThreads(
  profile: Profile,
  source: LockSource,
  groups: readonly LockGroup[],
): Map<number, Set<number>>[] {
  const result = groups.map(() => new Map<number, Set<number>>());
  const groupOf = new Map<number, number>();
  groups.forEach((group, i) => {
    for (const lock of group.locks) groupOf.set(lock, i);
  });
  const table = profile.weights.find((weights) => weights.source === source);
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
