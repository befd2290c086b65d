// Functions: frames of one name, module and kind are one. A frame without a name is called by its file and offset,
// never by a bare address, which would mean nothing after the process is gone.
import type { FrameKind } from "../capture/binding.js";
import type { FrameTable } from "./frame-table.js";
import type { FunctionTable } from "./profile.js";

export const UNKNOWN_MODULE = "[unknown]";
/** Module of functions that lowflame inserts itself. */
export const SYNTHETIC_MODULE = "[lowflame]";

export class FunctionInterner {
  readonly #name: string[] = [""];
  readonly #module: string[] = [""];
  readonly #kind: FrameKind[] = ["unknown"];
  readonly #buildId: string[] = [""];
  /** Kind and module -> name -> id. Maps, since a symbol may be called __proto__. */
  readonly #ids = new Map<string, Map<string, number>>();

  intern(name: string, module: string, kind: FrameKind, buildId = ""): number {
    const outerKey = `${kind} ${module}`;
    let inner = this.#ids.get(outerKey);
    if (inner === undefined) {
      inner = new Map();
      this.#ids.set(outerKey, inner);
    }
    const known = inner.get(name);
    if (known !== undefined) {
      // Two builds under one path (containers): no build ID is better than the wrong one.
      if (this.#buildId[known] !== buildId) this.#buildId[known] = "";
      return known;
    }
    const id = this.#name.length;
    inner.set(name, id);
    this.#name.push(name);
    this.#module.push(module);
    this.#kind.push(kind);
    this.#buildId.push(buildId);
    return id;
  }

  /** A function that stands for something that is not code, e.g. "[truncated]". */
  synthetic(name: string): number {
    return this.intern(name, SYNTHETIC_MODULE, "unknown");
  }

  /** Function of a frame. */
  ofFrame(frames: FrameTable, frame: number): number {
    if (!frames.has(frame)) return this.intern(UNKNOWN_MODULE, UNKNOWN_MODULE, "unknown");
    const row = frames.module(frame);
    const module = row?.path || UNKNOWN_MODULE;
    const name = frames.name(frame) ?? namelessFrame(frames.kind(frame), module, frames.offset(frame));
    return this.intern(name, module, frames.kind(frame), row?.buildId ?? "");
  }

  /** A function whose code is part of a frame's. */
  inlinedInto(frames: FrameTable, frame: number, name: string): number {
    const row = frames.module(frame);
    return this.intern(name, row?.path || UNKNOWN_MODULE, frames.kind(frame), row?.buildId ?? "");
  }

  name(id: number): string {
    return this.#name[id]!;
  }
  module(id: number): string {
    return this.#module[id]!;
  }

  table(): FunctionTable {
    return {
      count: this.#name.length,
      name: this.#name,
      module: this.#module,
      kind: this.#kind,
      buildId: this.#buildId,
    };
  }
}

/**
 * What a frame without a name is called: `nginx+0x1f2e` (an offset in the file), `[kernel]+0xffffffff81000000` (the kernel
 * outlives the recording). Memory that is of no file has only an address, and one that means something in a single process
 * at a single time: `[jit]`, `[unknown]`.
 */
export function namelessFrame(kind: FrameKind, module: string, offset: bigint): string {
  if (kind === "jit" || (module === UNKNOWN_MODULE && kind !== "kernel")) return module;
  const base = module.slice(module.lastIndexOf("/") + 1) || UNKNOWN_MODULE;
  const where = kind === "kernel" && module === UNKNOWN_MODULE ? "[kernel]" : base;
  return `${where}+0x${offset.toString(16)}`;
}
