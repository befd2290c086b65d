// The prefix tree of stacks over frames, as the addon interned it: two columns by node id.
import type { StackColumns } from "../capture/binding.js";
import { MAX_ID } from "./frame-table.js";
import { grownUint32 } from "./growable.js";
import type { InvalidCounts } from "./invalid.js";

export class FrameTree {
  #count = 1; // node 0 is the root
  #parent = new Uint32Array(1024);
  #frame = new Uint32Array(1024); // 0 = no such node

  /** Highest node id + 1. */
  get count(): number {
    return this.#count;
  }

  /** parent < own id is what lets one pass in order rebuild the tree; a node that breaks it is left out and counted. */
  add(columns: StackColumns, invalid: InvalidCounts): void {
    const { firstId, parent, frame } = columns;
    const count = Math.min(columns.count, parent.length, frame.length);
    if (count < columns.count) invalid.add("columns");
    if (count === 0) return;
    const end = firstId + count;
    if (!(firstId >= 1 && end <= MAX_ID)) {
      invalid.add("stacks", count);
      return;
    }
    this.#parent = grownUint32(this.#parent, end);
    this.#frame = grownUint32(this.#frame, end);
    let broken = 0;
    for (let i = 0; i < count; i++) {
      const id = firstId + i;
      if (parent[i]! >= id || frame[i] === 0) {
        broken++;
        continue;
      }
      this.#parent[id] = parent[i]!;
      this.#frame[id] = frame[i]!;
    }
    invalid.add("stacks", broken);
    this.#count = Math.max(this.#count, end);
  }

  parent(node: number): number {
    return this.#parent[node]!;
  }

  /** Frame of a node; 0 for the root and for a node that the capture does not hold. */
  frame(node: number): number {
    return node < this.#count ? this.#frame[node]! : 0;
  }
}
