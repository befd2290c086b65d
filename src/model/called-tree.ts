// The tree with called functions only: the code of an inlined function counts as that of the function it is a part of.
// Findings are made of these. Which of a dozen small functions the compiler has put into one another says less than
// who was called, and a finding must not change its culprit with the debug information that is installed.
import type { Profile, StackTree } from "./profile.js";

const known = new WeakMap<StackTree, StackTree>();

/** Nodes keep their ids: that of an inlined function stands for its caller once more. The tree itself where nothing is inlined. */
export function calledTree({ tree }: Pick<Profile, "tree">): StackTree {
  const { inlined, ...rest } = tree;
  if (inlined === undefined) return tree;
  let called = known.get(tree);
  if (called === undefined) {
    const func = tree.func.slice();
    for (let node = 1; node < tree.count; node++)
      if (inlined[node] === 1) func[node] = func[tree.parent[node]!]!;
    called = { ...rest, func };
    known.set(tree, called);
  }
  return called;
}
