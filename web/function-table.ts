// The table of functions of what is shown: self and total time, to be sorted, filtered, and clicked.

import { FRAME_KINDS } from "../src/capture/binding.js";
import type { ReportDocument } from "../src/export/html/document.js";
import { type Cell, DataTable } from "./data-table.js";
import { el } from "./dom.js";
import { matchAll, parseSearch } from "./search.js";
import { duration, percent } from "./text.js";
import type { ViewTree } from "./view-tree.js";
import { functionTotals } from "./walk.js";

/** The table with its filter box; `onPick` gets the name of the function that was clicked. */
export class FunctionTable {
  readonly element: HTMLElement;
  readonly #table: DataTable;
  readonly #filter = el("input", {
    type: "search",
    placeholder: "Filter functions",
    "aria-label": "Filter functions",
  });
  #rows: (readonly Cell[])[] = [];

  constructor(
    readonly report: ReportDocument,
    readonly names: readonly string[],
    onPick: (name: string) => void,
  ) {
    const time = (cell: Cell): string => duration(Number(cell));
    const share = (cell: Cell): string => percent(Number(cell));
    this.#table = new DataTable({
      caption: "Functions",
      columns: [
        { title: "Function", numeric: false },
        { title: "Self", numeric: true, format: time },
        { title: "Self %", numeric: true, format: share },
        { title: "Total", numeric: true, format: time },
        { title: "Total %", numeric: true, format: share },
        { title: "Kind", numeric: false },
        { title: "Module", numeric: false },
      ],
      sortBy: 1,
      portion: 50,
      onRow: (row) => onPick(String(row[0])),
      rowHint: "Highlight it in the graph",
      empty: "No function matches.",
    });
    this.#filter.addEventListener("input", () => this.#show());
    this.element = el("section", { class: "functions" }, this.#filter, this.#table.element);
  }

  /** Takes the numbers of another tree. */
  show(tree: ViewTree): void {
    const { functions, strings } = this.report;
    const { self, total } = functionTotals(tree, functions.name.length);
    const all = tree.total[0]! || 1;
    this.#rows = [];
    for (let index = 1; index < total.length; index++) {
      if (total[index]! <= 0) continue;
      this.#rows.push([
        this.names[index]!,
        self[index]!,
        self[index]! / all,
        total[index]!,
        total[index]! / all,
        FRAME_KINDS[functions.kind[index]!] ?? "unknown",
        strings[functions.module[index]!] ?? "",
      ]);
    }
    // The table sorts by self time and keeps this order among equals: most functions have none.
    this.#rows.sort((a, b) => Number(b[3]) - Number(a[3]));
    this.#show();
  }

  #show(): void {
    const texts = this.#rows.map((row) => `${row[0]} ${row[6]}`);
    const search = parseSearch(this.#filter.value, texts);
    if (search.kind === "none") this.#table.setRows(this.#rows);
    else if (search.kind === "error") this.#table.setRows([]);
    else {
      const matches = matchAll(texts, search.matches);
      this.#table.setRows(this.#rows.filter((_, index) => matches[index] === 1));
    }
  }
}
