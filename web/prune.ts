// What d3-flame-graph gets to draw: only frames that are wide enough to be seen at the current zoom. Everything else
// stays in the numbers of its parent.
import type { ViewTree } from "./view-tree.js";

/** One frame for d3-flame-graph. */
export interface DrawnFrame {
  /** Node of the view tree. */
  readonly node: number;
  readonly name: string;
  readonly value: number;
  readonly children: DrawnFrame[];
  /** True for the frames above the one that was zoomed into; d3-flame-graph changes it. */
  fade: boolean;
}

export interface Pruned {
  readonly root: DrawnFrame;
  readonly drawn: number;
  /** Frames that would have been wide enough, but are beyond `maxFrames`. */
  readonly omitted: number;
}

/** d3-flame-graph makes five DOM elements a frame: more than this, and painting takes seconds. */
export const MAX_DRAWN = 6000;

/** Nodes below `zoom` that are at least `least` heavy, parents before children. */
function candidates(tree: ViewTree, zoom: number, least: number): number[] {
  const nodes = [zoom];
  for (let index = 0; index < nodes.length; index++) {
    for (let child = tree.firstChild[nodes[index]!]!; child >= 0; child = tree.nextSibling[child]!) {
      if (tree.total[child]! >= least) nodes.push(child);
    }
  }
  return nodes;
}

/**
 * Frames to draw when zoomed into `zoom`: the way down to it at full width, and below it all that is at least
 * `minPx` wide, widest first.
 * @param widthPx width of the drawing
 */
export function prune(
  tree: ViewTree,
  zoom: number,
  widthPx: number,
  nameOf: (node: number) => string,
  minPx = 1,
  maxFrames = MAX_DRAWN,
): Pruned {
  const perPx = tree.total[zoom]! / Math.max(1, widthPx);
  const wide = candidates(tree, zoom, Math.max(perPx * minPx, Number.MIN_VALUE));
  // The sort is stable and no child is heavier than its parent, so what is kept hangs together.
  const kept = new Set(
    wide.length <= maxFrames
      ? wide
      : wide.toSorted((a, b) => tree.total[b]! - tree.total[a]!).slice(0, maxFrames),
  );
  const frame = (node: number, fade: boolean): DrawnFrame => ({
    node,
    name: nameOf(node),
    value: tree.total[node]!,
    children: [],
    fade,
  });
  const top = frame(zoom, false);
  let drawn = 1;
  const stack = [top];
  for (let above = stack.pop(); above !== undefined; above = stack.pop()) {
    for (let child = tree.firstChild[above.node]!; child >= 0; child = tree.nextSibling[child]!) {
      if (!kept.has(child)) continue;
      const below = frame(child, false);
      above.children.push(below);
      stack.push(below);
      drawn++;
    }
    above.children.sort((a, b) => b.value - a.value || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }
  let root = top;
  for (let node = tree.parent[zoom]!; node >= 0; node = tree.parent[node]!) {
    const above = frame(node, true);
    above.children.push(root);
    root = above;
    drawn++;
  }
  return { root, drawn, omitted: wide.length - kept.size };
}
