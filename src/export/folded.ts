// Folded stacks, as flame graph scripts read them: `process;outer function;…;inner function weight`, one line a
// stack, weight in nanoseconds. Inlined functions end in `_[i]`, as those scripts mark them.
import type { StackSource } from "../capture/sample-sources.js";
import type { Profile, WeightTable } from "../model/profile.js";
import { withoutLines } from "../model/without-lines.js";
import { inPieces, nodesLeafFirst, ownerOf, utf8, weightsOf } from "./stacks.js";

/** UTF-8 text, one line for each distinct (process name, stack); empty when the source saw nothing. */
export function writeFolded(profile: Profile, source: StackSource): Uint8Array {
  return utf8(foldedChunks(profile, source));
}

/** The same in pieces of about 64 KiB. */
export function foldedChunks(whole: Profile, source: StackSource): Iterable<string> {
  const { profile } = withoutLines(whole);
  const table = weightsOf(profile, source);
  return table === undefined ? [] : inPieces(lines(profile, table));
}

/** The format has no escapes: what separates frames or lines is replaced by what looks most like it. */
export function foldedName(name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what breaks the lines.
  return name.replace(/;/g, ":").replace(/[\u0000-\u001f\u007f\u2028\u2029]/g, " ");
}

function* lines(profile: Profile, table: WeightTable): Generator<string> {
  const { tree } = profile;
  const names = profile.functions.name.map(foldedName);
  const path: number[] = [];
  for (const [comm, byNode] of weightByProcessName(profile, table)) {
    for (const [node, weight] of byNode) {
      const rounded = Math.round(weight);
      if (rounded === 0) continue;
      nodesLeafFirst(tree, node, path);
      let line = foldedName(comm);
      for (let i = path.length - 1; i >= 0; i--)
        line += `;${names[tree.func[path[i]!]!]!}${tree.inlined?.[path[i]!] ? "_[i]" : ""}`;
      yield `${line} ${rounded}\n`;
    }
  }
}

/** Process name -> node -> weight, ns: workers of one program become one stack. */
function weightByProcessName(profile: Profile, table: WeightTable): Map<string, Map<number, number>> {
  const result = new Map<string, Map<number, number>>();
  for (let row = 0; row < table.count; row++) {
    const comm = ownerOf(profile, table.thread[row]!).process;
    let byNode = result.get(comm);
    if (byNode === undefined) {
      byNode = new Map();
      result.set(comm, byNode);
    }
    const node = table.node[row]!;
    byNode.set(node, (byNode.get(node) ?? 0) + table.weightNs[row]!);
  }
  return result;
}
