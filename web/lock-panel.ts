// A tab of locks, kernel locks or user locks: tables to choose a lock from, what is known of the chosen one, and two graphs
// that show only its waits: who waited, and who held it meanwhile.
import type { LockSource } from "../src/capture/sample-sources.js";
import type { ReportDocument, ReportLock, ReportLocks, ReportSource } from "../src/export/html/document.js";
import { button, el } from "./dom.js";
import { noOwners } from "./explain.js";
import { LockTable, type LockTableOptions } from "./lock-table.js";
import { CONDITION_WORDS, LOCK_WORDS } from "./lock-words.js";
import { SourcePanel } from "./source-panel.js";
import { clip, duration, percent, plainNumber, visible } from "./text.js";
import { waitHistogram } from "./wait-histogram.js";

/** Rows of each short list beside the histogram. */
const LIST_ROWS = 8;
/** Longer names are cut in headings; the table and the details have them whole. */
const HEADING_NAME = 80;

/** The panel of the source `locks` or `futex`. */
export class LockPanel {
  readonly element = el("div", { class: "panel locks" });
  readonly #tables: readonly LockTable[];
  readonly #waiting: SourcePanel;
  readonly #owners: SourcePanel | null;
  readonly #all = button("All locks", () => this.#choose(undefined));
  readonly #choice = el("p", { class: "choice-name", "aria-live": "polite" });
  readonly #detail = el("div", { class: "lock-detail" });
  readonly #waitingTitle = el("h2");
  readonly #ownersTitle = el("h2");
  #chosen: ReportLock | undefined;

  constructor(
    report: ReportDocument,
    source: ReportSource & { readonly source: LockSource },
    readonly locks: ReportLocks,
    names: readonly string[],
  ) {
    const words = LOCK_WORDS[source.source];
    const choosing: Pick<LockTableOptions, "onRow" | "isChosen"> = {
      onRow: (lock) => this.#choose(lock === this.#chosen ? undefined : lock),
      isChosen: (lock) => lock === this.#chosen,
    };
    const contended = locks.rows.filter(({ contention }) => contention);
    const conditions = locks.rows.filter(({ contention }) => !contention);
    const table = new LockTable(contended, { columns: source.source, ...words, ...choosing });
    const apart = new LockTable(conditions, { columns: "conditions", ...CONDITION_WORDS, ...choosing });
    this.#tables = [table, apart];
    this.#waiting = new SourcePanel(report, source, names);
    this.#owners = locks.owners === null ? null : new SourcePanel(report, locks.owners, names);
    this.element.append(
      table.element,
      conditions.length > 0 ? conditionList(conditions, apart.element) : "",
      el("div", { class: "toolbar" }, this.#all, this.#choice),
      this.#detail,
      el("section", { class: "lock-waiting" }, this.#waitingTitle, this.#waiting.element),
      el(
        "section",
        { class: "lock-owners" },
        this.#ownersTitle,
        words.ownersNote === "" || this.#owners === null
          ? null
          : el("p", { class: "quiet" }, words.ownersNote),
        this.#owners?.element ?? el("p", { class: "empty" }, noOwners(source.source)),
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

  #choose(lock: ReportLock | undefined): void {
    this.#chosen = lock;
    for (const table of this.#tables) table.markChosen();
    const place = lock && this.locks.rows.indexOf(lock);
    this.#waiting.filterByLock(place);
    this.#owners?.filterByLock(place);
    this.#show();
  }

  #show(): void {
    const lock = this.#chosen;
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

/** The table of what is no contention, folded away: a quiet machine waits there all day. */
function conditionList(conditions: readonly ReportLock[], table: HTMLElement): HTMLElement {
  const waits = conditions.reduce((sum, lock) => sum + lock.waits, 0);
  const sumNs = conditions.reduce((sum, lock) => sum + lock.sumNs, 0);
  return el(
    "details",
    { class: "lock-conditions" },
    el(
      "summary",
      {},
      `Condition variables and idle waits: ${plainNumber(conditions.length)}, with ${plainNumber(waits)} waits of ${duration(sumNs)} together. They are no contention, and the graph below leaves them out.`,
    ),
    table,
  );
}

/** What is known of the waits of a futex beside their length; "" for a kernel lock. */
function waitersText({ timeouts, threads, atOnce }: ReportLock): string {
  if (atOnce === null) return "";
  const given =
    timeouts === null
      ? ""
      : timeouts === 0
        ? " None of them ended by a timeout."
        : ` ${plainNumber(timeouts)} of them ended by a timeout, the others by a wake-up.`;
  const seen = threads === 1 ? "1 thread was" : `${plainNumber(threads)} threads were`;
  const most = atOnce > 1 ? `, at least ${plainNumber(atOnce)} of them at one time` : "";
  return given + (threads > 0 ? ` ${seen} seen waiting${most}.` : "");
}

/** Percentiles; "" in a cut capture, which does not know them. */
const percentiles = ({ p50Ns, p99Ns }: ReportLock): string =>
  p99Ns > 0 ? `, p50 ${duration(p50Ns)}, p99 ${duration(p99Ns)}` : "";

/** What is known of one lock. */
function detailOf(lock: ReportLock): HTMLElement[] {
  const sampled =
    lock.samples > 0 && lock.relativeError !== null
      ? `The graphs spread that over stacks by ${plainNumber(lock.samples)} sampled waits, which estimate the whole to ± ${percent(lock.relativeError)}.`
      : "None of them was sampled, so the graphs cannot show it.";
  return [
    el(
      "p",
      {},
      `${lock.kind}: ${plainNumber(lock.waits)} waits, ${duration(lock.sumNs)} together${percentiles(lock)}, the longest ${duration(lock.maxNs)}.${waitersText(lock)} ${sampled}`,
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
