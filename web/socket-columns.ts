// Columns of the tables of sockets: what stands in each cell, as a value to sort by and as text.
import { isUnsure } from "../src/analysis/answer-shares.js";
import { isAsked, isServed, type ProgramAnswers } from "../src/analysis/socket-answers.js";
import { shareOf } from "../src/analysis/socket-blame.js";
import type { CallSeen } from "../src/analysis/socket-calls.js";
import type { SpinningDescriptor } from "../src/analysis/socket-spin.js";
import {
  type CallSummary,
  callerText,
  type EndpointSummary,
  type SocketOwner,
  type SocketTimes,
  type Turns,
  turnsTogether,
} from "../src/analysis/socket-sum.js";
import { type TcpSummary, timedConnects } from "../src/analysis/tcp-sum.js";
import type { RowColumn } from "./choice-table.js";
import type { Cell } from "./data-table.js";
import { el } from "./dom.js";
import { splitBar } from "./split-bar.js";
import { duration, percent, plainNumber } from "./text.js";

const time = (cell: Cell): string => duration(Number(cell));
const seconds = (cell: Cell): string => `${(Number(cell) / 1e9).toFixed(3)} s`;
/** -1 stands for what is not known. */
const share = (cell: Cell): string => (Number(cell) < 0 ? "–" : percent(Number(cell)));
const known = (cell: Cell): string => (Number(cell) < 0 ? "–" : duration(Number(cell)));
const number = (cell: Cell): string => (Number(cell) < 0 ? "–" : plainNumber(Number(cell)));

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
/** "12 B", "1.5 MiB". */
export const bytes = (cell: Cell): string => {
  const value = Number(cell);
  const unit = value < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(value) / 10));
  return `${unit === 0 ? value : (value / 1024 ** unit).toFixed(1)} ${UNITS[unit]}`;
};

/** "nginx (pid 80)", "nginx (4 processes)". */
export const ownerText = ({ comm, pid, processes, self }: SocketOwner): string => {
  const who = self ? `${comm} (lowflame itself)` : comm;
  if (processes > 1) return `${who} (${processes} processes)`;
  return pid === null ? who : `${who} (pid ${pid})`;
};

const PROCESS: RowColumn<SocketOwner> = { title: "Process", numeric: false, cell: ownerText };
/** Where the time went, to be sorted by the busy share. */
const SPLIT: RowColumn<Pick<SocketTimes, "busyNs" | "blockedNs" | "waitingNs">> = {
  title: "Where the time went",
  numeric: false,
  cell: (row) => shareOf(row, "busy"),
  draw: splitBar,
};
const TIMES: readonly RowColumn<SocketTimes>[] = [
  { title: "Total", numeric: true, bars: true, format: time, cell: ({ totalNs }) => totalNs },
  { title: "p50", numeric: true, format: time, cell: ({ p50Ns }) => p50Ns },
  { title: "p99", numeric: true, format: time, cell: ({ p99Ns }) => p99Ns },
  { title: "Longest", numeric: true, format: time, cell: ({ maxNs }) => maxNs },
];

export const CALL_COLUMNS: readonly RowColumn<CallSummary>[] = [
  { title: "Call", numeric: false, cell: ({ call }) => call },
  PROCESS,
  { title: "Calls", numeric: true, cell: ({ count }) => count },
  SPLIT,
  ...TIMES,
  { title: "Bytes", numeric: true, format: bytes, cell: (row) => row.bytes },
  { title: "Errors", numeric: true, cell: ({ errors }) => errors },
  { title: "Most", numeric: false, cell: ({ byError }) => byError[0]?.name ?? "" },
];

const hasAnswers = (row: EndpointSummary): boolean => isAsked(row) || isServed(row);

export const ENDPOINT_COLUMNS: readonly RowColumn<EndpointSummary>[] = [
  { title: "Other end", numeric: false, cell: ({ name }) => name },
  { title: "Kind", numeric: false, minor: true, cell: ({ protocol }) => protocol },
  PROCESS,
  { title: "Calls", numeric: true, cell: ({ count }) => count },
  { title: "Out", numeric: true, minor: true, format: bytes, cell: ({ bytesOut }) => bytesOut },
  { title: "In", numeric: true, minor: true, format: bytes, cell: ({ bytesIn }) => bytesIn },
  { title: "Errors", numeric: true, cell: ({ errors }) => errors },
  {
    title: "EAGAIN",
    numeric: true,
    minor: true,
    format: share,
    cell: ({ again, count }) => (count > 0 ? again / count : 0),
  },
  SPLIT,
  ...TIMES,
  {
    title: "Answer p50",
    numeric: true,
    format: known,
    cell: (row) => (hasAnswers(row) ? row.turnP50Ns : -1),
  },
  {
    title: "Answer p99",
    numeric: true,
    format: known,
    cell: (row) => (hasAnswers(row) ? row.turnP99Ns : -1),
  },
];

/** One end that a program asks, or the program's own answers. */
export interface AnswerRow {
  readonly who: string;
  readonly whom: string;
  readonly turns: Turns;
  /** Of the time of all answers that the program waits for; of its own answers: waiting for those. -1: not known. */
  readonly share: number;
  /** How much of `share` at least, where short answers may have been read late; the same where that is certain. */
  readonly least: number;
  readonly own: boolean;
  /** Connections to an end that is asked, where they are known. */
  readonly tcp: TcpSummary | undefined;
}

/** Of an end that answered nothing. */
const NO_ANSWER: Turns = { ...turnsTogether([]), turnP50Ns: -1, turnP99Ns: -1 };

/** With how many questions were left without an answer, where any were. */
const whoText = (name: string, { unanswered }: Turns): string =>
  unanswered > 0 ? `${name} (${unanswered} unanswered)` : name;

/** The ends that each program asks, slowest first, those that stay silent or to which it cannot connect, then its own answers. */
export function answerRows(programs: readonly ProgramAnswers[]): AnswerRow[] {
  return programs.flatMap((program) => {
    const { comm, asked, silent, unconnected, served, tcp, upstreamShare, upstreamLeast } = program;
    const all = asked.reduce((sum, { turnSumNs }) => sum + turnSumNs, 0);
    const rows: AnswerRow[] = asked.map((end) => ({
      who: end.bytesIn === 0 ? `${end.name} (never answered)` : whoText(end.name, end),
      ...{ whom: comm, turns: end, own: false },
      share: all > 0 ? end.turnSumNs / all : 0,
      least: -1,
      tcp: tcp.get(end.endpoint),
    }));
    for (const end of silent)
      rows.push({
        who: `${end.name} (silent: ${end.connectingUnanswered} still connecting)`,
        ...{ whom: comm, turns: { ...NO_ANSWER, turnMaxNs: end.connectingMaxNs }, own: false },
        ...{ share: -1, least: -1, tcp: tcp.get(end.endpoint) },
      });
    for (const end of unconnected)
      rows.push({
        who: `${end.name} (${end.connectsFailed} connects failed)`,
        ...{ whom: comm, turns: { ...NO_ANSWER, turnSumNs: end.connectsFailedNs }, own: false },
        ...{ share: -1, least: -1, tcp: end },
      });
    if (served !== null)
      rows.push({
        who: whoText(comm, served),
        whom: "those who ask it",
        turns: served,
        share: upstreamShare ?? -1,
        least: upstreamLeast ?? -1,
        own: true,
        tcp: undefined,
      });
    return rows;
  });
}

/** "0.4 % to 78.7 %" where short answers may as well have been read late. */
export const waitsText = ({ own, share: most, least }: AnswerRow): string =>
  own && isUnsure(most, least) ? `${share(least)} to ${share(most)}` : share(own ? most : -1);

export const ANSWER_COLUMNS: readonly RowColumn<AnswerRow>[] = [
  { title: "Who answers", numeric: false, cell: ({ who }) => who },
  { title: "Whom", numeric: false, cell: ({ whom }) => whom },
  { title: "Answers", numeric: true, cell: ({ turns }) => turns.turns },
  { title: "p50", numeric: true, format: known, cell: ({ turns }) => turns.turnP50Ns },
  { title: "p99", numeric: true, format: known, cell: ({ turns }) => turns.turnP99Ns },
  { title: "Longest", numeric: true, format: time, cell: ({ turns }) => turns.turnMaxNs },
  { title: "Sum", numeric: true, bars: true, format: time, cell: ({ turns }) => turns.turnSumNs },
  {
    title: "Whole p50",
    numeric: true,
    format: known,
    cell: ({ turns }) => (turns.wholeBuckets.length > 0 ? turns.wholeP50Ns : -1),
  },
  {
    title: "Unread",
    numeric: true,
    format: known,
    cell: ({ turns, own }) => (own ? -1 : turns.lateSumNs),
  },
  {
    title: "To connect",
    numeric: true,
    format: known,
    cell: ({ tcp }) => (tcp !== undefined && timedConnects(tcp) > 0 ? tcp.connectP50Ns : -1),
  },
  {
    title: "Sent again",
    numeric: true,
    minor: true, // the table of connections has it, too
    format: number,
    cell: ({ tcp }) => tcp?.retransmits ?? -1,
  },
  {
    title: "Of all waiting",
    numeric: true,
    format: share,
    cell: (row) => (row.own ? -1 : row.share),
  },
  {
    title: "Waits for above",
    numeric: true,
    format: share,
    cell: (row) => (row.own ? row.share : -1),
    draw: (row) => el("span", { class: "wraps" }, waitsText(row).replaceAll(" %", "\u00a0%")),
  },
];

export interface ErrorRow {
  readonly name: string;
  readonly meaning: string;
  readonly count: number;
  readonly who: string;
}

export const ERROR_COLUMNS: readonly RowColumn<ErrorRow>[] = [
  { title: "Error", numeric: false, cell: ({ name }) => name },
  { title: "Times", numeric: true, cell: ({ count }) => count },
  { title: "Most of them", numeric: false, cell: ({ who }) => who },
  { title: "Meaning", numeric: false, cell: ({ meaning }) => meaning },
];

export const SPINNING_COLUMNS: readonly RowColumn<SpinningDescriptor>[] = [
  PROCESS,
  { title: "Descriptor", numeric: true, format: String, cell: ({ fd }) => fd },
  { title: "Other end", numeric: false, cell: ({ endpoint }) => endpoint?.name ?? "" },
  { title: "Calls a second", numeric: true, cell: ({ perSecond }) => Math.round(perSecond) },
  { title: "EAGAIN", numeric: true, format: share, cell: ({ again, count }) => again / count },
  {
    title: "Asked from",
    numeric: false,
    cell: ({ callers }) => callers.map(callerText).join(", "),
  },
];

/** "nginx (pid 80)" for the main thread, "nginx (thread 81, worker)" for another. */
const threadText = ({ comm, thread, tid, pid, self }: CallSeen): string => {
  const who = self ? `${comm} (lowflame itself)` : comm;
  if (tid === pid) return `${who} (pid ${pid})`;
  return `${who} (thread ${tid}${thread === comm ? "" : `, ${thread}`})`;
};

const SEEN: readonly RowColumn<CallSeen>[] = [
  { title: "Call", numeric: false, cell: ({ call }) => call },
  { title: "Thread", numeric: false, cell: threadText },
  { title: "Other end", numeric: false, cell: ({ endpoint }) => endpoint?.name ?? "" },
  {
    title: "Descriptor",
    numeric: true,
    format: (fd) => (Number(fd) < 0 ? "" : String(fd)),
    cell: ({ fd }) => fd ?? -1,
  },
  SPLIT,
];

export const SLOW_COLUMNS: readonly RowColumn<CallSeen>[] = [
  ...SEEN,
  { title: "Took", numeric: true, bars: true, format: time, cell: ({ durationNs }) => durationNs },
  { title: "Began at", numeric: true, format: seconds, cell: ({ startNs }) => startNs },
  { title: "Returned", numeric: false, cell: ({ outcome }) => outcome },
];

export const UNFINISHED_COLUMNS: readonly RowColumn<CallSeen>[] = [
  ...SEEN,
  { title: "Age", numeric: true, bars: true, format: time, cell: ({ durationNs }) => durationNs },
];
