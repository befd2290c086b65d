// Functions: frames of one name, module and kind are one. A frame without a name is called by its file and offset,
// never by a bare address, which would mean nothing after the process is gone.
import type { FrameKind, ModuleRow } from "../capture/binding.js";
import type { FrameTable } from "./frame-table.js";
import { grownUint32 } from "./growable.js";
import { NamelessFunctions } from "./nameless-functions.js";
import type { FunctionTable } from "./profile.js";

export const UNKNOWN_MODULE = "[unknown]";
/** Module of functions that lowflame inserts itself. */
export const SYNTHETIC_MODULE = "[lowflame]";

/** The functions of one module and kind. */
interface Place {
  readonly index: number;
  readonly module: string;
  readonly kind: FrameKind;
  /** Name -> id. A Map, since a symbol may be called __proto__. */
  readonly ids: Map<string, number>;
  /** What stands before the offset in the name of a frame without one; null where that is called as its module. */
  readonly prefix: string | null;
}

/** An offset as the name of a nameless frame has it. */
const OFFSET = /^(?:0|[1-9a-f][0-9a-f]{0,15})$/;
const NO_BUILD_ID = 0;

export class FunctionInterner {
  // By id. Columns of numbers, and the names of nameless frames last: there may be millions, and each object costs.
  #count = 1;
  readonly #name: (string | undefined)[] = [""];
  #place: Uint32Array<ArrayBuffer>;
  #build: Uint32Array<ArrayBuffer>;

  readonly #places: Place[] = [];
  /** By kind and module. */
  readonly #placeIds = new Map<string, Place>();
  readonly #builds: string[] = [""];
  readonly #buildIds = new Map([["", NO_BUILD_ID]]);
  readonly #nameless: NamelessFunctions;
  /** Of the last frame that was asked for: frames of one file come one after the other. */
  #last: { row: ModuleRow | undefined; kind: FrameKind; place: Place; build: number };

  /** @param expected functions to make room for; there may be more */
  constructor(expected = 1024) {
    this.#place = new Uint32Array(expected + 1);
    this.#build = new Uint32Array(expected + 1);
    this.#nameless = new NamelessFunctions(expected);
    const place = this.#placeOf("", "unknown");
    this.#last = {
      row: undefined,
      kind: "unknown",
      place: this.#placeOf(UNKNOWN_MODULE, "unknown"),
      build: 0,
    };
    this.#place[0] = place.index;
  }

  intern(name: string, module: string, kind: FrameKind, buildId = ""): number {
    return this.#named(this.#placeOf(module, kind), name, this.#buildOf(buildId));
  }

  /** A function that stands for something that is not code, e.g. "[truncated]". */
  synthetic(name: string): number {
    return this.intern(name, SYNTHETIC_MODULE, "unknown");
  }

  /** Function of a frame. */
  ofFrame(frames: FrameTable, frame: number): number {
    if (!frames.has(frame)) return this.intern(UNKNOWN_MODULE, UNKNOWN_MODULE, "unknown");
    const row = frames.module(frame);
    const kind = frames.kind(frame);
    if (this.#last.row !== row || this.#last.kind !== kind) {
      const place = this.#placeOf(row?.path || UNKNOWN_MODULE, kind);
      this.#last = { row, kind, place, build: this.#buildOf(row?.buildId ?? "") };
    }
    const { place, build } = this.#last;
    const name = frames.name(frame);
    if (name !== undefined) return this.#named(place, name, build);
    if (place.prefix === null) return this.#named(place, place.module, build);
    return this.#atOffset(place, frames.offsetHigh(frame), frames.offsetLow(frame), build);
  }

  /** A function whose code is part of a frame's. */
  inlinedInto(frames: FrameTable, frame: number, name: string): number {
    const row = frames.module(frame);
    return this.intern(name, row?.path || UNKNOWN_MODULE, frames.kind(frame), row?.buildId ?? "");
  }

  /** Of a function that has been interned by its name. */
  name(id: number): string {
    return this.#name[id]!;
  }
  module(id: number): string {
    return this.#places[this.#place[id]!]!.module;
  }

  table(): FunctionTable {
    const count = this.#count;
    const name = this.#name;
    this.#nameless.eachName(
      (place) => this.#places[place]!.prefix!,
      (id, text) => {
        name[id] ??= text;
      },
    );
    const module = new Array<string>(count);
    const kind = new Array<FrameKind>(count);
    const buildId = new Array<string>(count);
    for (let id = 0; id < count; id++) {
      const place = this.#places[this.#place[id]!]!;
      module[id] = place.module;
      kind[id] = place.kind;
      buildId[id] = this.#builds[this.#build[id]!]!;
    }
    return { count, name: name as string[], module, kind, buildId };
  }

  #placeOf(module: string, kind: FrameKind): Place {
    const key = `${kind} ${module}`;
    const known = this.#placeIds.get(key);
    if (known !== undefined) return known;
    const index = this.#places.length;
    const place = {
      index,
      module,
      kind,
      ids: new Map<string, number>(),
      prefix: namelessPrefix(kind, module),
    };
    this.#places.push(place);
    this.#placeIds.set(key, place);
    return place;
  }

  #buildOf(buildId: string): number {
    const known = this.#buildIds.get(buildId);
    if (known !== undefined) return known;
    const index = this.#builds.push(buildId) - 1;
    this.#buildIds.set(buildId, index);
    return index;
  }

  #named(place: Place, name: string, build: number): number {
    const known = place.ids.get(name);
    if (known !== undefined) return this.#again(known, build);
    const id = this.#sameNameless(place, name, build) ?? this.#add(place, build);
    this.#name[id] = name;
    place.ids.set(name, id);
    return id;
  }

  /** A symbol may be called as a frame without a name is: then they are one. */
  #sameNameless(place: Place, name: string, build: number): number | undefined {
    if (place.prefix === null || !name.startsWith(place.prefix)) return undefined;
    const digits = name.slice(place.prefix.length);
    if (!OFFSET.test(digits)) return undefined;
    const high = Number.parseInt(digits.slice(0, -8) || "0", 16);
    return this.#atOffset(place, high, Number.parseInt(digits.slice(-8), 16), build);
  }

  /** By number: the names of millions are not looked up. */
  #atOffset(place: Place, high: number, low: number, build: number): number {
    const id = this.#nameless.intern(place.index, high, low, this.#count);
    return id === this.#count ? this.#add(place, build) : this.#again(id, build);
  }

  #again(id: number, build: number): number {
    // Two builds under one path (containers): no build ID is better than the wrong one.
    if (this.#build[id] !== build) this.#build[id] = NO_BUILD_ID;
    return id;
  }

  #add(place: Place, build: number): number {
    const id = this.#count++;
    if (id >= this.#place.length) {
      this.#place = grownUint32(this.#place, id + 1);
      this.#build = grownUint32(this.#build, id + 1);
    }
    this.#place[id] = place.index;
    this.#build[id] = build;
    this.#name.push(undefined);
    return id;
  }
}

/**
 * What a frame without a name is called before its offset: `nginx+0x1f2e` (an offset in the file), `[kernel]+0xffffffff81000000`
 * (the kernel outlives the recording). Memory that is of no file has only an address, and one that means something in a
 * single process at a single time: `[jit]`, `[unknown]`; then null.
 */
function namelessPrefix(kind: FrameKind, module: string): string | null {
  if (kind === "jit" || (module === UNKNOWN_MODULE && kind !== "kernel")) return null;
  const base = module.slice(module.lastIndexOf("/") + 1) || UNKNOWN_MODULE;
  return `${kind === "kernel" && module === UNKNOWN_MODULE ? "[kernel]" : base}+0x`;
}
