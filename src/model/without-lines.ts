// The same profile with one node a function below each caller, whatever lines its samples are of: for pictures and
// texts that show functions. Inlined functions stay apart from called ones.
import { FunctionTreeBuilder } from "./function-tree.js";
import type { Profile } from "./profile.js";

export interface WithoutLines {
  readonly profile: Profile;
  /** By node of the given profile: node of this one. */
  readonly nodeOf: (node: number) => number;
}

const known = new WeakMap<Profile, WithoutLines>();

/** The given profile itself where no line is known. */
export function withoutLines(profile: Profile): WithoutLines {
  const result = known.get(profile) ?? merge(profile);
  known.set(profile, result);
  return result;
}

function merge(profile: Profile): WithoutLines {
  const { tree } = profile;
  if (tree.line === undefined) return { profile, nodeOf: (node) => node };
  const builder = new FunctionTreeBuilder();
  const merged = new Uint32Array(tree.count);
  for (let node = 1; node < tree.count; node++)
    merged[node] = builder.child(
      merged[tree.parent[node]!]!,
      tree.func[node]!,
      0,
      tree.inlined?.[node] === 1,
    );
  const nodeOf = (node: number): number => merged[node] ?? 0;
  const moved = <Row extends { readonly node: number }>(row: Row): Row => ({
    ...row,
    node: nodeOf(row.node),
  });
  return {
    profile: {
      ...profile,
      tree: builder.tree(),
      weights: profile.weights.map((table) => ({ ...table, node: table.node.map(nodeOf) })),
      calls: profile.calls.map(moved),
      spins: profile.spins.map(moved),
      heldLocks: profile.heldLocks.map((held) => ({ ...held, cpu: held.cpu?.map(moved) ?? null })),
    },
    nodeOf,
  };
}
