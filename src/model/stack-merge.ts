// Turns stacks of frames into stacks of functions, and hangs those whose user half ended early below a visible
// "[truncated]", so that a flame graph does not pass half a stack off as a whole one.
import { BY_FRAME_POINTER, type SourcePlace, USER_STACK_ENDS } from "../capture/binding.js";
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

/**
 * How the user half of the path to a node stands, by the names on it. Likely: it begins in a stripped C library where that
 * calls into the program, as at a thread's first frame, or elsewhere (a comparison that sorting calls).
 */
const User = { none: 0, whole: 1, truncated: 2, undecided: 3, likely: 4 } as const;
const TOO_DEEP = USER_STACK_ENDS.indexOf("too deep");

/** Where a sample's weight goes, and what its user half was. */
export interface MergedStack {
  readonly node: number;
  readonly user: "none" | "whole" | "truncated";
  /** Of what is cut short: why, as an index into USER_STACK_ENDS; else, and where that is not known, -1. */
  readonly end: number;
  readonly known: boolean;
}

export class StackMerger {
  readonly #frames: FrameTable;
  readonly #tree: FrameTree;
  readonly #functions: FunctionInterner;
  readonly #lines: LineInterner;
  readonly #out: FunctionTreeBuilder;
  readonly #funcOfFrame: Uint32Array;
  /** Of frames with debug information: function and line of each place in turn, outermost first. */
  readonly #placesOfFrame = new Map<number, Uint32Array>();
  /** By node of the frame tree: node of the function tree, and User code. */
  readonly #node: Uint32Array;
  readonly #user: Uint8Array;
  /** Below which synthetic root, then by node of the frame tree: node of the function tree; 0 = not made. */
  readonly #marked = new Map<string | null, Uint32Array>();

  /** Merges the whole tree at once: call it when no more names can come. */
  constructor(frames: FrameTable, tree: FrameTree, functions: FunctionInterner, lines = new LineInterner()) {
    this.#frames = frames;
    this.#tree = tree;
    this.#functions = functions;
    this.#lines = lines;
    this.#out = new FunctionTreeBuilder(tree.count + (tree.count >> 2));
    this.#funcOfFrame = new Uint32Array(frames.count);
    this.#node = new Uint32Array(tree.count);
    this.#user = new Uint8Array(tree.count);
    this.#mergeAll();
  }

  /** The node for a stack id and the Variant of its sample. */
  find(stack: number, variant: number): MergedStack {
    const missing = variant === Variant.userTruncated || variant === Variant.userMissing;
    if (stack === 0) return none(missing ? this.#synthetic(USER_MISSING) : 0);
    if (this.#tree.frame(stack) === 0) return none(this.#synthetic(UNKNOWN_STACK), false);
    const user = this.#user[stack]!;
    if (user === User.none) return none(missing ? this.#below(USER_MISSING, stack) : this.#node[stack]!);
    // whoever walked it knows more than the names do
    if (variant === Variant.userWhole || isWhole(user, variant)) {
      const node = user === User.truncated ? this.#below(null, stack) : this.#node[stack]!;
      return { node, user: "whole", end: -1, known: true };
    }
    const node = user === User.truncated ? this.#node[stack]! : this.#below(TRUNCATED, stack);
    return { node, user: "truncated", end: endOf(variant), known: true };
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
    return parent !== 0 && !libc ? User.likely : User.truncated;
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
    for (let i = 0; i < known.length; i += 2) node = this.#out.child(node, known[i]!, known[i + 1]!, i > 0);
    return node;
  }

  #resolve(frame: number, places: readonly SourcePlace[]): Uint32Array {
    const called = this.#func(frame);
    const resolved = new Uint32Array(places.length * 2);
    for (const [i, { function: name, file, line }] of places.entries()) {
      const at = 2 * (places.length - 1 - i);
      resolved[at] =
        i === places.length - 1
          ? called
          : this.#functions.inlinedInto(this.#frames, frame, name || NAMELESS_INLINED);
      resolved[at + 1] = this.#lines.intern(file, line);
    }
    return resolved;
  }

  #synthetic(name: string): number {
    return this.#out.child(0, this.#functions.synthetic(name));
  }

  /** The path to a stack, made again below a synthetic root; null: below the root itself. */
  #below(name: string | null, stack: number): number {
    let marked = this.#marked.get(name);
    if (marked === undefined) {
      marked = new Uint32Array(this.#tree.count);
      this.#marked.set(name, marked);
    }
    const path: number[] = [];
    let id = stack;
    for (; id !== 0 && marked[id] === 0; id = this.#tree.parent(id)) path.push(id);
    let node = id !== 0 ? marked[id]! : name === null ? 0 : this.#synthetic(name);
    for (let i = path.length - 1; i >= 0; i--) {
      const frame = this.#tree.frame(path[i]!);
      if (frame !== 0) node = this.#append(node, frame);
      marked[path[i]!] = node;
    }
    return node;
  }
}

const none = (node: number, known = true): MergedStack => ({ node, user: "none", end: -1, known });

/**
 * Whether the names make a stack whole of which its walk does not say so. A thread's entry has no caller, however the walk
 * ended there, unless functions may be missing on the way to it; that it begins in the C library says so only where nobody had
 * tables: they would have told.
 */
function isWhole(user: number, variant: number): boolean {
  if (variant === Variant.userTruncated || BY_FRAME_POINTER.has(endOf(variant))) return false;
  return user === User.whole || (user === User.likely && variant < Variant.cut);
}

const endOf = (variant: number): number =>
  variant === Variant.userTruncated ? TOO_DEEP : variant > Variant.cut ? variant - Variant.cut : -1;
