// One graph with all that belongs to it: controls, selected frame, tables. Most tabs are one of these, those of locks
// two. Holds the state of what is shown; the parts only draw it.
import type { ReportDocument, ReportSource } from "../src/export/html/document.js";
import { button, copyButton, copyText, el } from "./dom.js";
import { emptyLockReason, emptyReason, hiddenNote } from "./explain.js";
import { filterControls } from "./filter-controls.js";
import { FlameView } from "./flame-view.js";
import { foldedStack } from "./folded.js";
import { FunctionTable } from "./function-table.js";
import { Labels } from "./labels.js";
import { legend } from "./legend.js";
import { plainTable } from "./overview.js";
import { matchAll, parseSearch } from "./search.js";
import {
  defaultSelection,
  type HiddenWeights,
  hiddenWeights,
  type Selection,
  selectRows,
} from "./selection.js";
import { duration, percent, visible } from "./text.js";
import type { FrameText } from "./tooltip.js";
import { buildViewTree, type Grouping } from "./view-tree.js";
import { searchSum } from "./walk.js";

/** Time after the last key before a search runs. */
const SEARCH_DELAY_MS = 150;
/** Long enough for the browser to paint the graph before the table takes the thread. */
const TABLE_DELAY_MS = 60;

/** The panel of one source. */
export class SourcePanel {
  readonly element = el("div", { class: "panel" });
  readonly #view: FlameView;
  readonly #table: FunctionTable;
  readonly #search = el("input", {
    type: "search",
    class: "search",
    placeholder: "Search frames",
    "aria-label": "Search frames: text, =exact name, or /regular expression/",
    title: "text, =exact name, one|other, or /regular expression/",
    spellcheck: "false",
  });
  readonly #found = el("output", { class: "found", "aria-live": "polite" });
  readonly #shown = el("p", { class: "shown" });
  readonly #frame = el("div", { class: "frame-detail", "aria-live": "polite" });
  readonly #empty = el("p", { class: "empty" });
  readonly #reset = button("Reset zoom", () => this.#zoomTo(0));
  readonly #orientation = button("Icicle", () => this.#toggle(), {
    "aria-pressed": "false",
    title: "Root at the top (icicle) or at the bottom (flame)",
  });
  readonly #hidden: HiddenWeights;
  #selection: Selection;
  #grouping: Grouping = "name";
  #lock: number | undefined;
  #labels: Labels;
  #zoom = 0;
  #selected = -1;
  #icicle = false;
  #matches: ((node: number) => boolean) | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tableTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly report: ReportDocument,
    readonly source: ReportSource,
    readonly names: readonly string[],
  ) {
    this.#hidden = hiddenWeights(report, source);
    this.#selection = defaultSelection(source);
    this.#labels = this.#build();
    this.#view = new FlameView({
      describe: (node) => this.#describe(node),
      zoomTo: (node) => this.#zoomTo(node),
      select: (node) => {
        this.#selected = node;
        this.#showFrame();
      },
      copy: () => void this.#copy(),
      reset: () => this.#zoomTo(0),
    });
    this.#table = new FunctionTable(report, names, (name) => {
      this.search(`=${name}`);
      this.#view.element.scrollIntoView({ block: "nearest" });
    });
    this.#search.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#runSearch(), SEARCH_DELAY_MS);
    });
    this.element.append(
      filterControls(report, source, (selection, grouping) => {
        this.#selection = selection;
        this.#grouping = grouping;
        this.#rebuild();
      }),
      this.#shown,
      el(
        "div",
        { class: "toolbar" },
        this.#search,
        button("Clear", () => this.search("")),
        this.#found,
        el("span", { class: "spacer" }),
        this.#reset,
        this.#orientation,
      ),
      this.#empty,
      this.#view.element,
      legend(report, source),
      this.#frame,
      this.#table.element,
      ...source.tables.map(plainTable),
    );
  }

  /** Draws; to be called once the element is in the page, so that its width is known. */
  start(): void {
    this.#draw();
    // The table can wait until the graph has been painted.
    this.#tableTimer = setTimeout(() => this.#table.show(this.#labels.tree), TABLE_DELAY_MS);
  }

  /** Searches as if the reader had typed it. */
  search(term: string): void {
    this.#search.value = term;
    this.#runSearch();
  }

  /** Shows only the waits for one lock (index into `ReportLocks.rows`), or with undefined for all. */
  filterByLock(lock: number | undefined): void {
    this.#lock = lock;
    this.#rebuild();
  }

  destroy(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#tableTimer);
    this.#view.destroy();
  }

  #build(): Labels {
    const rows = selectRows(this.report, this.source, { ...this.#selection, lock: this.#lock });
    return new Labels(this.report, this.names, buildViewTree(this.report, this.source, rows, this.#grouping));
  }

  #rebuild(): void {
    this.#labels = this.#build();
    this.#zoom = 0;
    this.#selected = -1;
    this.#table.show(this.#labels.tree);
    this.#runSearch();
  }

  #runSearch(): void {
    const { tree } = this.#labels;
    const search = parseSearch(this.#search.value, [...this.names, ...tree.groups]);
    this.#matches = null;
    this.#found.textContent = search.kind === "error" ? search.message : "";
    if (search.kind === "matcher") {
      const functions = matchAll(this.names, search.matches);
      const groups = matchAll(tree.groups, search.matches);
      const matches = (node: number): boolean => {
        const func = tree.func[node]!;
        return (func >= 0 ? functions[func] : groups[-1 - func]) === 1;
      };
      this.#matches = matches;
      const sum = searchSum(tree, 0, matches);
      const total = tree.total[0]!;
      this.#found.textContent =
        `${sum.frames.toLocaleString("en-US")} ${sum.frames === 1 ? "frame matches" : "frames match"}: ` +
        `${percent(total > 0 ? sum.weight / total : 0)} of the time shown (${duration(sum.weight)})`;
    }
    this.#draw();
  }

  #zoomTo(node: number): void {
    this.#zoom = node;
    this.#selected = node === 0 ? -1 : node;
    this.#draw();
  }

  #toggle(): void {
    this.#icicle = !this.#icicle;
    this.#orientation.setAttribute("aria-pressed", String(this.#icicle));
    this.#draw();
  }

  #draw(): void {
    const { tree } = this.#labels;
    const empty = tree.total[0] === 0;
    this.#view.element.hidden = empty;
    this.#empty.hidden = !empty;
    this.#empty.textContent = empty ? this.#emptyReason() : "";
    this.#reset.disabled = this.#zoom === 0;
    if (!empty) {
      this.#view.draw({
        labels: this.#labels,
        zoom: this.#zoom,
        selected: this.#selected,
        matches: this.#matches,
        icicle: this.#icicle,
      });
    }
    this.#shown.textContent = hiddenNote(
      this.report,
      this.source,
      this.#hidden,
      tree.total[0]!,
      this.#view.omitted,
    );
    this.#showFrame();
  }

  #emptyReason(): string {
    if (this.#lock !== undefined && this.source.node.length > 0) return emptyLockReason(this.source);
    return emptyReason(this.report, this.source, this.#hidden);
  }

  #describe(node: number): FrameText {
    const { tree } = this.#labels;
    const share = (value: number, whole: number): string => percent(whole > 0 ? value / whole : 0);
    const [total, self] = [tree.total[node]!, tree.self[node]!];
    const zoomed =
      this.#zoom > 0 ? `, ${share(total, tree.total[this.#zoom]!)} of the frame zoomed into` : "";
    const module = this.#labels.module(node);
    const place = this.#labels.place(node);
    return {
      name: visible(this.#labels.name(node)),
      lines: [
        `Total ${duration(total)}, ${share(total, tree.total[0]!)} of the time shown${zoomed}`,
        `Self ${duration(self)}, ${share(self, tree.total[0]!)}`,
        `${visible(this.#labels.kindLabel(node))}${module === "" ? "" : `, ${visible(module)}`}`,
        ...(place === "" ? [] : [visible(place)]),
      ],
    };
  }

  #stackText(): string {
    return this.#selected < 0
      ? ""
      : foldedStack(this.#labels.tree, this.#selected, (node) => this.#labels.name(node));
  }

  async #copy(): Promise<void> {
    if (this.#selected < 0) return;
    const copied = await copyText(this.#stackText());
    this.#found.textContent = copied ? "Stack copied." : "The browser did not allow copying.";
  }

  #showFrame(): void {
    this.#frame.replaceChildren();
    if (this.#labels.tree.total[0] === 0) return;
    if (this.#selected < 0) {
      this.#frame.append(
        el(
          "p",
          { class: "quiet" },
          "Click a frame to zoom and to see its full name; with the keyboard: arrows, Enter, Escape, c to copy the stack.",
        ),
      );
      return;
    }
    const text = this.#describe(this.#selected);
    const isFunction = this.#labels.tree.func[this.#selected]! >= 0;
    this.#frame.append(
      el("p", { class: "frame-name" }, text.name),
      ...text.lines.map((line) => el("p", {}, line)),
      el(
        "p",
        { class: "actions" },
        copyButton("Copy stack", () => this.#stackText()),
        isFunction
          ? button("Find everywhere", () => this.search(`=${this.#labels.name(this.#selected)}`))
          : null,
      ),
    );
  }
}
