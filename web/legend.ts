// The legend: one entry for each kind of frame that the source has.
import { FRAME_KINDS } from "../src/capture/binding.js";
import type { ReportDocument, ReportSource } from "../src/export/html/document.js";
import { el } from "./dom.js";
import { KIND_LABELS } from "./kinds.js";

/** Kinds that occur in a source. */
function kindsOf(report: ReportDocument, source: ReportSource): Set<number> {
  const { parent, func } = report.tree;
  const kinds = new Set<number>();
  const seen = new Uint8Array(parent.length);
  for (const leaf of source.node) {
    for (let node = leaf; node > 0 && seen[node] === 0; node = parent[node]!) {
      seen[node] = 1;
      kinds.add(report.functions.kind[func[node]!]!);
    }
  }
  return kinds;
}

/** The legend of a source. */
export function legend(report: ReportDocument, source: ReportSource): HTMLElement {
  const kinds = kindsOf(report, source);
  return el(
    "ul",
    { class: "legend", "aria-label": "Colours" },
    ...FRAME_KINDS.filter((_, index) => kinds.has(index)).map((kind) =>
      el("li", {}, el("span", { class: `swatch swatch-${kind}`, "aria-hidden": "true" }), KIND_LABELS[kind]),
    ),
  );
}
