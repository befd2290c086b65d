// From rows to what is drawn: selection, tree, totals, pruning. All pure; the drawing is tested in Chromium.
import { describe, expect, test } from "vitest";
import { toDocument } from "../../src/export/html/from-profile.js";
import { foldedStack } from "../../web/folded.js";
import { functionNames, Labels } from "../../web/labels.js";
import { prune } from "../../web/prune.js";
import { defaultSelection, hiddenWeights, type Selection, selectRows } from "../../web/selection.js";
import { buildViewTree, type Grouping, pathTo, type ViewTree } from "../../web/view-tree.js";
import { functionTotals, searchSum } from "../../web/walk.js";
import { buildProfile } from "./helpers/build-profile.js";
import { FakeCapture, k, u } from "./helpers/fake-capture.js";

const MS = 1e6;

function example() {
  const capture = new FakeCapture();
  const one = capture.process(10, "nginx");
  const two = capture.process(11, "nginx");
  const helper = capture.thread(two.process, 12, "cache");
  const self = capture.process(99, "lowflame", { self: true });
  capture.cpu(one.thread, [u("main"), u("walk"), u("walk"), u("hash")], { weightNs: 4 * MS });
  capture.cpu(one.thread, [u("main"), u("walk")], { weightNs: 1 * MS });
  capture.cpu(two.thread, [u("main"), k("read")], { weightNs: 2 * MS });
  capture.cpu(helper, [u("main"), u("a;b"), u("constructor"), u("__proto__")], { weightNs: 3 * MS });
  capture.cpu(self.thread, [u("main"), k("poll")], { weightNs: 8 * MS });
  const report = toDocument(buildProfile(capture.events()), []);
  const source = report.sources[0]!;
  const tree = (selection: Partial<Selection> = {}, grouping: Grouping = "name"): ViewTree =>
    buildViewTree(
      report,
      source,
      selectRows(report, source, { ...defaultSelection(source), ...selection }),
      grouping,
    );
  const labels = (view: ViewTree): Labels => new Labels(report, functionNames(report), view);
  return { report, source, tree, labels };
}

function stacks({ tree, labels }: ReturnType<typeof example>, view: ViewTree = tree()): Map<string, number> {
  const names = labels(view);
  const result = new Map<string, number>();
  for (let node = 0; node < view.count; node++) {
    if (view.self[node]! > 0)
      result.set(
        pathTo(view, node)
          .map((at) => names.name(at))
          .join(";"),
        view.self[node]! / MS,
      );
  }
  return result;
}

describe("selection", () => {
  test("leaves out lowflame itself until it is chosen", () => {
    const data = example();
    expect(data.tree().total[0]).toBe(10 * MS);
    expect(data.tree({ process: { kind: "self" } }).total[0]).toBe(8 * MS);
    expect(data.tree({ process: { kind: "all" } }).total[0]).toBe(18 * MS);
    expect(hiddenWeights(data.report, data.source)).toEqual({ all: 18 * MS, self: 8 * MS, states: 0 });
  });

  test("by name, by process, by thread", () => {
    const data = example();
    expect(data.tree({ process: { kind: "comm", comm: "nginx" } }).total[0]).toBe(10 * MS);
    const process = data.report.processes.findIndex((row) => row.pid === 11);
    expect(data.tree({ process: { kind: "process", process } }).total[0]).toBe(5 * MS);
    expect(data.tree({ thread: { kind: "comm", comm: "cache" } }).total[0]).toBe(3 * MS);
    const thread = data.report.threads.findIndex((row) => row.tid === 10);
    expect(data.tree({ thread: { kind: "thread", thread } }).total[0]).toBe(5 * MS);
  });
});

describe("the view tree", () => {
  test("merges processes of one name, or keeps them apart", () => {
    const data = example();
    const groups = (grouping: Grouping): string[] => {
      const view = data.tree({}, grouping);
      const names = data.labels(view);
      return Array.from({ length: view.count }, (_, node) => node)
        .filter((node) => view.parent[node] === 0)
        .map((node) => names.name(node))
        .sort();
    };
    expect(groups("name")).toEqual(["nginx"]);
    expect(groups("process")).toEqual(["nginx (pid 10)", "nginx (pid 11)"]);
    expect(groups("thread")).toHaveLength(3);
    // The fake program has no thread entry point, so the model marks its stacks as cut.
    expect(groups("none")).not.toContain("nginx");
  });

  test("keeps every nanosecond under its stack", () => {
    const data = example();
    const sums = [...stacks(data).values()].reduce((sum, value) => sum + value, 0);
    expect(sums).toBe(10);
    const view = data.tree();
    for (let node = 0; node < view.count; node++) {
      let children = 0;
      for (let child = view.firstChild[node]!; child >= 0; child = view.nextSibling[child]!)
        children += view.total[child]!;
      expect(view.total[node]).toBe(view.self[node]! + children);
    }
  });

  test("totals by function count recursion once", () => {
    const data = example();
    const names = functionNames(data.report);
    const { self, total } = functionTotals(data.tree(), names.length);
    const walk = names.indexOf("walk");
    expect([self[walk], total[walk]]).toEqual([1 * MS, 5 * MS]);
    expect(total[names.indexOf("__proto__")]).toBe(3 * MS);
    expect(total[names.indexOf("main")]).toBe(10 * MS);
  });

  test("a search counts nested matches once in its weight", () => {
    const data = example();
    const view = data.tree();
    const names = data.labels(view);
    expect(searchSum(view, 0, (node) => names.name(node) === "walk")).toEqual({ frames: 2, weight: 5 * MS });
    expect(searchSum(view, 0, () => false)).toEqual({ frames: 0, weight: 0 });
  });

  test("a folded stack holds no separator that is part of a name", () => {
    const data = example();
    const view = data.tree();
    const names = data.labels(view);
    const leaf = Array.from({ length: view.count }, (_, node) => node).find(
      (node) => names.name(node) === "__proto__",
    )!;
    const text = foldedStack(view, leaf, (node) => names.name(node));
    expect(text).toMatch(/^nginx;.*main;a:b;constructor;__proto__ 3000000$/);
  });
});

/** A tree of one long chain with `twigs` thin children at its end. */
function comb(depth: number, twigs: number): ViewTree {
  const count = 1 + depth + twigs;
  const parent = Int32Array.from({ length: count }, (_, node) => (node <= depth ? node - 1 : depth));
  const self = Float64Array.from({ length: count }, (_, node) => (node > depth ? 1 : 0));
  const total = Float64Array.from({ length: count }, (_, node) => (node > depth ? 1 : twigs));
  const firstChild = Int32Array.from({ length: count }, (_, node) => (node <= depth ? node + 1 : -1));
  const nextSibling = Int32Array.from({ length: count }, (_, node) =>
    node > depth && node + 1 < count ? node + 1 : -1,
  );
  const [func, source] = [new Int32Array(count), new Int32Array(count)];
  return { count, parent, func, source, self, total, firstChild, nextSibling, groups: [] };
}

function drawnNodes(root: { node: number; children: readonly unknown[] }): number {
  let count = 0;
  const stack = [root];
  for (let frame = stack.pop(); frame; frame = stack.pop()) {
    count++;
    stack.push(...(frame.children as (typeof root)[]));
  }
  return count;
}

describe("pruning", () => {
  test("hands over what is at least a pixel wide, however deep", () => {
    const view = comb(400, 1000);
    const wide = prune(view, 0, 1000, String);
    expect(wide.drawn).toBe(1401);
    expect(drawnNodes(wide.root)).toBe(1401);
    const narrow = prune(view, 0, 999, String);
    expect(narrow.drawn).toBe(401);
    expect(narrow.root.value).toBe(1000);
  });

  test("zoomed, the way down is kept and marked as above", () => {
    const view = comb(5, 10);
    const zoomed = prune(view, 3, 1000, String);
    const names: string[] = [];
    for (let frame = zoomed.root; ; frame = frame.children[0]!) {
      names.push(`${frame.name}${frame.fade ? " above" : ""}`);
      if (!frame.fade) break;
    }
    expect(names).toEqual(["0 above", "1 above", "2 above", "3"]);
  });

  test("never more than the limit, in one piece, and says how many it left out", () => {
    const view = comb(50, 500);
    const limited = prune(view, 0, 10_000, String, 1, 100);
    expect(limited.drawn).toBe(100);
    expect(drawnNodes(limited.root)).toBe(100);
    expect(limited.omitted).toBe(551 - 100);
    // All of one chain equally wide: the limit cuts its end, not its middle.
    expect(drawnNodes(prune(comb(300, 1), 0, 1000, String, 1, 100).root)).toBe(100);
  });
});
