// Builds the prefix tree over functions: children are found by open addressing on (parent, function, site). A site is
// the source line that the code is of, and whether the function is inlined into its parent.
import { grownUint32 } from "./growable.js";
import type { StackTree } from "./profile.js";

export class FunctionTreeBuilder {
  #count = 1;
  #parent = new Uint32Array(1024);
  #func = new Uint32Array(1024);
  #site = new Uint32Array(1024); // line * 2 + inlined
  #sites = 0; // OR of all
  #slots = new Uint32Array(2048); // node, 0 = free (the root is nobody's child)

  /**
   * Node below `parent` for `func`; made when it is new.
   * @param line id in the profile's table of lines, 0 = not known
   */
  child(parent: number, func: number, line = 0, inlined = false): number {
    const site = line * 2 + (inlined ? 1 : 0);
    const mask = this.#slots.length - 1;
    let slot = hash(parent, func, site) & mask;
    for (;;) {
      const node = this.#slots[slot]!;
      if (node === 0) break;
      if (this.#parent[node] === parent && this.#func[node] === func && this.#site[node] === site)
        return node;
      slot = (slot + 1) & mask;
    }
    const node = this.#count++;
    this.#parent = grownUint32(this.#parent, this.#count);
    this.#func = grownUint32(this.#func, this.#count);
    this.#site = grownUint32(this.#site, this.#count);
    this.#parent[node] = parent;
    this.#func[node] = func;
    this.#site[node] = site;
    this.#sites |= site;
    this.#slots[slot] = node;
    if (this.#count * 2 > this.#slots.length) this.#rehash();
    return node;
  }

  tree(): StackTree {
    const site = this.#site.subarray(0, this.#count);
    return {
      count: this.#count,
      parent: this.#parent.slice(0, this.#count),
      func: this.#func.slice(0, this.#count),
      ...(this.#sites > 1 && { line: site.map((value) => value >>> 1) }),
      ...((this.#sites & 1) !== 0 && { inlined: Uint8Array.from(site, (value) => value & 1) }),
    };
  }

  #rehash(): void {
    const slots = new Uint32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let node = 1; node < this.#count; node++) {
      let slot = hash(this.#parent[node]!, this.#func[node]!, this.#site[node]!) & mask;
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
