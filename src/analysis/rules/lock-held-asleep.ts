// Priority inversion and its like: a thread waits long for a user lock whose owner is itself off the CPU: asleep, waiting
// for another lock, or ready to run without a CPU.

import { OFFCPU_STATES } from "../../capture/binding.js";
import { calledTree } from "../../model/called-tree.js";
import type { Profile, WeightTable } from "../../model/profile.js";
import { syscallName } from "../../model/syscalls.js";
import { ratio } from "../../model/units.js";
import { Tally } from "../cpu-time.js";
import type { Finding } from "../finding.js";
import { conditionLocks } from "../futex-conditions.js";
import { EVENTS_CALL } from "../idle-pools.js";
import { plainName, WAIT_TEXT } from "../kernel-names.js";
import { FUTEX_CALL, LockOwnerTime } from "../lock-owner-time.js";
import { futexName, ownerName } from "../lock-summary.js";
import { graded, percent, searchFor, shown, time } from "../text.js";
import { HELD_ASLEEP } from "../thresholds.js";
import { mainUserLockCaller } from "../user-lock-callers.js";

const RUNNING = OFFCPU_STATES.indexOf("none");
const PREEMPTED = OFFCPU_STATES.indexOf("preempted");

/** The longest wait for one lock, and what its owner did meanwhile. */
interface Inversion {
  readonly lock: number;
  /** Row of the table of owners. */
  readonly row: number;
  readonly waitedNs: number;
}

/** At most one finding "lock-held-asleep" a lock, the longest wait first. */
export function lockHeldAsleep(profile: Profile): Finding[] {
  const owners = profile.weights.find(({ source }) => source === "futex-owners");
  if (owners?.lock === undefined) return [];
  const conditions = conditionLocks(profile);
  const ownerTime = new LockOwnerTime(profile, owners);
  const worst = new Map<number, Inversion>();
  for (let row = 0; row < owners.count; row++) {
    const lock = owners.lock[row]!;
    const waitedNs = owners.maxNs[row]!;
    const owner = profile.threads[owners.thread[row]!];
    const self = owner !== undefined && profile.processes[owner.process]?.self === true;
    if (waitedNs < HELD_ASLEEP.warning || owners.state[row] === RUNNING || owner === undefined || self)
      continue;
    if (profile.locks[lock] === undefined || conditions.has(lock)) continue;
    // A single thread at the lock of one that waits for events is parked there (thresholds.ts: PARKED_AT_A_LOCK).
    if (oneWaiter(profile, lock) && EVENTS_CALL.test(callOf(profile, owners, row) ?? "")) continue;
    if (waitedNs <= (worst.get(lock)?.waitedNs ?? 0) || !ownerTime.sleptMeanwhile(row)) continue;
    worst.set(lock, { lock, row, waitedNs });
  }
  return [...worst.values()]
    .sort((a, c) => c.waitedNs - a.waitedNs)
    .slice(0, HELD_ASLEEP.maxFindings)
    .map((inversion) => finding(profile, owners, inversion));
}

function finding(profile: Profile, owners: WeightTable, { lock, row, waitedNs }: Inversion): Finding {
  const owner = shown(ownerName(profile, owners.thread[row]!));
  const thread = profile.threads[owners.thread[row]!]!;
  const pid = profile.processes[thread.process]?.pid ?? 0;
  const name = futexName(profile.locks[lock]!);
  const what = whatFor(profile, owners, row);
  const { places, asleepNs, allNs } = ownersTime(profile, owners, lock);
  const caller = mainUserLockCaller(profile, lock);
  const call = callOf(profile, owners, row);
  const place = shown(searchName(profile, owners, row));
  const events = EVENTS_CALL.test(call ?? "")
    ? " Where threads take turns to wait for events this is how they idle, and no fault."
    : "";
  return {
    rule: "lock-held-asleep",
    severity: graded(waitedNs, HELD_ASLEEP) ?? "warning",
    title: `A thread waited ${time(waitedNs)} for a user lock whose owner, ${owner}, was itself ${what}: ${name}`,
    detail: `${caller === undefined ? "" : `The lock is wanted in ${caller}. `}As far as its owners are known, ${percent(asleepNs / allNs)} of the sampled waiting for it (${time(asleepNs)}) passed while they were off the CPU, so nobody got on.${events}`,
    share: ratio(asleepNs / allNs),
    culprit: owner,
    contributors: places
      .top(6)
      .map(({ name: place, amount }) => ({ name: place, share: ratio(amount / allNs) })),
    next:
      owners.state[row] === PREEMPTED
        ? [
            `chrt -a -p ${pid}    # scheduling classes of its threads: the owner needs a CPU as soon as its waiters do`,
            `cat /proc/${pid}/cgroup    # then cpu.stat of that cgroup: nr_throttled tells of a quota`,
            "A mutex with priority inheritance (PTHREAD_PRIO_INHERIT) lends the owner the priority of its waiters.",
          ]
        : [
            `gdb -p ${pid} -batch -ex 'thread apply all bt'    # what the owner does while it holds the lock; stops the process`,
            `cat /proc/${pid}/task/${thread.tid}/stack    # where it sleeps, in the kernel`,
            call === undefined || FUTEX_CALL.test(call)
              ? "Let go of the lock before waiting for anything else, and take it again afterwards."
              : `Let go of the lock before ${call}, and take it again afterwards.`,
          ],
    tab: "futex",
    ...(place === "" ? {} : { search: searchFor(place) }),
  };
}

/** Whether never two threads were seen to wait for a lock at one time. */
const oneWaiter = (profile: Profile, lock: number): boolean => (profile.waitersAtOnce.get(lock) ?? 0) < 2;

const callOf = (profile: Profile, table: WeightTable, row: number): string | undefined =>
  table.syscall[row]! < 0 ? undefined : syscallName(profile.facts.host.arch, table.syscall[row]!);

/** What the owner was off the CPU for: "asleep in nanosleep (hrtimer_nanosleep)". */
function whatFor(profile: Profile, owners: WeightTable, row: number): string {
  if (owners.state[row] === PREEMPTED) return "ready to run and without a CPU";
  const call = callOf(profile, owners, row);
  const place = kernelPlace(profile, owners.node[row]!);
  const other = call !== undefined && FUTEX_CALL.test(call) ? otherLock(profile, owners, row) : undefined;
  if (other !== undefined) return `waiting for ${other}`;
  if (call === undefined) return place === undefined ? "asleep" : `asleep in ${shown(place)}`;
  return `asleep in ${call}${place === undefined ? "" : ` (${shown(place)})`}`;
}

/** The futex that the owner itself waited for longest, in the very stack in which it kept the lock, where there is one. */
function otherLock(profile: Profile, owners: WeightTable, row: number): string | undefined {
  const waits = profile.weights.find(({ source }) => source === "futex");
  let best = -1;
  const better = (a: number, b: number): boolean => {
    const [here, there] = [a, b].map((each) => waits!.node[each] === owners.node[row]);
    return here === there ? waits!.maxNs[a]! > waits!.maxNs[b]! : here!;
  };
  for (let other = 0; waits?.lock !== undefined && other < waits.count; other++) {
    if (waits.thread[other] !== owners.thread[row] || waits.lock[other] === owners.lock![row]) continue;
    if (best < 0 || better(other, best)) best = other;
  }
  const lock = best < 0 ? undefined : profile.locks[waits!.lock![best]!];
  return lock === undefined ? undefined : futexName(lock);
}

/** First kernel function outside the scheduler's and the lock's own text. */
function kernelPlace({ tree, functions }: Profile, node: number): string | undefined {
  for (let id = node; id !== 0; id = tree.parent[id]!) {
    const func = tree.func[id]!;
    if (functions.kind[func] !== "kernel") return undefined;
    if (!WAIT_TEXT.test(plainName(functions.name[func]!))) return functions.name[func]!;
  }
  return undefined;
}

const leafName = (profile: Profile, node: number): string =>
  profile.functions.name[calledTree(profile).func[node]!] ?? "";
const searchName = (profile: Profile, owners: WeightTable, row: number): string =>
  kernelPlace(profile, owners.node[row]!) ?? leafName(profile, owners.node[row]!);

/** What the owners of one lock were off the CPU for, by weight of the waits; and all sampled waiting whose owner is known. */
function ownersTime(profile: Profile, owners: WeightTable, lock: number) {
  const places = new Tally();
  let allNs = 0;
  for (let row = 0; row < owners.count; row++) {
    if (owners.lock![row] !== lock) continue;
    allNs += owners.weightNs[row]!;
    if (owners.state[row] === RUNNING) continue;
    places.add(
      whatFor(profile, owners, row),
      owners.weightNs[row]! * partOff(profile, lock, owners.thread[row]!),
    );
  }
  return { places, asleepNs: places.total, allNs: Math.max(allNs, 1) };
}

/** Of the time that a thread held a lock others wanted, as far as it was kept, the part off the CPU; else all of it. */
function partOff({ heldLocks }: Profile, lock: number, thread: number): number {
  let [heldNs, offNs] = [0, 0];
  for (const hold of heldLocks) {
    if (hold.lock !== lock || hold.thread !== thread || hold.offCpuNs === null) continue;
    heldNs += hold.lengthNs;
    offNs += Math.min(hold.lengthNs, hold.offCpuNs);
  }
  return offNs > 0 ? offNs / heldNs : 1;
}
