// Top functions of one source by self time, with their total time. Pure; one pass over the tree.
import type { Profile, WeightTable } from "../model/profile.js";
import type { FunctionJson } from "./json.js";

/**
 * @param counts which threads count
 * @param limit number of rows
 * @returns functions by self time, most first; shares are of all the time that counts
 */
export function digestFunctions(
  profile: Profile,
  table: WeightTable,
  counts: (thread: number) => boolean,
  limit: number,
): FunctionJson[] {
  const { tree, functions } = profile;
  const selfOfNode = new Float64Array(tree.count);
  let whole = 0;
  for (let row = 0; row < table.count; row++) {
    if (!counts(table.thread[row]!)) continue;
    selfOfNode[table.node[row]!]! += table.weightNs[row]!;
    whole += table.weightNs[row]!;
  }
  const self = new Float64Array(functions.count);
  const below = selfOfNode.slice();
  // Parents have smaller ids than their children: backwards, a node is complete before it is added to its parent.
  for (let node = tree.count - 1; node > 0; node--) {
    self[tree.func[node]!]! += selfOfNode[node]!;
    below[tree.parent[node]!]! += below[node]!;
  }
  const top = [...self.keys()]
    .filter((func) => func > 0 && self[func]! > 0)
    .sort((a, b) => self[b]! - self[a]!)
    .slice(0, limit);
  const lines = mainLines(profile, selfOfNode, new Set(top));
  const total = totals(profile, below, new Set(top));
  return top.map((func) => ({
    name: functions.name[func] || "(no name)",
    module: functions.module[func] ?? "",
    kind: functions.kind[func] ?? "unknown",
    line: lines.get(func) ?? null,
    selfNs: self[func]!,
    totalNs: total.get(func) ?? 0,
    selfShare: whole > 0 ? self[func]! / whole : 0,
    totalShare: whole > 0 ? (total.get(func) ?? 0) / whole : 0,
  }));
}

/** "file:line" that most of each wanted function's self time is of; functions without a known line are left out. */
function mainLines(
  { tree, lines }: Profile,
  selfOfNode: Float64Array,
  wanted: ReadonlySet<number>,
): Map<number, string> {
  const result = new Map<number, string>();
  if (tree.line === undefined || lines === undefined) return result;
  const tallies = new Map<number, Map<number, number>>();
  for (let node = 1; node < tree.count; node++) {
    const func = tree.func[node]!;
    const line = tree.line[node]!;
    if (line === 0 || selfOfNode[node] === 0 || !wanted.has(func)) continue;
    const tally = tallies.get(func) ?? new Map<number, number>();
    tallies.set(func, tally.set(line, (tally.get(line) ?? 0) + selfOfNode[node]!));
  }
  for (const [func, tally] of tallies) {
    const [line] = [...tally].reduce((most, entry) => (entry[1] > most[1] ? entry : most));
    result.set(func, `${lines.file[line]!}:${lines.line[line]!}`);
  }
  return result;
}

/** Time under each wanted function; a function below itself (recursion) counts once. */
function totals(profile: Profile, below: Float64Array, wanted: ReadonlySet<number>): Map<number, number> {
  const { parent, func, count } = profile.tree;
  const total = new Map<number, number>();
  for (let node = 1; node < count; node++) {
    const own = func[node]!;
    if (below[node] === 0 || !wanted.has(own)) continue;
    let above = parent[node]!;
    while (above > 0 && func[above] !== own) above = parent[above]!;
    if (above === 0) total.set(own, (total.get(own) ?? 0) + below[node]!);
  }
  return total;
}
