// What a node of the view tree is called, where it comes from and of which kind it is.
import { FRAME_KINDS } from "../src/capture/binding.js";
import type { ReportDocument } from "../src/export/html/document.js";
import { type ColourName, KIND_LABELS } from "./kinds.js";
import { groupOf, type ViewTree } from "./view-tree.js";

/** Names of all functions of a report, by function index; made once. */
export function functionNames(report: ReportDocument): string[] {
  const { strings, functions } = report;
  return Array.from(functions.name, (id, index) => {
    const name = strings[id] ?? "";
    return name !== ""
      ? name
      : index === 0
        ? ""
        : `[no name] ${strings[functions.module[index]!] ?? ""}`.trim();
  });
}

/** Answers for one view tree. */
export class Labels {
  constructor(
    readonly report: ReportDocument,
    readonly names: readonly string[],
    readonly tree: ViewTree,
  ) {}

  name(node: number): string {
    if (node === 0) return "all";
    const group = groupOf(this.tree, node);
    return group >= 0 ? this.tree.groups[group]! : (this.names[this.tree.func[node]!] ?? "");
  }

  module(node: number): string {
    const func = this.tree.func[node]!;
    return func < 0 ? "" : (this.report.strings[this.report.functions.module[func]!] ?? "");
  }

  kind(node: number): ColourName {
    const func = this.tree.func[node]!;
    if (this.report.places?.inlined[this.tree.source[node]!] === 1) return "inlined";
    return func < 0 ? "group" : (FRAME_KINDS[this.report.functions.kind[func]!] ?? "unknown");
  }

  /** File and line that most of the node's time is of, "" where none is known. */
  place(node: number): string {
    const { places, strings } = this.report;
    const source = this.tree.source[node]!;
    const place = places?.place[source] ?? 0;
    if (places === null || place === 0) return "";
    const line = places.line[place]!;
    const count = places.lines[source]!;
    const where = `${strings[places.file[place]!]!}${line > 0 ? `:${line}` : ""}`;
    return count > 1 ? `${where}, with the most time of ${count} lines` : where;
  }

  kindLabel(node: number): string {
    const kind = this.kind(node);
    if (kind === "inlined") return `inlined into ${this.name(this.tree.parent[node]!)}`;
    if (kind !== "group") return KIND_LABELS[kind];
    return node === 0 ? "everything shown" : "process or thread";
  }
}
