// The legend: one entry for each kind of frame that the source has.
import { FRAME_KINDS } from "../src/capture/binding.js";
import type { ReportDocument, ReportSource } from "../src/export/html/document.js";
import { el } from "./dom.js";
import { INLINED_LABEL, KIND_LABELS } from "./kinds.js";

/** Kinds that occur in a source, and whether anything is inlined there. */
function kindsOf(
  report: ReportDocument,
  source: ReportSource,
): { readonly kinds: ReadonlySet<number>; readonly inlined: boolean } {
  const { parent, func } = report.tree;
  const kinds = new Set<number>();
  let inlined = false;
  const seen = new Uint8Array(parent.length);
  for (const leaf of source.node) {
    for (let node = leaf; node > 0 && seen[node] === 0; node = parent[node]!) {
      seen[node] = 1;
      if (report.places?.inlined[node] === 1) inlined = true;
      kinds.add(report.functions.kind[func[node]!]!);
    }
  }
  return { kinds, inlined };
}

/** The legend of a source. */
export function legend(report: ReportDocument, source: ReportSource): HTMLElement {
  const { kinds, inlined } = kindsOf(report, source);
  const entry = (name: string, label: string): HTMLElement =>
    el("li", {}, el("span", { class: `swatch swatch-${name}`, "aria-hidden": "true" }), label);
  return el(
    "ul",
    { class: "legend", "aria-label": "Colours" },
    ...FRAME_KINDS.filter((_, index) => kinds.has(index)).map((kind) => entry(kind, KIND_LABELS[kind])),
    ...(inlined ? [entry("inlined", INLINED_LABEL)] : []),
  );
}
