// Words that idle threads wait for, although the value that they expect is that of a lock: C++20's std::atomic::wait and the
// like, where no name tells. Locks that say who holds them, and those of libraries that call the kernel themselves, are none.
import { calledTree } from "../model/called-tree.js";
import type { Profile, WeightTable } from "../model/profile.js";
import { IDLE_POOL } from "./thresholds.js";

/** Rust's standard library, whose mutex calls the kernel by way of syscall(), too: its locks are locks. */
const RUST = /^_?_?rust_|__rust_|^<?(?:std::(?:sys|sys_common|rt|panicking)|core::(?:ops|panic))\b/;

/**
 * Ids of futexes at which all threads that ever waited for them wait at once, for nearly all of the recording, in long waits
 * that the program makes by the C library's syscall(). Of a lock at least one of those who use it would have it.
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
