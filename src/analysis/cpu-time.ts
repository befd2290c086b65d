// CPU time by stack as the rules ask for it: which functions match, where on the way to a node they stand, and who
// pays. Every walk is one pass over the prefix tree (parent < node), whatever the number of samples.

import type { FrameKind } from "../capture/binding.js";
import { calledTree } from "../model/called-tree.js";
import type { Profile, WeightTable } from "../model/profile.js";
import { plainName } from "./kernel-names.js";
import { shown } from "./text.js";

export interface CpuTime {
  readonly profile: Profile;
  readonly table: WeightTable;
  /** All busy CPU time seen, ns. */
  readonly totalNs: number;
  readonly samples: number;
}

/** CPU time of a profile; undefined where none was recorded or none seen, so no rule divides by zero. */
export function cpuTime(profile: Profile): CpuTime | undefined {
  const table = profile.weights.find((weights) => weights.source === "cpu");
  if (table === undefined) return undefined;
  let totalNs = 0;
  let samples = 0;
  for (let row = 0; row < table.count; row++) {
    totalNs += table.weightNs[row]!;
    samples += table.samples[row]!;
  }
  return totalNs > 0 ? { profile, table, totalNs, samples } : undefined;
}

/** 1 for each function whose plain name matches; kernel functions only, as user code may use any name. */
export function kernelFunctions(profile: Profile, pattern: RegExp): Uint8Array {
  return functionsWhere(profile, (name, kind) => kind === "kernel" && pattern.test(plainName(name)));
}

export function functionsWhere(
  profile: Profile,
  test: (name: string, kind: FrameKind) => boolean,
): Uint8Array {
  const { functions } = profile;
  const result = new Uint8Array(functions.count);
  for (let id = 1; id < functions.count; id++)
    if (test(functions.name[id]!, functions.kind[id]!)) result[id] = 1;
  return result;
}

/** By node: the outermost node on its path (itself included) whose function matches; 0 = none. */
export function outermost(profile: Profile, matches: Uint8Array): Uint32Array {
  const tree = calledTree(profile);
  const result = new Uint32Array(tree.count);
  for (let node = 1; node < tree.count; node++) {
    const above = result[tree.parent[node]!]!;
    result[node] = above !== 0 ? above : matches[tree.func[node]!] === 1 ? node : 0;
  }
  return result;
}

/** By node: the innermost such node; 0 = none. */
export function innermost(profile: Profile, matches: Uint8Array): Uint32Array {
  const tree = calledTree(profile);
  const result = new Uint32Array(tree.count);
  for (let node = 1; node < tree.count; node++)
    result[node] = matches[tree.func[node]!] === 1 ? node : result[tree.parent[node]!]!;
  return result;
}

/** First ancestor whose function `skip` does not match; undefined at the root. */
export function callerOutside(profile: Profile, node: number, skip: Uint8Array): string | undefined {
  const { functions } = profile;
  const tree = calledTree(profile);
  const id = firstOutside(profile, tree.parent[node]!, skip);
  return id === 0 ? undefined : functions.name[tree.func[id]!]!;
}

/** First node on the way to the root, `node` itself included, whose function `skip` does not match; 0 at the root. */
export function firstOutside(profile: Profile, node: number, skip: Uint8Array): number {
  const tree = calledTree(profile);
  let id = node;
  while (id !== 0 && skip[tree.func[id]!] !== 0) id = tree.parent[id]!;
  return id;
}

/** Process name of a thread, fit to be shown. */
export function processName(profile: Profile, thread: number): string {
  const row = profile.threads[thread];
  const process = row === undefined ? undefined : profile.processes[row.process];
  return shown(process?.comm ?? "[unknown]");
}

/** Process id of a thread, -1 when it is not known. */
export function processPid(profile: Profile, thread: number): number {
  const row = profile.threads[thread];
  return (row === undefined ? undefined : profile.processes[row.process]?.pid) ?? -1;
}

/** Sums by name. */
export class Tally {
  readonly #sums = new Map<string, number>();
  #total = 0;

  add(name: string, amount: number): void {
    this.#sums.set(name, (this.#sums.get(name) ?? 0) + amount);
    this.#total += amount;
  }

  get total(): number {
    return this.#total;
  }

  /** Biggest first. */
  top(count: number): { name: string; amount: number }[] {
    return [...this.#sums]
      .map(([name, amount]) => ({ name, amount }))
      .sort((a, c) => c.amount - a.amount || (a.name < c.name ? -1 : 1))
      .slice(0, count);
  }
}
