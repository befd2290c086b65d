// The tab of kernel locks: a table to choose a lock from, what is known of the chosen one, and two graphs that show only
// its waits: who waited, and who held it meanwhile.
import type { ReportDocument, ReportLock, ReportLocks, ReportSource } from "../src/export/html/document.js";
import { button, el } from "./dom.js";
import { NO_OWNERS } from "./explain.js";
import { LockTable } from "./lock-table.js";
import { SourcePanel } from "./source-panel.js";
import { clip, duration, percent, plainNumber, visible } from "./text.js";
import { waitHistogram } from "./wait-histogram.js";

/** Rows of each short list beside the histogram. */
const LIST_ROWS = 8;
/** Longer names are cut in headings; the table and the details have them whole. */
const HEADING_NAME = 80;

/** The panel of the source `locks`. */
export class LockPanel {
  readonly element = el("div", { class: "panel locks" });
  readonly #table: LockTable;
  readonly #waiting: SourcePanel;
  readonly #owners: SourcePanel | null;
  readonly #all = button("All locks", () => this.#choose(undefined));
  readonly #choice = el("p", { class: "choice-name", "aria-live": "polite" });
  readonly #detail = el("div", { class: "lock-detail" });
  readonly #waitingTitle = el("h2");
  readonly #ownersTitle = el("h2");
  #chosen: number | undefined;

  constructor(
    report: ReportDocument,
    source: ReportSource,
    readonly locks: ReportLocks,
    names: readonly string[],
  ) {
    this.#table = new LockTable(
      locks.rows,
      (lock) => this.#choose(lock === this.#chosen ? undefined : lock),
      (lock) => lock === this.#chosen,
    );
    this.#waiting = new SourcePanel(report, source, names);
    this.#owners = locks.owners === null ? null : new SourcePanel(report, locks.owners, names);
    this.element.append(
      this.#table.element,
      el("div", { class: "toolbar" }, this.#all, this.#choice),
      this.#detail,
      el("section", { class: "lock-waiting" }, this.#waitingTitle, this.#waiting.element),
      el(
        "section",
        { class: "lock-owners" },
        this.#ownersTitle,
        this.#owners?.element ?? el("p", { class: "empty" }, NO_OWNERS),
      ),
    );
    this.#show();
  }

  /** Draws; to be called once the element is in the page. */
  start(): void {
    this.#waiting.start();
    this.#owners?.start();
  }

  /** Searches in both graphs. */
  search(term: string): void {
    this.#waiting.search(term);
    this.#owners?.search(term);
  }

  destroy(): void {
    this.#waiting.destroy();
    this.#owners?.destroy();
  }

  #choose(lock: number | undefined): void {
    this.#chosen = lock;
    this.#table.markChosen();
    this.#waiting.filterByLock(lock);
    this.#owners?.filterByLock(lock);
    this.#show();
  }

  #show(): void {
    const lock = this.#chosen === undefined ? undefined : this.locks.rows[this.#chosen];
    const name = lock === undefined ? "all locks" : clip(visible(lock.name), HEADING_NAME);
    this.#all.disabled = lock === undefined;
    this.#choice.textContent =
      lock === undefined
        ? this.locks.rows.length > 0
          ? "Click a lock to see how long its waits took, and only them in the graphs."
          : ""
        : visible(lock.name);
    this.#choice.classList.toggle("quiet", lock === undefined);
    this.#waitingTitle.textContent = `Who waited: ${name}`;
    this.#ownersTitle.textContent = `Who held the locks: ${name}`;
    this.#detail.replaceChildren(...(lock === undefined ? [] : detailOf(lock)));
  }
}

/** What is known of one lock. */
function detailOf(lock: ReportLock): HTMLElement[] {
  const sampled =
    lock.samples > 0
      ? `The graphs spread that over stacks by ${plainNumber(lock.samples)} sampled waits, which estimate the whole to ± ${percent(lock.relativeError)}.`
      : "None of them was sampled, so the graphs cannot show it.";
  return [
    el(
      "p",
      {},
      `${lock.kind}: ${plainNumber(lock.waits)} waits, ${duration(lock.sumNs)} together, the longest ${duration(lock.maxNs)}. ${sampled}`,
    ),
    el(
      "div",
      { class: "lock-facts" },
      waitHistogram(lock.buckets),
      shortList(
        "Waited",
        lock.waiters.map(({ name, processes, waits, sumNs }) => {
          const many = processes > 1 ? ` (${plainNumber(processes)} processes)` : "";
          return [duration(sumNs), `${name}${many}, ${plainNumber(waits)} waits`];
        }),
      ),
      shortList(
        "Waited in",
        lock.callers.map(({ name, share }) => [percent(share), name]),
      ),
      shortList(
        "Held by",
        lock.owners.map(({ name, share }) => [percent(share), name]),
      ),
    ),
  ];
}

/** Amounts and names under a heading. */
function shortList(title: string, rows: readonly (readonly [string, string])[]): HTMLElement {
  const rest = rows.length - LIST_ROWS;
  return el(
    "table",
    { class: "contributors" },
    el("caption", {}, title),
    el(
      "tbody",
      {},
      ...rows
        .slice(0, LIST_ROWS)
        .map(([amount, name]) =>
          el("tr", {}, el("td", { class: "number" }, amount), el("td", { class: "name" }, visible(name))),
        ),
      rest > 0 ? el("tr", {}, el("td"), el("td", {}, `and ${rest} more`)) : null,
      rows.length === 0 ? el("tr", {}, el("td", {}, "not known")) : null,
    ),
  );
}
