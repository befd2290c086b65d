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
    return func < 0 ? "group" : (FRAME_KINDS[this.report.functions.kind[func]!] ?? "unknown");
  }

  kindLabel(node: number): string {
    const kind = this.kind(node);
    if (kind !== "group") return KIND_LABELS[kind];
    return node === 0 ? "everything shown" : "process or thread";
  }
}
