// What the page tells of source lines: for each node of the tree the line that most of its time is of.
import type { Profile } from "../../model/profile.js";
import { withoutLines } from "../../model/without-lines.js";

export interface NodePlaces {
  /** The profile with one node a function below each caller. */
  readonly profile: Profile;
  /** By node of that profile: index into Profile.lines of the line with the most time, 0 = none is known; how many lines there are. */
  readonly line: Uint32Array;
  readonly count: Uint32Array;
}

/** Undefined where no line is known. Time is that of all sources together: samples and waits of one place. */
export function nodePlaces(whole: Profile): NodePlaces | undefined {
  const { tree, lines } = whole;
  if (tree.line === undefined || lines === undefined) return undefined;
  const { profile, nodeOf } = withoutLines(whole);
  const below = new Float64Array(tree.count);
  for (const table of whole.weights)
    for (let row = 0; row < table.count; row++) below[table.node[row]!]! += table.weightNs[row]!;
  for (let node = tree.count - 1; node > 0; node--) below[tree.parent[node]!]! += below[node]!;
  // Nodes of one function and line below different lines of their callers are one place.
  const sums = new Map<number, number>();
  const lineCount = lines.file.length;
  for (let node = 1; node < tree.count; node++) {
    if (tree.line[node] === 0) continue;
    const key = nodeOf(node) * lineCount + tree.line[node]!;
    sums.set(key, (sums.get(key) ?? 0) + below[node]!);
  }
  const line = new Uint32Array(profile.tree.count);
  const count = new Uint32Array(profile.tree.count);
  const most = new Float64Array(profile.tree.count).fill(-1);
  for (const [key, sum] of sums) {
    const node = Math.floor(key / lineCount);
    count[node]!++;
    if (sum <= most[node]!) continue;
    most[node] = sum;
    line[node] = key % lineCount;
  }
  return { profile, line, count };
}
