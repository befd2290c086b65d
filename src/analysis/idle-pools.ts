// Words that idle threads wait for, although the value that they expect is that of a lock: C++20's std::atomic::wait and the
// like, where no name tells; and locks that threads hold by turns while they wait for work, the others behind them.

import { OFFCPU_STATES } from "../capture/binding.js";
import { calledTree } from "../model/called-tree.js";
import type { Profile, WeightTable } from "../model/profile.js";
import { syscallName } from "../model/syscalls.js";
import { IDLE_POOL } from "./thresholds.js";

/** How a thread waits for work to come, and nothing that was begun waits meanwhile. */
export const EVENTS_CALL = /^(?:epoll_p?wait2?|p?poll|p?select6?|accept4?)$/;
const RUNNING = OFFCPU_STATES.indexOf("none");
const PREEMPTED = OFFCPU_STATES.indexOf("preempted");

/** Rust's standard library, whose mutex calls the kernel by way of syscall(), too: its locks are locks. */
const RUST = /^_?_?rust_|__rust_|^<?(?:std::(?:sys|sys_common|rt|panicking)|core::(?:ops|panic))\b/;

/**
 * Ids of futexes at which all threads that ever waited for them wait at once, for nearly all of the recording, in long waits
 * that the program makes by the C library's syscall(). Of a lock at least one of those who use it would have it: locks that say who
 * holds them, and those of libraries that call the kernel themselves, are none.
 */
export function idlePools(profile: Profile): ReadonlySet<number> {
  const waits = profile.weights.find(({ source }) => source === "futex");
  if (waits?.lock === undefined) return new Set();
  const owners = profile.weights.find(({ source }) => source === "futex-owners");
  const owned = new Set(owners?.lock?.subarray(0, owners.count));
  const totals = totalsByLock(profile);
  return new Set(
    [...waitersByLock(profile, waits)].flatMap(([lock, { threads, byProgramNs, allNs }]) => {
      const { count, sumNs } = totals.get(lock) ?? { count: 0, sumNs: 0 };
      const idle =
        !owned.has(lock) &&
        threads.size >= 2 &&
        (profile.waitersAtOnce.get(lock) ?? 0) >= threads.size &&
        sumNs >= IDLE_POOL.share * threads.size * profile.durationNs &&
        sumNs >= IDLE_POOL.meanNs * count &&
        byProgramNs * 2 > allNs;
      return idle ? [lock] : [];
    }),
  );
}

/**
 * Ids of locks whose owner, in most of the sampled waiting for them, was itself asleep in a call that waits for events: leader and
 * followers (`accept` under a mutex). Who waits for such a lock waits for work.
 */
export function takenByTurns(profile: Profile): ReadonlySet<number> {
  const waits = profile.weights.find(({ source }) => source === "futex");
  const owners = profile.weights.find(({ source }) => source === "futex-owners");
  if (waits?.lock === undefined || owners?.lock === undefined) return new Set();
  const waited = new Map<number, number>();
  for (let row = 0; row < waits.count; row++)
    waited.set(waits.lock[row]!, (waited.get(waits.lock[row]!) ?? 0) + waits.weightNs[row]!);
  const idle = new Map<number, number>();
  for (let row = 0; row < owners.count; row++) {
    const asleep = owners.state[row] !== RUNNING && owners.state[row] !== PREEMPTED;
    const call = syscallName(profile.facts.host.arch, owners.syscall[row]!) ?? "";
    if (!asleep || owners.syscall[row]! < 0 || !EVENTS_CALL.test(call)) continue;
    idle.set(owners.lock[row]!, (idle.get(owners.lock[row]!) ?? 0) + owners.weightNs[row]!);
  }
  return new Set(
    [...idle].flatMap(([lock, ns]) => (ns >= IDLE_POOL.turnsShare * (waited.get(lock) ?? 0) ? [lock] : [])),
  );
}

/**
 * Locks whose waiters take turns to hold them while they wait on a condition: the others wait for the lock meanwhile (Rust's
 * `Mutex<Receiver>`, of which no owner is known). Lock -> mean length of those waits on conditions, ns.
 * @param conditions ids of futexes that are no locks
 */
export function heldInConditions(
  profile: Profile,
  conditions: ReadonlySet<number>,
): ReadonlyMap<number, number> {
  const waits = profile.weights.find(({ source }) => source === "futex");
  if (waits?.lock === undefined) return new Map();
  const locks = new Map<number, Map<number, number>>(); // lock -> thread -> ns
  const idle = new Map<number, { ns: number; waits: number }>(); // by thread
  for (let row = 0; row < waits.count; row++) {
    const thread = waits.thread[row]!;
    const lock = waits.lock[row]!;
    if (conditions.has(lock)) {
      const known = idle.get(thread) ?? { ns: 0, waits: 0 };
      known.ns += waits.weightNs[row]!;
      known.waits += waits.waits?.[row] ?? waits.samples[row]!;
      idle.set(thread, known);
    } else {
      const byThread = locks.get(lock) ?? new Map<number, number>();
      byThread.set(thread, (byThread.get(thread) ?? 0) + waits.weightNs[row]!);
      locks.set(lock, byThread);
    }
  }
  const found = new Map<number, number>();
  for (const [lock, byThread] of locks) {
    const sum = { ns: 0, waits: 0, mostNs: 0 };
    let lockNs = 0;
    for (const [thread, ns] of byThread) {
      const own = idle.get(thread) ?? { ns: 0, waits: 0 };
      lockNs += ns;
      sum.ns += own.ns;
      sum.waits += own.waits;
      sum.mostNs = Math.max(sum.mostNs, own.ns);
    }
    const { share, oneAtATime, mostOfOne } = IDLE_POOL;
    // one of them is at the condition at any time, not always the same; all that they do is wait
    const led =
      sum.ns >= share * profile.durationNs &&
      sum.ns <= oneAtATime * profile.durationNs &&
      sum.mostNs <= mostOfOne * sum.ns;
    const allWait = lockNs + sum.ns >= share * byThread.size * profile.durationNs;
    if (led && allWait) found.set(lock, sum.ns / sum.waits);
  }
  return found;
}

function totalsByLock(profile: Profile): Map<number, { count: number; sumNs: number }> {
  const sums = new Map<number, { count: number; sumNs: number }>();
  for (const { lock, count, sumNs } of profile.final?.lockTotals ?? []) {
    const sum = sums.get(lock) ?? { count: 0, sumNs: 0 };
    sums.set(lock, { count: sum.count + count, sumNs: sum.sumNs + sumNs });
  }
  return sums;
}

function waitersByLock(profile: Profile, { count, thread, lock, node, weightNs }: WeightTable) {
  const byProgram = calledBySyscall(profile);
  const waiters = new Map<number, { threads: Set<number>; byProgramNs: number; allNs: number }>();
  for (let row = 0; row < count; row++) {
    const known = waiters.get(lock![row]!) ?? { threads: new Set(), byProgramNs: 0, allNs: 0 };
    known.threads.add(thread[row]!);
    known.allNs += weightNs[row]!;
    if (byProgram[node[row]!] === 1) known.byProgramNs += weightNs[row]!;
    waiters.set(lock![row]!, known);
  }
  return waiters;
}

/** By node: 1 where the innermost user function is syscall(), in a stack without Rust's runtime. */
function calledBySyscall(profile: Profile): Uint8Array {
  const { functions } = profile;
  const tree = calledTree(profile);
  const rust = functions.name.map((name, id) => functions.kind[id] === "user" && RUST.test(name));
  const isRust = new Uint8Array(tree.count);
  const result = new Uint8Array(tree.count);
  for (let node = 1; node < tree.count; node++) {
    const func = tree.func[node]!;
    const parent = tree.parent[node]!;
    isRust[node] = isRust[parent] === 1 || rust[func] ? 1 : 0;
    const inKernel = functions.kind[func] !== "user" && functions.kind[func] !== "jit";
    const direct = /^syscall(?:@|$)/.test(functions.name[func]!) && isRust[node] === 0;
    result[node] = inKernel ? result[parent]! : direct ? 1 : 0;
  }
  return result;
}
