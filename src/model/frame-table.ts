// Frames, modules and names as they stream in: columns by id, names filled in whenever they come.
import {
  FRAME_KINDS,
  type FrameColumns,
  type FrameKind,
  type ModuleRow,
  type NameRow,
  type SourcePlace,
  type SourceRow,
} from "../capture/binding.js";
import { grownBigUint64, grownUint8, grownUint32 } from "./growable.js";
import type { InvalidCounts } from "./invalid.js";

/** Highest id accepted of any table: ids are dense, so a larger one is damage, and must not cost gigabytes. */
export const MAX_ID = 1 << 24;

/** In place of a name: where in its file the function begins. All of its frames are told by it, and so are one function. */
const FUNCTION_BEGIN = /^\+0x[0-9a-f]{1,16}$/;

const ABSENT = 255;
const UNKNOWN = FRAME_KINDS.indexOf("unknown");

export class FrameTable {
  #count = 1; // frame 0 is never used
  #module = new Uint32Array(1024);
  #offset = new BigUint64Array(1024);
  /** The same memory, low half first (x86-64): to read it makes no bigint. */
  #offsetHalves = new Uint32Array(this.#offset.buffer);
  #kind = new Uint8Array(1024).fill(ABSENT);
  readonly #names: (string | undefined)[] = [];
  readonly #places: (readonly SourcePlace[] | undefined)[] = [];
  /** Each path once: thousands of frames are of one file, and come with a copy each. */
  readonly #paths = new Map<string, string>();
  readonly #modules: (ModuleRow | undefined)[] = [];

  /** Highest frame id + 1. */
  get count(): number {
    return this.#count;
  }

  addModules(rows: readonly ModuleRow[], invalid: InvalidCounts): void {
    for (const row of rows) {
      if (row.id >= 0 && row.id <= MAX_ID) this.#modules[row.id] = row;
      else invalid.add("frames");
    }
  }

  addFrames(columns: FrameColumns, invalid: InvalidCounts): void {
    const { firstId, module, offset, kind } = columns;
    const count = Math.min(columns.count, module.length, offset.length, kind.length);
    if (count < columns.count) invalid.add("columns");
    const end = firstId + count;
    if (count === 0) return;
    if (!(firstId >= 1 && end <= MAX_ID)) {
      invalid.add("frames", count);
      return;
    }
    if (end > this.#kind.length) {
      const old = this.#kind.length;
      this.#module = grownUint32(this.#module, end);
      this.#offset = grownBigUint64(this.#offset, end);
      this.#offsetHalves = new Uint32Array(this.#offset.buffer);
      this.#kind = grownUint8(this.#kind, end).fill(ABSENT, old);
    }
    this.#module.set(module.subarray(0, count), firstId);
    this.#offset.set(offset.subarray(0, count), firstId);
    for (let i = 0; i < count; i++) {
      const code = kind[i]!;
      this.#kind[firstId + i] = code < FRAME_KINDS.length ? code : UNKNOWN;
    }
    this.#count = Math.max(this.#count, end);
  }

  addNames(rows: readonly NameRow[], invalid: InvalidCounts): void {
    for (const { frame, name } of rows) {
      if (!this.has(frame)) invalid.add("names");
      else if (FUNCTION_BEGIN.test(name)) this.#offset[frame] = BigInt(name.slice(1));
      else this.#names[frame] = name;
    }
  }

  addSources(rows: readonly SourceRow[], invalid: InvalidCounts): void {
    for (const { frame, places } of rows) {
      if (!this.has(frame)) invalid.add("sources");
      else if (places.length > 0)
        this.#places[frame] = places.map((place) => ({ ...place, file: this.#path(place.file) }));
    }
  }

  has(frame: number): boolean {
    return frame > 0 && frame < this.#count && this.#kind[frame] !== ABSENT;
  }

  kind(frame: number): FrameKind {
    return FRAME_KINDS[this.#kind[frame]!] ?? "unknown";
  }

  /** The name found, or undefined when none was sent or none exists. */
  name(frame: number): string | undefined {
    return this.#names[frame] || this.#places[frame]?.at(-1)?.function || undefined;
  }

  /** Where its code came from, innermost function first, the called one last; undefined without debug information. */
  places(frame: number): readonly SourcePlace[] | undefined {
    return this.#places[frame];
  }

  /** Upper 32 bits of its offset (of its address, where it is of no file). */
  offsetHigh(frame: number): number {
    return this.#offsetHalves[2 * frame + 1]!;
  }
  offsetLow(frame: number): number {
    return this.#offsetHalves[2 * frame]!;
  }

  /** Undefined where the capture does not hold the module's row. */
  module(frame: number): ModuleRow | undefined {
    return this.#modules[this.#module[frame]!];
  }

  #path(file: string): string {
    const known = this.#paths.get(file);
    if (known !== undefined) return known;
    this.#paths.set(file, file);
    return file;
  }
}
