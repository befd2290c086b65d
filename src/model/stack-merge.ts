// Turns stacks of frames into stacks of functions, and hangs those whose user half ended early below a visible
// "[truncated]", so that a flame graph does not pass half a stack off as a whole one.
import type { SourcePlace } from "../capture/binding.js";
import { isLibc, isThreadEntry } from "./entry-points.js";
import type { FrameTable } from "./frame-table.js";
import type { FrameTree } from "./frame-tree.js";
import type { FunctionInterner } from "./function-table.js";
import { FunctionTreeBuilder } from "./function-tree.js";
import { LineInterner } from "./line-table.js";
import { Variant } from "./weights.js";

export const TRUNCATED = "[truncated]";
export const USER_MISSING = "[user stack missing]";
export const UNKNOWN_STACK = "[unknown stack]";
export const OTHER = "[other]";
/** An inlined function whose debug information does not name it. */
const NAMELESS_INLINED = "[inlined function]";

/** How the user half of the path to a node stands. */
const User = { none: 0, whole: 1, truncated: 2, undecided: 3 } as const;

/** Where a sample's weight goes, and what its user half was. */
export interface MergedStack {
  readonly node: number;
  readonly user: "none" | "whole" | "truncated";
  readonly known: boolean;
}

export class StackMerger {
  readonly #frames: FrameTable;
  readonly #tree: FrameTree;
  readonly #functions: FunctionInterner;
  readonly #lines: LineInterner;
  readonly #out = new FunctionTreeBuilder();
  readonly #funcOfFrame: Uint32Array;
  /** Of frames with debug information: function and line of each place, outermost first. */
  readonly #placesOfFrame = new Map<number, readonly (readonly [func: number, line: number])[]>();
  /** By node of the frame tree: node of the function tree, and User code. */
  readonly #node: Uint32Array;
  readonly #user: Uint8Array;
  readonly #marked = new Map<string, number>();

  /** Merges the whole tree at once: call it when no more names can come. */
  constructor(frames: FrameTable, tree: FrameTree, functions: FunctionInterner, lines = new LineInterner()) {
    this.#frames = frames;
    this.#tree = tree;
    this.#functions = functions;
    this.#lines = lines;
    this.#funcOfFrame = new Uint32Array(frames.count);
    this.#node = new Uint32Array(tree.count);
    this.#user = new Uint8Array(tree.count);
    this.#mergeAll();
  }

  /** The node for a stack id and the Variant of its sample. */
  find(stack: number, variant: number): MergedStack {
    const missing = variant === Variant.userTruncated || variant === Variant.userMissing;
    if (stack === 0) return { node: missing ? this.#synthetic(USER_MISSING) : 0, user: "none", known: true };
    if (this.#tree.frame(stack) === 0)
      return { node: this.#synthetic(UNKNOWN_STACK), user: "none", known: false };
    const user = this.#user[stack]!;
    if (user === User.none) {
      if (!missing) return { node: this.#node[stack]!, user: "none", known: true };
      return { node: this.#below(USER_MISSING, stack), user: "none", known: true };
    }
    if (variant === Variant.userWhole) {
      // whoever walked it knows more than the names do
      const node = user === User.truncated ? this.#below(null, stack) : this.#node[stack]!;
      return { node, user: "whole", known: true };
    }
    if (user === User.truncated || user === User.undecided || variant === Variant.userTruncated) {
      const node = user === User.truncated ? this.#node[stack]! : this.#below(TRUNCATED, stack);
      return { node, user: "truncated", known: true };
    }
    return { node: this.#node[stack]!, user: "whole", known: true };
  }

  /** Node of the row that holds what found no room in the tables. */
  other(): number {
    return this.#synthetic(OTHER);
  }

  tree(): ReturnType<FunctionTreeBuilder["tree"]> {
    return this.#out.tree();
  }

  #mergeAll(): void {
    for (let id = 1; id < this.#tree.count; id++) {
      const frame = this.#tree.frame(id);
      if (frame === 0) {
        this.#node[id] = this.#synthetic(UNKNOWN_STACK);
        continue;
      }
      const parent = this.#tree.parent(id);
      const user = this.#userOf(frame, parent);
      this.#user[id] = user;
      // A truncated child of an undecided node cannot stay below its parent, which hangs on the plain root.
      let parentNode = this.#node[parent]!;
      if (user === User.truncated && parent === 0) parentNode = this.#synthetic(TRUNCATED);
      else if (user === User.truncated && this.#user[parent] === User.undecided)
        parentNode = this.#below(TRUNCATED, parent);
      this.#node[id] = this.#append(parentNode, frame);
    }
  }

  #userOf(frame: number, parent: number): number {
    const kind = this.#frames.kind(frame);
    const inKernel = kind === "kernel" || kind === "bpf";
    const above = this.#user[parent]!;
    if (parent !== 0 && above !== User.undecided) return above;
    if (inKernel) return parent === 0 ? User.none : User.truncated;
    const func = this.#func(frame);
    const named = this.#frames.name(frame) !== undefined;
    const libc = isLibc(this.#functions.module(func));
    if (named && kind === "user" && isThreadEntry(this.#functions.name(func))) return User.whole;
    if (!named && libc) return User.undecided;
    return parent !== 0 && !libc ? User.whole : User.truncated;
  }

  #func(frame: number): number {
    if (frame >= this.#funcOfFrame.length) return this.#functions.ofFrame(this.#frames, frame);
    let func = this.#funcOfFrame[frame]!;
    if (func === 0) {
      func = this.#functions.ofFrame(this.#frames, frame);
      this.#funcOfFrame[frame] = func;
    }
    return func;
  }

  /** The node of a frame below a node: the innermost of those of its inlined functions, where it has any. */
  #append(parent: number, frame: number): number {
    const places = this.#frames.places(frame);
    if (places === undefined) return this.#out.child(parent, this.#func(frame));
    let known = this.#placesOfFrame.get(frame);
    if (known === undefined) {
      known = this.#resolve(frame, places);
      this.#placesOfFrame.set(frame, known);
    }
    let node = parent;
    for (const [i, [func, line]] of known.entries()) node = this.#out.child(node, func, line, i > 0);
    return node;
  }

  #resolve(frame: number, places: readonly SourcePlace[]): (readonly [number, number])[] {
    const called = this.#func(frame);
    return places
      .map(({ function: name, file, line }, i) => {
        const func =
          i === places.length - 1
            ? called
            : this.#functions.inlinedInto(this.#frames, frame, name || NAMELESS_INLINED);
        return [func, this.#lines.intern(file, line)] as const;
      })
      .reverse();
  }

  #synthetic(name: string): number {
    return this.#out.child(0, this.#functions.synthetic(name));
  }

  /** The path to a stack, made again below a synthetic root; null: below the root itself. */
  #below(name: string | null, stack: number): number {
    const key = `${name ?? ""}${stack}`;
    const known = this.#marked.get(key);
    if (known !== undefined) return known;
    const path: number[] = [];
    for (let id = stack; id !== 0; id = this.#tree.parent(id)) path.push(this.#tree.frame(id));
    let node = name === null ? 0 : this.#synthetic(name);
    for (let i = path.length - 1; i >= 0; i--) {
      node = path[i] === 0 ? node : this.#append(node, path[i]!);
    }
    this.#marked.set(key, node);
    return node;
  }
}
