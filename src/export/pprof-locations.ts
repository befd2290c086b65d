// Locations of a pprof file: one for each frame of a stack, with a line for each function that is inlined there, the
// innermost first, as the format has it. Without debug information a location is a function.
import type { Profile, WeightTable } from "../model/profile.js";

export interface PprofFunction {
  readonly id: number;
  readonly name: string;
  /** Of the source; of the module where no line is known. */
  readonly file: string;
}

export interface PprofLocation {
  readonly id: number;
  readonly module: string;
  readonly buildId: string;
  /** Line 0: not known. */
  readonly lines: readonly { readonly function: number; readonly line: number }[];
}

/** Functions and locations that the stacks of one table go through; ids are dense enough, from 1. */
export class PprofLocations {
  readonly functions: PprofFunction[] = [];
  readonly locations: PprofLocation[] = [];
  readonly #profile: Profile;
  /** Key of a location -> its id. Those of one function without lines have the function's id. */
  readonly #byKey = new Map<string, number>();
  readonly #functionIds = new Map<string, number>();
  /** By node: id of the location whose innermost function it is; 0 = not yet made. */
  readonly #ofNode: Uint32Array;
  #nextLocation: number;
  #nextFunction: number;

  constructor(profile: Profile, table: WeightTable) {
    this.#profile = profile;
    this.#ofNode = new Uint32Array(profile.tree.count);
    this.#nextLocation = this.#nextFunction = profile.functions.count;
    const path: number[] = [];
    for (let row = 0; row < table.count; row++) this.leafFirst(table.node[row]!, path);
    this.functions.sort((a, b) => a.id - b.id);
    this.locations.sort((a, b) => a.id - b.id);
  }

  /** Ids of the locations on the path to a node, put into `out` (which is emptied). */
  leafFirst(node: number, out: number[]): void {
    out.length = 0;
    const { parent } = this.#profile.tree;
    for (let id = node; id !== 0; id = parent[this.#called(id)]!) {
      const known = this.#ofNode[id]!;
      if (known === 0) this.#ofNode[id] = this.#make(id);
      out.push(this.#ofNode[id]!);
    }
  }

  /** The node of the function that was called, at or above a node. */
  #called(node: number): number {
    const { parent, inlined } = this.#profile.tree;
    let id = node;
    while (inlined?.[id] === 1 && parent[id] !== 0) id = parent[id]!;
    return id;
  }

  #make(innermost: number): number {
    const { tree, functions, lines } = this.#profile;
    const last = this.#called(innermost);
    const nodes: number[] = [];
    for (let id = innermost; id !== last; id = tree.parent[id]!) nodes.push(id);
    nodes.push(last);
    const key = nodes.map((id) => `${tree.func[id]!}:${tree.line?.[id] ?? 0}`).join();
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const func = tree.func[last]!;
    const plain = nodes.length === 1 && (tree.line?.[last] ?? 0) === 0;
    const id = plain ? func : this.#nextLocation++;
    this.#byKey.set(key, id);
    this.locations.push({
      id,
      module: functions.module[func]!,
      buildId: functions.buildId?.[func] ?? "",
      lines: nodes.map((each) => {
        const line = tree.line?.[each] ?? 0;
        const file = line === 0 ? "" : lines!.file[line]!;
        return { function: this.#functionOf(tree.func[each]!, file), line: lines?.line[line] ?? 0 };
      }),
    });
    return id;
  }

  #functionOf(func: number, file: string): number {
    const key = `${func}:${file}`;
    const known = this.#functionIds.get(key);
    if (known !== undefined) return known;
    const { functions } = this.#profile;
    const id = file === "" ? func : this.#nextFunction++;
    this.#functionIds.set(key, id);
    this.functions.push({ id, name: functions.name[func]!, file: file || functions.module[func]! });
    return id;
  }
}
