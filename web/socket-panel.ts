// The tab of sockets: who keeps whom waiting, calls, other ends and TCP connections to choose from, errors, slow and unfinished
// calls, and a graph of the CPU time inside of socket calls.
import { programAnswers } from "../src/analysis/socket-answers.js";
import {
  type CallSummary,
  callsByProgram,
  type EndpointSummary,
  endpointsByProgram,
} from "../src/analysis/socket-sum.js";
import type { ReportDocument, ReportSockets } from "../src/export/html/document.js";
import { errnoMeaning } from "../src/model/errno.js";
import { ChoiceTable, holds } from "./choice-table.js";
import { el } from "./dom.js";
import { SlowCalls } from "./slow-calls.js";
import {
  ANSWER_COLUMNS,
  type AnswerRow,
  answerRows,
  bytes,
  CALL_COLUMNS,
  ENDPOINT_COLUMNS,
  ERROR_COLUMNS,
  type ErrorRow,
  ownerText,
} from "./socket-columns.js";
import { ANSWERS, BUSY, CALLS, CAPTIONS } from "./socket-words.js";
import { SourcePanel } from "./source-panel.js";
import { SpinTable } from "./spin-table.js";
import { partsText, splitLegend } from "./split-bar.js";
import { TcpTable } from "./tcp-table.js";
import { duration, plainNumber, visible } from "./text.js";
import { waitHistogram } from "./wait-histogram.js";

const FILTER_DELAY_MS = 150;

/** Errors by name, most first, with who got most of them: those of calls, processes or names that hold the filter's text. */
export function errorRows(calls: readonly CallSummary[], filter = ""): ErrorRow[] {
  const sums = new Map<string, { count: number; most: number; who: string }>();
  for (const call of calls.filter(({ waiting }) => !waiting))
    for (const { name, count } of call.byError) {
      if (!holds([call.call, ownerText(call), name, errnoMeaning(name)], filter)) continue;
      const sum = sums.get(name) ?? { count: 0, most: 0, who: "" };
      sum.count += count;
      if (count > sum.most) {
        sum.most = count;
        sum.who = `${call.call} of ${ownerText(call)}: ${plainNumber(count)}`;
      }
      sums.set(name, sum);
    }
  return [...sums]
    .map(([name, { count, who }]) => ({ name, meaning: errnoMeaning(name), count, who }))
    .sort((a, b) => b.count - a.count);
}

export class SocketPanel {
  readonly element = el("div", { class: "panel sockets" });
  readonly #calls: ChoiceTable<CallSummary>;
  readonly #waiting: ChoiceTable<CallSummary>;
  readonly #endpoints: ChoiceTable<EndpointSummary>;
  readonly #tcp: TcpTable;
  readonly #answers: ChoiceTable<AnswerRow>;
  readonly #answerRows: readonly AnswerRow[];
  readonly #errors: ChoiceTable<ErrorRow>;
  readonly #spinning: SpinTable;
  readonly #slow: SlowCalls;
  readonly #cpu: SourcePanel | null;
  readonly #callDetail = el("div", { class: "socket-detail call-detail", "aria-live": "polite" });
  readonly #endpointDetail = el("div", { class: "socket-detail endpoint-detail", "aria-live": "polite" });
  readonly #filter = el("input", {
    type: "search",
    class: "search",
    placeholder: "Filter by call, end, process",
    "aria-label": "Filter all tables by call, other end, process, error",
    spellcheck: "false",
  });
  readonly #together = el("input", { type: "checkbox" });
  #timer: ReturnType<typeof setTimeout> | undefined;
  #call: CallSummary | undefined;
  #endpoint: EndpointSummary | undefined;

  constructor(
    report: ReportDocument,
    readonly sockets: ReportSockets,
    names: readonly string[],
  ) {
    this.#answerRows = answerRows(
      programAnswers(sockets.endpoints, sockets.tcp, sockets.connecting, sockets.tcpCounters?.tickNs),
    );
    this.#answers = new ChoiceTable({
      columns: ANSWER_COLUMNS,
      caption: CAPTIONS.answers,
      empty: "None matches the filter.",
    });
    this.#errors = new ChoiceTable({
      columns: ERROR_COLUMNS,
      caption: CAPTIONS.errors,
      empty: "No call on a socket failed, or none matches the filter.",
    });
    this.#calls = this.#callTable(CAPTIONS.calls, "No call on a socket, or none matches the filter.");
    this.#waiting = this.#callTable(CAPTIONS.waiting, "No call that waits for events.");
    this.#endpoints = new ChoiceTable<EndpointSummary>({
      columns: ENDPOINT_COLUMNS,
      caption: CAPTIONS.endpoints,
      empty: "No other end, or none matches the filter.",
      sortBy: "Total",
      onRow: (row) => this.#chooseEndpoint(row === this.#endpoint ? undefined : row),
      isChosen: (row) => row === this.#endpoint,
      rowHint: "Show how long its calls and answers took",
    });
    this.#tcp = new TcpTable(sockets);
    this.#spinning = new SpinTable(report, names);
    this.#slow = new SlowCalls(report, names);
    this.#cpu = sockets.cpu && new SourcePanel(report, sockets.cpu, names);
    this.#together.checked = true;
    this.#together.addEventListener("change", () => this.#show());
    this.#filter.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#show(), FILTER_DELAY_MS);
    });
    this.element.append(...this.#parts());
    this.#show();
  }

  /** Draws; to be called once the element is in the page. */
  start(): void {
    this.#cpu?.start();
  }

  /** Filters the tables as if the reader had typed it. */
  search(term: string): void {
    this.#filter.value = term;
    this.#show();
  }

  destroy(): void {
    clearTimeout(this.#timer);
    this.#cpu?.destroy();
  }

  #callTable(caption: string, empty: string): ChoiceTable<CallSummary> {
    return new ChoiceTable<CallSummary>({
      ...{ columns: CALL_COLUMNS, caption, empty, sortBy: "Total" },
      onRow: (row) => this.#chooseCall(row === this.#call ? undefined : row),
      isChosen: (row) => row === this.#call,
      rowHint: "Show how long its calls took",
    });
  }

  #parts(): HTMLElement[] {
    const { sockets } = this;
    const waiting = sockets.calls.filter((row) => row.waiting);
    const cut =
      "The totals stand at the end of a capture, and this one was cut before: only slow calls are known.";
    return [
      sockets.complete ? null : el("p", { class: "empty" }, cut),
      el(
        "div",
        { class: "toolbar" },
        this.#filter,
        el("label", {}, this.#together, " Processes of one name together"),
        el("span", { class: "spacer" }),
        splitLegend(),
      ),
      this.#answerRows.length > 0 ? el("section", { class: "answers" }, this.#answers.element) : null,
      el("section", { class: "endpoints" }, this.#endpoints.element, this.#leftOut(), this.#endpointDetail),
      this.#tcp.element,
      el("section", { class: "calls" }, this.#calls.element, this.#callDetail),
      waiting.length > 0 ? this.#idle(waiting) : null,
      el("section", { class: "errors" }, this.#errors.element),
      this.#spinning.element,
      this.#slow.element,
      el(
        "section",
        { class: "socket-cpu" },
        el("h2", {}, "CPU time inside of socket calls"),
        this.#cpu?.element ??
          el("p", { class: "empty" }, "CPU samples were not recorded: --what cpu,sockets gives them."),
      ),
    ].filter((part) => part !== null);
  }

  #leftOut(): HTMLElement | null {
    const { endpointsLeftOut } = this.sockets;
    return endpointsLeftOut > 0
      ? el(
          "p",
          { class: "quiet" },
          `${plainNumber(endpointsLeftOut)} ends with less time are not in this file; a CSV has them all.`,
        )
      : null;
  }

  /** How programs idle, folded away: a quiet machine does nothing else. */
  #idle(waiting: readonly CallSummary[]): HTMLElement {
    const sumNs = waiting.reduce((sum, row) => sum + row.totalNs, 0);
    return el(
      "details",
      { class: "lock-conditions idle-calls" },
      el(
        "summary",
        {},
        `Waiting for events (epoll_wait, poll, select): ${duration(sumNs)}. It is how programs idle, and in none of the other numbers.`,
      ),
      this.#waiting.element,
    );
  }

  #show(): void {
    const { calls, endpoints } = this.sockets;
    const together = this.#together.checked;
    const filter = this.#filter.value;
    const shown = together ? callsByProgram(calls) : calls;
    this.#chooseCall(undefined);
    this.#chooseEndpoint(undefined);
    this.#calls.show(
      shown.filter(({ waiting }) => !waiting),
      filter,
    );
    this.#waiting.show(
      shown.filter(({ waiting }) => waiting),
      filter,
    );
    this.#endpoints.show(together ? endpointsByProgram(endpoints) : endpoints, filter);
    this.#answers.show(this.#answerRows, filter);
    this.#errors.show(errorRows(calls, filter));
    this.#tcp.show(filter);
    this.#spinning.show(filter);
    this.#slow.show(filter);
  }

  #chooseCall(row: CallSummary | undefined): void {
    this.#call = row;
    for (const table of [this.#calls, this.#waiting]) table.markChosen();
    this.#callDetail.replaceChildren(...(row === undefined ? [] : callDetail(row)));
  }

  #chooseEndpoint(row: EndpointSummary | undefined): void {
    this.#endpoint = row;
    this.#endpoints.markChosen();
    this.#endpointDetail.replaceChildren(...(row === undefined ? [] : endpointDetail(row)));
  }
}

function callDetail(row: CallSummary): HTMLElement[] {
  const errors = row.byError.map(({ name, count }) => `${plainNumber(count)} ${name}`).join(", ");
  return [
    el("p", { class: "choice-name" }, `${visible(row.call)} of ${visible(ownerText(row))}`),
    el(
      "p",
      {},
      `${plainNumber(row.count)} calls, ${duration(row.totalNs)}: ${partsText(row)}. Errors: ${errors === "" ? "none" : visible(errors)}.`,
    ),
    el(
      "div",
      { class: "lock-facts" },
      waitHistogram(row.buckets, CALLS),
      waitHistogram(row.busyBuckets, BUSY),
    ),
  ];
}

/** What the times to the first bytes do not hold. */
function wholeText({ wholeBuckets, wholeP50Ns, wholeP99Ns, lateReads, lateSumNs }: EndpointSummary): string {
  const whole =
    wholeBuckets.length > 0
      ? `; to the last bytes half of them took ${duration(wholeP50Ns)}, one in a hundred ${duration(wholeP99Ns)} or longer`
      : "";
  const unread =
    lateReads > 0
      ? `; ${plainNumber(lateReads)} times bytes of them lay unread, for ${duration(lateSumNs)} in all`
      : "";
  return whole + unread;
}

/** Questions without an answer, which are among the times of those that got one. */
const unansweredText = ({ unanswered, unansweredSumNs }: EndpointSummary): string =>
  unanswered > 0
    ? ` ${plainNumber(unanswered)} of these were no answers: that many questions were given up, or open at the end, after ${duration(unansweredSumNs / unanswered)} on average.`
    : "";

function endpointDetail(row: EndpointSummary): HTMLElement[] {
  const whose = row.role === "remote" || row.role === "path" ? "The other side" : visible(row.comm);
  const answered =
    row.turns > 0
      ? ` ${whose} answered ${plainNumber(row.turns)} times, half of them within ${duration(row.turnP50Ns)}, one in a hundred after ${duration(row.turnP99Ns)} or later${wholeText(row)}.${unansweredText(row)}`
      : "";
  return [
    el("p", { class: "choice-name" }, `${visible(row.name)}, ${visible(ownerText(row))}`),
    el(
      "p",
      {},
      `${visible(row.protocol)}: ${plainNumber(row.count)} calls, ${duration(row.totalNs)}: ${partsText(row)}. ${bytes(row.bytesOut)} out, ${bytes(row.bytesIn)} in; ${plainNumber(row.errors)} errors, ${plainNumber(row.again)} EAGAIN.${answered}`,
    ),
    el(
      "div",
      { class: "lock-facts" },
      row.turns > 0 ? waitHistogram(row.turnBuckets, ANSWERS) : null,
      waitHistogram(row.buckets, CALLS),
    ),
  ];
}
