// Walks of the view tree that need the way from the root: totals by function without counting recursion twice, and
// the weight of what a search matches. No recursion in the code: stacks may be thousands of frames deep.
import type { ViewTree } from "./view-tree.js";

/** Calls `enter` on the way down and `leave` on the way up, from `root`, children in order. */
export function walk(
  tree: ViewTree,
  root: number,
  enter: (node: number) => void,
  leave: (node: number) => void,
): void {
  let node = root;
  enter(node);
  for (;;) {
    const child = tree.firstChild[node]!;
    if (child >= 0) {
      node = child;
      enter(node);
      continue;
    }
    leave(node);
    while (node !== root && tree.nextSibling[node]! < 0) {
      node = tree.parent[node]!;
      leave(node);
    }
    if (node === root) return;
    node = tree.nextSibling[node]!;
    enter(node);
  }
}

export interface FunctionTotals {
  /** Time in the function itself, by function index. */
  readonly self: Float64Array;
  /** Time in it and in what it called; a recursive function counts once. */
  readonly total: Float64Array;
}

/** Self and total time of every function of the tree. */
export function functionTotals(tree: ViewTree, functions: number): FunctionTotals {
  const self = new Float64Array(functions);
  const total = new Float64Array(functions);
  const open = new Int32Array(functions);
  walk(
    tree,
    0,
    (node) => {
      const func = tree.func[node]!;
      if (func < 0) return;
      self[func]! += tree.self[node]!;
      if (open[func]!++ === 0) total[func]! += tree.total[node]!;
    },
    (node) => {
      const func = tree.func[node]!;
      if (func >= 0) open[func]!--;
    },
  );
  return { self, total };
}

export interface SearchSum {
  /** Frames of the tree that match. */
  readonly frames: number;
  /** Weight below the topmost match of each stack: nothing counts twice. */
  readonly weight: number;
}

/** Number and weight of the frames for which `matches` holds, below `root`. */
export function searchSum(tree: ViewTree, root: number, matches: (node: number) => boolean): SearchSum {
  let frames = 0;
  let weight = 0;
  let inside = 0;
  walk(
    tree,
    root,
    (node) => {
      if (!matches(node)) return;
      frames++;
      if (inside++ === 0) weight += tree.total[node]!;
    },
    (node) => {
      if (matches(node)) inside--;
    },
  );
  return { frames, weight };
}
