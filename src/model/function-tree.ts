// Builds the prefix tree over functions: children are found by open addressing on (parent, function, site). A site is
// the source line that the code is of, and whether the function is inlined into its parent.
import { grownUint32 } from "./growable.js";
import type { StackTree } from "./profile.js";

/** Parent, function, site, first child: of a node in one place, since they are looked at together. */
const WORDS = 4;
const FUNC = 1;
const SITE = 2;
const FIRST = 3;

export class FunctionTreeBuilder {
  #count = 1;
  #nodes: Uint32Array<ArrayBuffer>;
  #sites = 0; // OR of all
  /** Children but the first ones, of which most nodes have no more: those are found without a look into this memory. */
  #slots = new Uint32Array(2048); // node, 0 = free (the root is nobody's child)
  #used = 0;

  /** @param expected nodes to make room for; there may be more */
  constructor(expected = 1024) {
    this.#nodes = new Uint32Array(Math.max(expected, 1) * WORDS);
  }

  /**
   * Node below `parent` for `func`; made when it is new.
   * @param line id in the profile's table of lines, 0 = not known
   */
  child(parent: number, func: number, line = 0, inlined = false): number {
    const site = line * 2 + (inlined ? 1 : 0);
    const nodes = this.#nodes;
    const first = nodes[parent * WORDS + FIRST]!;
    if (first === 0) {
      const node = this.#add(parent, func, site);
      this.#nodes[parent * WORDS + FIRST] = node;
      return node;
    }
    if (nodes[first * WORDS + FUNC] === func && nodes[first * WORDS + SITE] === site) return first;
    const mask = this.#slots.length - 1;
    let slot = hash(parent, func, site) & mask;
    for (;;) {
      const node = this.#slots[slot]!;
      if (node === 0) break;
      const at = node * WORDS;
      if (nodes[at] === parent && nodes[at + FUNC] === func && nodes[at + SITE] === site) return node;
      slot = (slot + 1) & mask;
    }
    const node = this.#add(parent, func, site);
    this.#slots[slot] = node;
    if (++this.#used * 2 > this.#slots.length) this.#rehash();
    return node;
  }

  #add(parent: number, func: number, site: number): number {
    const node = this.#count++;
    const at = node * WORDS;
    if (at + WORDS > this.#nodes.length) this.#nodes = grownUint32(this.#nodes, at + WORDS);
    this.#nodes[at] = parent;
    this.#nodes[at + FUNC] = func;
    this.#nodes[at + SITE] = site;
    this.#sites |= site;
    return node;
  }

  tree(): StackTree {
    return {
      count: this.#count,
      parent: this.#column((at) => this.#nodes[at]!),
      func: this.#column((at) => this.#nodes[at + FUNC]!),
      ...(this.#sites > 1 && { line: this.#column((at) => this.#nodes[at + SITE]! >>> 1) }),
      ...((this.#sites & 1) !== 0 && {
        inlined: Uint8Array.from(this.#column((at) => this.#nodes[at + SITE]! & 1)),
      }),
    };
  }

  #column(valueAt: (at: number) => number): Uint32Array<ArrayBuffer> {
    const column = new Uint32Array(this.#count);
    for (let node = 0; node < column.length; node++) column[node] = valueAt(node * WORDS);
    return column;
  }

  #rehash(): void {
    const old = this.#slots;
    const slots = new Uint32Array(old.length * 2);
    const mask = slots.length - 1;
    const nodes = this.#nodes;
    for (const node of old) {
      if (node === 0) continue;
      const at = node * WORDS;
      let slot = hash(nodes[at]!, nodes[at + FUNC]!, nodes[at + SITE]!) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = node;
    }
    this.#slots = slots;
  }
}

function hash(parent: number, func: number, site: number): number {
  let h = Math.imul(parent, 0x9e3779b1) ^ Math.imul(func, 0x85ebca77) ^ Math.imul(site, 0xc2b2ae3d);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  return (h ^ (h >>> 13)) >>> 0;
}
