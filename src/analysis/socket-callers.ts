// Who makes socket calls: the innermost user function of a stack that is not the C library's and no wrapper of the call.
import { calledTree } from "../model/called-tree.js";
import { isLibc, isThreadEntry } from "../model/entry-points.js";
import type { Profile } from "../model/profile.js";
import { innermost } from "./cpu-time.js";
import { CALL_WRAPPER } from "./socket-functions.js";
import type { SocketCaller } from "./socket-sum.js";
import { shown } from "./text.js";

/** Amounts by caller. */
export class CallerTally {
  readonly #profile: Profile;
  /** By node: that of the caller; 0 = none is known. */
  readonly #callers: Uint32Array;
  /** By function. */
  readonly #sums = new Map<number, number>();
  #total = 0;

  constructor(profile: Profile, callers = callerNodes(profile)) {
    this.#profile = profile;
    this.#callers = callers;
  }

  /** Amounts of stacks that name a caller. */
  get total(): number {
    return this.#total;
  }

  add(node: number, amount: number): void {
    const caller = this.#callers[node] ?? 0;
    if (caller === 0) return;
    const func = calledTree(this.#profile).func[caller]!;
    this.#sums.set(func, (this.#sums.get(func) ?? 0) + amount);
    this.#total += amount;
  }

  /** Most first. */
  top(count: number): SocketCaller[] {
    const { functions } = this.#profile;
    return [...this.#sums]
      .map(([func, amount]) => ({
        name: shown(functions.name[func]!),
        module: shown(fileName(functions.module[func] ?? "")),
        share: amount / this.#total,
      }))
      .sort((a, b) => b.share - a.share || (a.name < b.name ? -1 : 1))
      .slice(0, count);
  }
}

/** By node: the caller on its path, see `CallerTally`. */
export function callerNodes(profile: Profile): Uint32Array {
  const { functions } = profile;
  const isCaller = (id: number): boolean => {
    const name = functions.name[id]!;
    const kind = functions.kind[id];
    if (kind === "jit") return true;
    // A thread's start asks nobody: the frames between are missing.
    const named = kind === "user" && !CALL_WRAPPER.test(name) && !isThreadEntry(name);
    return named && !isLibc(functions.module[id] ?? "");
  };
  return innermost(
    profile,
    Uint8Array.from({ length: functions.count }, (_, id) => (isCaller(id) ? 1 : 0)),
  );
}

const fileName = (path: string): string =>
  path.startsWith("[") ? "" : path.slice(path.lastIndexOf("/") + 1);
