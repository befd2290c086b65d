// Slow calls: when they were, a list to choose one from, and the stack of the chosen one. The same list for calls that had
// not returned.
import type { CallSeen } from "../src/analysis/socket-calls.js";
import type { ReportDocument } from "../src/export/html/document.js";
import { ChoiceTable, rowMatches } from "./choice-table.js";
import { copyButton, el } from "./dom.js";
import { SLOW_COLUMNS, UNFINISHED_COLUMNS } from "./socket-columns.js";
import { CAPTIONS } from "./socket-words.js";
import { partsText } from "./split-bar.js";
import { duration, plainNumber, visible } from "./text.js";
import { Timeline } from "./timeline.js";

/** Names on the path to a node of the report's tree, outermost first. */
export function stackNames({ tree }: ReportDocument, names: readonly string[], node: number): string[] {
  const path: string[] = [];
  // Parents have smaller ids, so this ends whatever the document holds.
  for (let at = node; at > 0 && path.length < tree.parent.length; at = tree.parent[at]!)
    path.push(names[tree.func[at]!] ?? "");
  return path.reverse();
}

/** A stack as a list of functions, to be copied. */
export function stackView(stack: readonly string[], head: string): HTMLElement {
  return el(
    "div",
    {},
    el("p", { class: "quiet" }, head),
    el("ol", { class: "stack" }, ...stack.map((name) => el("li", {}, visible(name)))),
    copyButton("Copy stack", () => stack.map((name) => name.replaceAll(";", ":")).join(";")),
  );
}

export class SlowCalls {
  readonly element: HTMLElement;
  readonly #timeline: Timeline;
  readonly #slow: ChoiceTable<CallSeen>;
  readonly #unfinished: ChoiceTable<CallSeen>;
  readonly #detail = el("div", { class: "socket-detail", "aria-live": "polite" });
  #chosen: CallSeen | undefined;

  constructor(
    readonly report: ReportDocument,
    readonly names: readonly string[],
  ) {
    const sockets = report.sockets!;
    const choosing = {
      onRow: (call: CallSeen) => this.#choose(call === this.#chosen ? undefined : call),
      isChosen: (call: CallSeen) => call === this.#chosen,
      rowHint: "Show its stack",
    };
    this.#timeline = new Timeline(report.header.durationNs, choosing.onRow);
    this.#slow = new ChoiceTable({
      columns: SLOW_COLUMNS,
      caption: CAPTIONS.slow,
      empty: "No call was slow, or none matches the filter.",
      sortBy: "Took",
      ...choosing,
    });
    this.#unfinished = new ChoiceTable({
      columns: UNFINISHED_COLUMNS,
      caption: CAPTIONS.unfinished,
      empty: "Every call had returned, or none matches the filter.",
      sortBy: "Age",
      ...choosing,
    });
    const idle = sockets.unfinished.filter(({ waiting }) => waiting).length;
    this.element = el(
      "section",
      { class: "slow-calls", "aria-label": "Slow and unfinished calls" },
      el("h2", {}, "Slow calls and calls that had not returned"),
      this.#timeline.element,
      this.#slow.element,
      sockets.slowLeftOut > 0
        ? el("p", { class: "quiet" }, `${plainNumber(sockets.slowLeftOut)} shorter ones are not listed.`)
        : null,
      this.#unfinished.element,
      idle > 0
        ? el(
            "p",
            { class: "quiet" },
            `Besides, ${plainNumber(idle)} ${idle === 1 ? "thread was" : "threads were"} in a call that waits for events, which is how programs idle.`,
          )
        : null,
      this.#detail,
    );
  }

  /** Shows the calls that match. */
  show(filter: string): void {
    const { slow, unfinished } = this.report.sockets!;
    const open = unfinished.filter(({ waiting }) => !waiting);
    this.#timeline.show([
      ...slow.filter((call) => rowMatches(SLOW_COLUMNS, call, filter)),
      ...open.filter((call) => rowMatches(UNFINISHED_COLUMNS, call, filter)),
    ]);
    this.#slow.show(slow, filter);
    this.#unfinished.show(open, filter);
    this.#timeline.markChosen(this.#chosen);
  }

  #choose(call: CallSeen | undefined): void {
    this.#chosen = call;
    for (const part of [this.#slow, this.#unfinished]) part.markChosen();
    this.#timeline.markChosen(call);
    this.#detail.replaceChildren(...(call === undefined ? [] : this.#detailOf(call)));
    if (call !== undefined) this.#detail.scrollIntoView({ block: "nearest" });
  }

  #detailOf(call: CallSeen): HTMLElement[] {
    const stack = stackNames(this.report, this.names, call.node);
    const where = call.endpoint === null ? "" : ` on ${visible(call.endpoint.name)}`;
    return [
      el(
        "p",
        { class: "choice-name" },
        `${visible(call.call)}${where}, ${duration(call.durationNs)}: ${partsText(call)}`,
      ),
      stack.length === 0
        ? el("p", { class: "quiet" }, "Its stack is not known.")
        : stackView(stack, "Its stack, the outermost function first:"),
    ];
  }
}
