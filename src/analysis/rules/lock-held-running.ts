// A thread that computes with a user lock held: it uses a CPU for long while others wait for the lock and do nothing.
import { calledTree } from "../../model/called-tree.js";
import type { HeldLock, Profile } from "../../model/profile.js";
import { syscallName } from "../../model/syscalls.js";
import { ratio } from "../../model/units.js";
import { Tally } from "../cpu-time.js";
import type { Finding } from "../finding.js";
import { conditionLocks } from "../futex-conditions.js";
import { EVENTS_CALL } from "../idle-pools.js";
import { UNSEEN } from "../lock-owner-time.js";
import { futexName, ownerName } from "../lock-summary.js";
import { graded, percent, searchFor, shown, time } from "../text.js";
import { HELD_RUNNING } from "../thresholds.js";
import { mainUserLockCaller } from "../user-lock-callers.js";

/** What is known of one lock: the longest time that one owner had it, and all of its times that are long enough. */
interface Hogged {
  readonly longest: HeldLock;
  times: number;
  waitedNs: number;
}

/** At most one finding "lock-held-running" a lock, the longest time first. */
export function lockHeldRunning(profile: Profile): Finding[] {
  const conditions = conditionLocks(profile);
  const takesTurns = eventLoops(profile);
  const byLock = new Map<number, Hogged>();
  const holds = [...profile.heldLocks].sort((a, c) => c.lengthNs - a.lengthNs);
  for (const hold of holds) {
    const { lock, thread, lengthNs } = hold;
    const process = profile.processes[profile.threads[thread]?.process ?? -1];
    if (lengthNs < HELD_RUNNING.warning || conditions.has(lock) || process === undefined || process.self)
      continue;
    // A single thread at the lock of one that waits for events may be parked there (thresholds.ts: PARKED_AT_A_LOCK).
    if (hold.waiters < 2 && takesTurns(thread)) continue;
    if (!ranMeanwhile(profile, hold, process.id)) continue;
    const known = byLock.get(lock);
    if (known === undefined) byLock.set(lock, { longest: hold, times: 1, waitedNs: hold.waitedNs });
    else {
      known.times++;
      known.waitedNs += hold.waitedNs;
    }
  }
  return [...byLock.values()]
    .slice(0, HELD_RUNNING.maxFindings)
    .map((hogged) => finding(profile, hogged, holds));
}

/** Whether the owner was on a CPU for half of the time: by its CPU samples, or where there are none, by its missing waits. */
function ranMeanwhile(
  profile: Profile,
  { lock, lengthNs, neverOffCpu, cpu }: HeldLock,
  process: number,
): boolean {
  if (cpu !== null) return cpu.length >= HELD_RUNNING.minSamples && ranNs(cpu) * 2 >= lengthNs;
  const { final } = profile;
  if (!neverOffCpu || final === null) return false;
  // Who gives up waiting leaves an owner that may still sleep, and whose wait is not over and so in no sample.
  if (final.lockTotals.some((total) => total.lock === lock && total.timeouts > 0)) return false;
  const queued = final.runQueue.filter((row) => row.process === process || row.process === -1);
  const unseenNs = UNSEEN * final.offcpuThresholdMaxNs + Math.max(0, ...queued.map(({ maxNs }) => maxNs));
  return unseenNs * 2 <= lengthNs;
}

const ranNs = (cpu: NonNullable<HeldLock["cpu"]>): number =>
  cpu.reduce((sum, { weightNs }) => sum + weightNs, 0);

function finding(
  profile: Profile,
  { longest, times, waitedNs }: Hogged,
  holds: readonly HeldLock[],
): Finding {
  const { lock, thread, lengthNs, waiters, cpu } = longest;
  const owner = shown(ownerName(profile, thread));
  const pid = profile.processes[profile.threads[thread]!.process]!.pid;
  const name = futexName(profile.locks[lock]!);
  const caller = mainUserLockCaller(profile, lock);
  const others = waiters === 1 ? "another thread waited" : `${waiters} other threads waited`;
  const functions = functionsOf(
    profile,
    holds.filter((hold) => hold.lock === lock && hold.thread === thread),
  );
  const [first] = functions.top(1);
  const stack = cpu === null ? undefined : mainStack(profile, cpu);
  const sentences = [
    ...(caller === undefined ? [] : [`The lock is wanted in ${caller}.`]),
    cpu === null
      ? `No wait of the owner's own lies in that time, so it was on a CPU.`
      : `By ${cpu.length} CPU samples the owner was on a CPU for ${percent(Math.min(1, ranNs(cpu) / lengthNs))} of that time${stack === undefined ? "" : `, most of it in ${stack}`}.`,
    times === 1
      ? `The waiting in it comes to ${time(waitedNs)}.`
      : `There were ${times} such times of ${time(HELD_RUNNING.warning)} or longer; the waiting in them comes to ${time(waitedNs)}.`,
  ];
  return {
    rule: "lock-held-running",
    severity: graded(lengthNs, HELD_RUNNING) ?? "warning",
    title: `${owner} ran for ${time(lengthNs)} with a user lock that ${others} for: ${name}`,
    detail: sentences.join(" "),
    share: ratio(Math.min(1, waitedNs / Math.max(1, sampledWaiting(profile, lock), waitedNs))),
    culprit: owner,
    contributors: functions
      .top(6)
      .map(({ name: func, amount }) => ({ name: func, share: ratio(amount / functions.total) })),
    next: [
      first === undefined
        ? "Record again with --what cpu,offcpu,futex: the CPU samples of the owner then tell what it runs with the lock held."
        : `Search the flame graph of CPU time for ${first.name}: it runs with the lock held.`,
      `gdb -p ${pid} -batch -ex 'thread apply all bt'    # what the owner does while it holds the lock; stops the process`,
      "Do the work before the lock is taken, or on a copy, and hold the lock only to hand over what came of it; or give each part of the data a lock of its own.",
    ],
    ...(first === undefined ? { tab: "futex" } : { tab: "cpu", search: searchFor(first.name) }),
  };
}

/** CPU time in these times by function: the innermost of the program's own, else the leaf. */
function functionsOf(profile: Profile, holds: readonly HeldLock[]): Tally {
  const functions = new Tally();
  for (const { cpu } of holds)
    for (const { node, weightNs } of cpu ?? []) {
      const path = userPath(profile, node);
      const leaf = profile.functions.name[calledTree(profile).func[node]!] || "[unknown]";
      functions.add(shown(path.at(-1) ?? leaf), weightNs);
    }
  return functions;
}

const SHOWN_FRAMES = 5;

/** The stack that most of the samples have: "main > parse > crc32"; undefined where none has user frames. */
function mainStack(profile: Profile, cpu: NonNullable<HeldLock["cpu"]>): string | undefined {
  const stacks = new Tally();
  for (const { node, weightNs } of cpu) {
    const path = userPath(profile, node);
    if (path.length > 0) stacks.add(path.slice(-SHOWN_FRAMES).map(shown).join(" > "), weightNs);
  }
  return stacks.top(1)[0]?.name;
}

/** Names of the user functions that were called on the way to a node, root first. */
function userPath({ tree, functions }: Profile, node: number): string[] {
  const path: string[] = [];
  for (let id = node; id !== 0; id = tree.parent[id]!) {
    const func = tree.func[id]!;
    const { [func]: kind } = functions.kind;
    if (tree.inlined?.[id] !== 1 && (kind === "user" || kind === "jit")) path.push(functions.name[func]!);
  }
  return path.reverse();
}

function sampledWaiting(profile: Profile, lock: number): number {
  const waits = profile.weights.find(({ source }) => source === "futex");
  let sum = 0;
  for (let row = 0; row < (waits?.count ?? 0); row++)
    if (waits!.lock?.[row] === lock) sum += waits!.weightNs[row]!;
  return sum;
}

/** Threads that were seen in a call that waits for events; all of them, where nobody looked. */
function eventLoops(profile: Profile): (thread: number) => boolean {
  const { facts, weights } = profile;
  const looked = facts.sources.includes("cpu") || facts.sources.includes("offcpu");
  const seen = new Set<number>();
  for (const { source, count, thread, syscall } of weights) {
    if (source !== "cpu" && source !== "offcpu" && source !== "futex-owners") continue;
    for (let row = 0; row < count; row++)
      if (syscall[row]! >= 0 && EVENTS_CALL.test(syscallName(facts.host.arch, syscall[row]!) ?? ""))
        seen.add(thread[row]!);
  }
  return (thread) => !looked || seen.has(thread);
}
