// User stacks held against perf's: `perf record --call-graph dwarf` copies stacks and walks them by .eh_frame in user space,
// with code that shares nothing with ours. Both sample the same load at the same time.
import { describe, expect, test } from "vitest";
import { STACK_LOADS } from "../support/stack-loads.js";
import { compareShares, disagreements, topEnds } from "../support/stack-shape.js";
import { recordBoth } from "../support/unwind-oracle.js";

const SECONDS = 2.5;

// together they take more than a minute: a run of all checks has the first three, a run of this file all that are installed
const KINDS =
  process.env.CI === "true"
    ? (["nginx", "haproxy", "cxx"] as const)
    : (Object.keys(STACK_LOADS) as (keyof typeof STACK_LOADS)[]).filter((name) =>
        STACK_LOADS[name].isThere(),
      );

describe.each(KINDS)("%s", (name) => {
  const kind = STACK_LOADS[name];

  test("99 of 100 stacks are whole, and their functions are perf's", async () => {
    const load = await kind.start();
    try {
      const { ours, theirs, ends } = await recordBoth(load.pids, { seconds: SECONDS, ...dwarfOf(kind) });
      expect(ours.stacks).toBeGreaterThan(100);
      expect(theirs.whole).toBeGreaterThan(50);
      expect(theirs.whole / theirs.stacks, `the yardstick itself; ${topEnds(theirs)}`).toBeGreaterThan(0.9);
      expect(ours.whole / ours.stacks, `${ends}; ${topEnds(ours)}`).toBeGreaterThanOrEqual(0.99);
      const pairs = compareShares(ours, theirs, kind.only ? { only: kind.only } : {});
      expect(pairs.length).toBeGreaterThanOrEqual(5);
      expect(disagreements(pairs)).toEqual([]);
    } finally {
      await load.stop();
    }
  });
});

function dwarfOf(kind: { readonly dwarfBytes?: number }): { dwarfBytes?: number } {
  return kind.dwarfBytes === undefined ? {} : { dwarfBytes: kind.dwarfBytes };
}
