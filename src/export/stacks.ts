// What the text and binary exports share: the rows of a source, and walks over the prefix tree without recursion.
import type { StackSource } from "../capture/sample-sources.js";
import type { Profile, StackTree, WeightTable } from "../model/profile.js";
import { contendedRows } from "./contended.js";

/** Weights of a source, of futexes those of locks only; undefined when it was not recorded or saw nothing. */
export function weightsOf(profile: Profile, source: StackSource): WeightTable | undefined {
  const found = profile.weights.find((table) => table.source === source);
  return found?.source === "futex" ? contendedRows(profile, found) : found;
}

/** Functions on the path to a node, leaf first, put into `out` (which is emptied): no allocation a row. */
export function functionsLeafFirst(tree: StackTree, node: number, out: number[]): void {
  out.length = 0;
  for (let id = node; id !== 0; id = tree.parent[id]!) out.push(tree.func[id]!);
}

/** Nodes on the path to a node, itself included, leaf first, put into `out` (which is emptied). */
export function nodesLeafFirst(tree: StackTree, node: number, out: number[]): void {
  out.length = 0;
  for (let id = node; id !== 0; id = tree.parent[id]!) out.push(id);
}

/** What lowflame's own process is called instead of its plain name ("node"), so that nobody takes it for a neighbour. */
export const OWN_PROCESS = "lowflame itself";

/** Thread and process of a row as the exports show them. */
export function ownerOf(profile: Profile, thread: number) {
  const row = profile.threads[thread];
  const process = row === undefined ? undefined : profile.processes[row.process];
  return {
    pid: process?.pid ?? -1,
    process: process?.self ? OWN_PROCESS : (process?.comm ?? "[unknown]"),
    tid: row?.tid ?? -1,
    comm: row?.comm ?? "[unknown]",
    self: process?.self ?? false,
  };
}

/** Joins pieces of text into UTF-8 without a JavaScript string of the whole (V8 allows 512 MiB, a profile may be more). */
export function utf8(chunks: Iterable<string>): Buffer {
  const parts: Buffer[] = [];
  for (const chunk of chunks) parts.push(Buffer.from(chunk, "utf8"));
  return Buffer.concat(parts);
}

/** Collects small strings into pieces of about 64 KiB. */
export function* inPieces(lines: Iterable<string>): Generator<string> {
  let piece = "";
  for (const line of lines) {
    piece += line;
    if (piece.length >= 1 << 16) {
      yield piece;
      piece = "";
    }
  }
  if (piece !== "") yield piece;
}
