// What a user stack tells of a wait for a futex: who wanted it, the first user frame from the leaf outside locking text, and
// whether it is a lock or a condition that is waited for.

import { calledTree } from "../model/called-tree.js";
import { isThreadEntry } from "../model/entry-points.js";
import type { Profile } from "../model/profile.js";
import { firstOutside, functionsWhere, Tally } from "./cpu-time.js";
import type { LockCaller } from "./lock-callers.js";
import { shown } from "./text.js";
import {
  isLockingText,
  isLockWrapper,
  isOwnLock,
  isRuntimeStart,
  isRwlockText,
  isWordWait,
  meaningOf,
  type WaitMeaning,
} from "./user-lock-names.js";

/** @returns the caller of each node of the profile's tree, by node: "[unknown]" where all of the stack is locking text */
export function userLockCallers(profile: Profile): (node: number) => LockCaller {
  const { functions } = profile;
  const tree = calledTree(profile);
  const skip = functionsWhere(profile, (_, kind) => kind === "kernel" || kind === "bpf" || kind === "vdso");
  for (let id = 1; id < functions.count; id++)
    if (functions.kind[id] === "user" && isLockingText(functions.name[id]!, functions.module[id]!))
      skip[id] = 1;
  const wrappers = new Uint8Array(skip);
  for (let id = 1; id < functions.count; id++)
    if (functions.kind[id] === "user" && isLockWrapper(functions.name[id]!)) wrappers[id] = 1;
  const known = new Map<number, LockCaller>(); // by function; 0: none
  // where nobody but a thread's start calls a wrapper, its own name says more
  const firstOf = (node: number): number => {
    const first = firstOutside(profile, node, wrappers);
    const name = first === 0 ? "" : functions.name[tree.func[first]!]!;
    return name === "" || isThreadEntry(name) || isRuntimeStart(name)
      ? firstOutside(profile, node, skip)
      : first;
  };
  return (node) => {
    const first = node > 0 && node < tree.count ? firstOf(node) : 0;
    const start = first !== 0 && isRuntimeStart(functions.name[tree.func[first]!]!);
    const inlined = start ? inlinedOutside(profile, node, skip) : undefined;
    const func = inlined !== undefined ? profile.tree.func[inlined]! : first === 0 ? 0 : tree.func[first]!;
    let caller = known.get(func);
    if (caller === undefined) {
      const name = func === 0 ? "" : functions.name[func]!;
      // A thread's start is nobody's wish for a lock: the frames between are missing.
      const missing =
        name === "" || functions.kind[func] === "unknown" || isThreadEntry(name) || isRuntimeStart(name);
      caller = { name: missing ? "[unknown]" : shown(name), bpfMap: undefined };
      known.set(func, caller);
    }
    return caller;
  };
}

/**
 * Where nothing but a thread's start called: the innermost function outside of locking text that was put into it, as a closure is
 * into Rust's. Undefined: there is none.
 */
function inlinedOutside({ tree, functions }: Profile, node: number, skip: Uint8Array): number | undefined {
  for (let id = node; id !== 0; id = tree.parent[id]!) {
    const func = tree.func[id]!;
    if (skip[func] !== 0) continue;
    if (tree.inlined?.[id] !== 1) return undefined;
    if (!isRuntimeStart(functions.name[func]!)) return id;
  }
  return undefined;
}

/** Ids of futexes that are mostly waited for inside of a read-write lock of the C library's. */
export function rwlockFutexes(profile: Profile): ReadonlySet<number> {
  const { functions } = profile;
  const tree = calledTree(profile);
  const text = functions.name.map((name, id) => functions.kind[id] === "user" && isRwlockText(name));
  const inside = new Uint8Array(tree.count);
  for (let node = 1; node < tree.count; node++)
    inside[node] = text[tree.func[node]!] ? 1 : inside[tree.parent[node]!]!;
  const sums = new Map<number, { all: number; inside: number }>();
  const waits = profile.weights.find(({ source }) => source === "futex");
  for (let row = 0; waits?.lock !== undefined && row < waits.count; row++) {
    const sum = sums.get(waits.lock[row]!) ?? { all: 0, inside: 0 };
    sum.all += waits.weightNs[row]!;
    if (inside[waits.node[row]!] === 1) sum.inside += waits.weightNs[row]!;
    sums.set(waits.lock[row]!, sum);
  }
  return new Set([...sums].filter(([, sum]) => sum.inside * 2 > sum.all).map(([lock]) => lock));
}

/** The function that most of the sampled waiting for one futex comes from; undefined where no stack tells. */
export function mainUserLockCaller(profile: Profile, lock: number): string | undefined {
  const waits = profile.weights.find(({ source }) => source === "futex");
  const callers = new Tally();
  const callerOf = userLockCallers(profile);
  for (let row = 0; waits?.lock !== undefined && row < waits.count; row++)
    if (waits.lock[row] === lock && waits.node[row] !== 0)
      callers.add(callerOf(waits.node[row]!).name, waits.weightNs[row]!);
  const [first] = callers.top(1);
  return first === undefined || first.name === "[unknown]" ? undefined : first.name;
}

/**
 * By node: what the innermost function on its path that tells it says; a condition takes its mutex again by a lock. A wait for a
 * word of the program's own is one for work, unless its caller is called as locks are.
 */
export function waitMeanings(profile: Profile): readonly WaitMeaning[] {
  const { functions } = profile;
  const tree = calledTree(profile);
  const own = functions.name.map((name, id) => (functions.kind[id] === "user" ? meaningOf(name) : undefined));
  const words = functions.name.map((name, id) => functions.kind[id] === "user" && isWordWait(name));
  const locks = functions.name.map((name, id) => functions.kind[id] === "user" && isOwnLock(name));
  const meanings = new Array<WaitMeaning>(tree.count);
  const inLock = new Uint8Array(tree.count); // by node: whether the innermost function but waits for words is an own lock
  for (let node = 1; node < tree.count; node++) {
    const func = tree.func[node]!;
    const parent = tree.parent[node]!;
    inLock[node] = words[func] ? inLock[parent]! : Number(locks[func]);
    const ofWord = inLock[parent] === 1 ? "lock" : "condition";
    meanings[node] = own[func] ?? (words[func] ? ofWord : meanings[parent]);
  }
  return meanings;
}
