// The tree of what is selected, in columns: a root, one node a group (process or thread), and the functions below.
// Plain arrays, so that hundreds of thousands of nodes cost milliseconds; objects are made only for what is drawn.
import type { ReportDocument, ReportSource } from "../src/export/html/document.js";

export const GROUPINGS = ["name", "process", "thread", "none"] as const;
/** First level of the tree: processes of one name together, single processes, single threads, or functions at once. */
export type Grouping = (typeof GROUPINGS)[number];

export interface ViewTree {
  /** Node 0 is the root; parent < node; parent of the root is -1. */
  readonly count: number;
  readonly parent: Int32Array;
  /** Index of a function, or -1 - group for a group, or -1 - groups.length for the root. */
  readonly func: Int32Array;
  /** Node of the report's tree, 0 for groups and the root. */
  readonly source: Int32Array;
  readonly self: Float64Array;
  /** Self and everything below. */
  readonly total: Float64Array;
  readonly firstChild: Int32Array;
  /** Next child of the same parent, -1 = last. */
  readonly nextSibling: Int32Array;
  /** Labels of groups. */
  readonly groups: readonly string[];
}

/** Index of the group that a node stands for, or -1 when it is a function or the root. */
export function groupOf(tree: ViewTree, node: number): number {
  const func = tree.func[node]!;
  return func < 0 && node !== 0 ? -1 - func : -1;
}

/** How a process is called in lists and in the graph. */
export function processLabel(process: ReportDocument["processes"][number]): string {
  if (process.self) return "lowflame itself";
  if (process.pid === 0) return "interrupts on idle CPUs";
  return process.comm === "" ? "(no name)" : process.comm;
}

function groupLabels(document: ReportDocument, grouping: Grouping): { of: Int32Array; labels: string[] } {
  const labels: string[] = [];
  const ids = new Map<string, number>();
  const of = Int32Array.from(document.threads, (thread, index) => {
    const process = document.processes[thread.process]!;
    const name = processLabel(process);
    const pid = process.pid > 0 ? ` (pid ${process.pid})` : "";
    const key = grouping === "name" ? name : grouping === "process" ? `p${thread.process}` : `t${index}`;
    const known = ids.get(key);
    if (known !== undefined) return known;
    ids.set(key, labels.length);
    labels.push(
      grouping === "name"
        ? name
        : grouping === "process"
          ? `${name}${pid}`
          : `${name}${pid} / ${thread.comm} (tid ${thread.tid})`,
    );
    return labels.length - 1;
  });
  return { of, labels };
}

/** A column that doubles when full. */
class Column {
  data = new Int32Array(1024);
  push(at: number, value: number): void {
    if (at === this.data.length) {
      const larger = new Int32Array(this.data.length * 2);
      larger.set(this.data);
      this.data = larger;
    }
    this.data[at] = value;
  }
}

/** Rows in order of their group, by counting. */
function rowsByGroup(rows: Uint32Array, group: (row: number) => number, groups: number): Uint32Array {
  const start = new Uint32Array(groups + 1);
  for (const row of rows) start[group(row) + 1]!++;
  for (let index = 0; index < groups; index++) start[index + 1]! += start[index]!;
  const sorted = new Uint32Array(rows.length);
  for (const row of rows) sorted[start[group(row)]!++] = row;
  return sorted;
}

/**
 * Builds the tree of the given rows of a source.
 * @param rows indexes into the source's columns
 */
export function buildViewTree(
  document: ReportDocument,
  source: ReportSource,
  rows: Uint32Array,
  grouping: Grouping,
): ViewTree {
  const { parent: baseParent, func: baseFunc } = document.tree;
  const grouped = grouping !== "none";
  const { of, labels } = grouped
    ? groupLabels(document, grouping)
    : { of: new Int32Array(document.threads.length), labels: [] as string[] };
  const groupOfRow = (row: number): number => of[source.thread[row]!]!;

  const parent = new Column();
  const func = new Column();
  const origin = new Column();
  parent.push(0, -1);
  func.push(0, -1 - labels.length);
  let count = 1;
  const leaf = new Int32Array(rows.length);
  const ordered = rowsByGroup(rows, groupOfRow, Math.max(1, labels.length));

  // Where a node of the document stands in this tree: valid while `stamp` holds the current group.
  const at = new Int32Array(baseParent.length);
  const stamp = new Int32Array(baseParent.length).fill(-1);
  const path: number[] = [];
  let group = -1;
  for (let index = 0; index < ordered.length; index++) {
    const row = ordered[index]!;
    if (groupOfRow(row) !== group) {
      group = groupOfRow(row);
      stamp[0] = group;
      at[0] = 0;
      if (grouped) {
        parent.push(count, 0);
        func.push(count, -1 - group);
        origin.push(count, 0);
        at[0] = count++;
      }
    }
    let node = source.node[row]!;
    while (stamp[node] !== group) {
      path.push(node);
      node = baseParent[node]!;
    }
    for (let next = path.pop(); next !== undefined; next = path.pop()) {
      parent.push(count, at[baseParent[next]!]!);
      func.push(count, baseFunc[next]!);
      origin.push(count, next);
      stamp[next] = group;
      at[next] = count++;
    }
    leaf[index] = at[source.node[row]!]!;
  }

  const self = new Float64Array(count);
  for (let index = 0; index < ordered.length; index++) self[leaf[index]!]! += source.weight[ordered[index]!]!;
  const total = self.slice();
  const firstChild = new Int32Array(count).fill(-1);
  const nextSibling = new Int32Array(count).fill(-1);
  for (let node = count - 1; node > 0; node--) {
    const above = parent.data[node]!;
    total[above]! += total[node]!;
    nextSibling[node] = firstChild[above]!;
    firstChild[above] = node;
  }
  return {
    count,
    parent: parent.data.slice(0, count),
    func: func.data.slice(0, count),
    source: origin.data.slice(0, count),
    self,
    total,
    firstChild,
    nextSibling,
    groups: labels,
  };
}

/** Nodes from below the root down to `node`. */
export function pathTo(tree: ViewTree, node: number): number[] {
  const path: number[] = [];
  for (let at = node; at > 0; at = tree.parent[at]!) path.push(at);
  return path.reverse();
}
