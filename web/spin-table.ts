// Descriptors that a program asks over and over although there is nothing to be had, and the stacks of a few such calls.
import type { SpinningDescriptor } from "../src/analysis/socket-spin.js";
import type { ReportDocument } from "../src/export/html/document.js";
import { ChoiceTable } from "./choice-table.js";
import { el } from "./dom.js";
import { stackNames, stackView } from "./slow-calls.js";
import { ownerText, SPINNING_COLUMNS } from "./socket-columns.js";
import { CAPTIONS } from "./socket-words.js";
import { plainNumber, visible } from "./text.js";

export class SpinTable {
  readonly element: HTMLElement;
  readonly #table: ChoiceTable<SpinningDescriptor>;
  readonly #detail = el("div", { class: "socket-detail", "aria-live": "polite" });
  #chosen: SpinningDescriptor | undefined;

  constructor(
    readonly report: ReportDocument,
    readonly names: readonly string[],
  ) {
    this.#table = new ChoiceTable<SpinningDescriptor>({
      columns: SPINNING_COLUMNS,
      caption: CAPTIONS.spinning,
      empty: "None matches the filter.",
      onRow: (row) => this.#choose(row === this.#chosen ? undefined : row),
      isChosen: (row) => row === this.#chosen,
      rowHint: "Show from where it asks",
    });
    this.element = el("section", { class: "spinning" }, this.#table.element, this.#detail);
    this.element.hidden = this.#rows.length === 0;
  }

  /** Shows the rows that match; nothing at all where no descriptor is asked in vain. */
  show(filter: string): void {
    this.#choose(undefined);
    this.#table.show(this.#rows, filter);
  }

  get #rows(): readonly SpinningDescriptor[] {
    return this.report.sockets!.spinning;
  }

  #choose(row: SpinningDescriptor | undefined): void {
    this.#chosen = row;
    this.#table.markChosen();
    this.#detail.replaceChildren(...(row === undefined ? [] : this.#detailOf(row)));
  }

  #detailOf(row: SpinningDescriptor): HTMLElement[] {
    const where = row.endpoint === null ? "" : `, ${visible(row.endpoint.name)}`;
    return [
      el("p", { class: "choice-name" }, `Descriptor ${row.fd} of ${visible(ownerText(row))}${where}`),
      ...(row.stacks.length === 0
        ? [el("p", { class: "quiet" }, "No stack of such a call was taken.")]
        : row.stacks.map(({ node, count }) =>
            stackView(stackNames(this.report, this.names, node), stackHead(count)),
          )),
    ];
  }
}

/** What stands above a stack that was taken so often. */
export const stackHead = (count: number): string =>
  `Stack of ${count === 1 ? "a call" : `${plainNumber(count)} calls`} that found nothing to do, the outermost function first:`;
