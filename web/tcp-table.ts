// TCP connections by end: established, failed, reset, sent again, and how full the queues of those who listen were.
import { fillOf, isToldQueue, ownersText, type TcpSummary, timedConnects } from "../src/analysis/tcp-sum.js";
import type { ReportSockets } from "../src/export/html/document.js";
import { ChoiceTable, type RowColumn } from "./choice-table.js";
import type { Cell } from "./data-table.js";
import { el } from "./dom.js";
import { CAPTIONS, CONNECTS } from "./socket-words.js";
import { duration, plainNumber, visible } from "./text.js";
import { waitHistogram } from "./wait-histogram.js";

/** -1 stands for what is not known. */
const known = (cell: Cell): string => (Number(cell) < 0 ? "–" : duration(Number(cell)));
const took = (row: TcpSummary, value: number): number => (timedConnects(row) > 0 ? value : -1);

/** "12 of 511"; a dash where it is not known. */
export const queueText = ({ queueMax, queueLimit }: TcpSummary): string =>
  queueLimit > 0 ? `${plainNumber(queueMax)} of ${plainNumber(queueLimit)}` : "–";

/** "40, 8.20 s": how many connect still, and the oldest for how long. */
const connectingText = ({ connecting, connectingMaxNs }: TcpSummary): string =>
  connecting > 0 ? `${plainNumber(connecting)}, ${duration(connectingMaxNs)}` : "0";

/** Who uses an end, lowflame marked. */
const processes = ({ owners }: TcpSummary): string =>
  ownersText(
    owners.map((owner) => (owner.self ? { ...owner, comm: `${owner.comm} (lowflame itself)` } : owner)),
  );

export const TCP_COLUMNS: readonly RowColumn<TcpSummary>[] = [
  { title: "End", numeric: false, cell: ({ name }) => name },
  { title: "Role", numeric: false, minor: true, cell: ({ role }) => role },
  { title: "Processes", numeric: false, cell: processes },
  { title: "Connects", numeric: true, cell: ({ connects }) => connects },
  { title: "Failed", numeric: true, cell: ({ connectsFailed }) => connectsFailed },
  {
    title: "Connecting",
    numeric: true,
    cell: ({ connecting }) => connecting,
    draw: (row) => el("span", {}, connectingText(row)),
  },
  { title: "p50", numeric: true, minor: true, format: known, cell: (row) => took(row, row.connectP50Ns) },
  { title: "p99", numeric: true, format: known, cell: (row) => took(row, row.connectP99Ns) },
  { title: "Longest", numeric: true, format: known, cell: (row) => took(row, row.connectMaxNs) },
  { title: "Accepted", numeric: true, cell: ({ accepted }) => accepted },
  // Sorted by how full it was, which is not what it shows.
  {
    title: "Queue",
    numeric: true,
    cell: fillOf,
    draw: (row) => el("span", {}, queueText(row)),
  },
  { title: "Closed", numeric: true, minor: true, cell: ({ closes }) => closes },
  { title: "Resets out", numeric: true, cell: ({ resetsSent }) => resetsSent },
  { title: "Resets in", numeric: true, cell: ({ resetsReceived }) => resetsReceived },
  { title: "Sent again", numeric: true, cell: ({ retransmits }) => retransmits },
];

export class TcpTable {
  readonly element: HTMLElement;
  readonly #table: ChoiceTable<TcpSummary>;
  readonly #detail = el("div", { class: "socket-detail tcp-detail", "aria-live": "polite" });
  #chosen: TcpSummary | undefined;

  constructor(readonly sockets: ReportSockets) {
    this.#table = new ChoiceTable<TcpSummary>({
      columns: TCP_COLUMNS,
      caption: CAPTIONS.tcp,
      empty: "No TCP connection was opened or closed, or none matches the filter.",
      onRow: (row) => this.#choose(row === this.#chosen ? undefined : row),
      isChosen: (row) => row === this.#chosen,
      rowHint: "Show how long its connections took to be established",
    });
    this.element = el(
      "section",
      { class: "tcp" },
      this.#table.element,
      ...notes(sockets).map((text) => el("p", { class: "quiet" }, visible(text))),
      this.#detail,
    );
  }

  /** Shows the rows that match. */
  show(filter: string): void {
    this.#choose(undefined);
    this.#table.show(this.sockets.tcp, filter);
  }

  #choose(row: TcpSummary | undefined): void {
    this.#chosen = row;
    this.#table.markChosen();
    this.#detail.replaceChildren(
      ...(row === undefined
        ? []
        : [
            el("p", { class: "choice-name" }, visible(row.name)),
            el("p", {}, `${row.role}: ${plainNumber(row.closes)} connections closed.`),
            el("div", { class: "lock-facts" }, waitHistogram(row.connectBuckets, CONNECTS)),
          ]),
    );
  }
}

/** What is known of the machine and not of an end. */
export function notes({ tcpLeftOut, closeWaits, listenQueues, tcpCounters }: ReportSockets): string[] {
  const said: string[] = [];
  if (tcpLeftOut > 0)
    said.push(
      `${plainNumber(tcpLeftOut)} ends with fewer connections are not in this file; a CSV has them all.`,
    );
  if (tcpCounters !== null) {
    const { listenOverflows, listenDrops, closeWaitAtEnd } = tcpCounters;
    said.push(
      `On the whole machine ${plainNumber(listenOverflows)} connections found the queue of a listening socket full, and ${plainNumber(listenDrops)} requests were dropped for this reason or another. At the end ${plainNumber(closeWaitAtEnd)} connections were in CLOSE-WAIT: closed by the other side and not by this one.`,
    );
  }
  const queues = listenQueues.filter(({ length }) => isToldQueue(length, tcpCounters?.listenOverflows ?? 0));
  if (queues.length > 0) {
    const rows = queues
      .slice(0, 5)
      .map((row) => `${plainNumber(row.length)} for ${ownersText([row])}, ${row.name}`);
    const more = queues.length > rows.length ? "; …" : "";
    said.push(`Connections that still waited to be accepted at the end: ${rows.join("; ")}${more}.`);
  }
  if (closeWaits.length > 0) {
    const all = closeWaits.reduce((sum, { count }) => sum + count, 0);
    const rows = closeWaits.slice(0, 5).map((row) => {
      const descriptor = row.fd >= 0 ? `, descriptor ${row.fd}` : "";
      return `${plainNumber(row.count)} of ${ownersText([row])} at ${row.name}${descriptor}`;
    });
    const more = closeWaits.length > rows.length ? ", …" : "";
    said.push(`In CLOSE-WAIT for the whole recording: ${plainNumber(all)} (${rows.join("; ")}${more}).`);
  }
  return said;
}
