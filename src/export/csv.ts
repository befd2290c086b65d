// Tables of a recording of sockets as CSV (RFC 4180): a head line, then one line a row, CRLF ends, times in nanoseconds.
// Names come from the traced machine: a spreadsheet must not take one for a formula, and a quote must not break a line.
import { type CallSeen, slowCalls, unfinishedCalls } from "../analysis/socket-calls.js";
import type { CallSummary, EndpointSummary, SocketOwner, SocketTimes } from "../analysis/socket-sum.js";
import { callSummaries, endpointSummaries } from "../analysis/socket-summary.js";
import { ownersText, type TcpSummary } from "../analysis/tcp-sum.js";
import { tcpSummaries } from "../analysis/tcp-summary.js";
import type { Profile } from "../model/profile.js";
import type { CsvTable } from "./csv-tables.js";
import { functionsLeafFirst, inPieces, OWN_PROCESS, utf8 } from "./stacks.js";

type Cell = string | number | null;
interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => Cell;
}

/** UTF-8 text of one table; only its head where there is nothing in it. */
export function writeCsv(profile: Profile, table: CsvTable): Uint8Array {
  return utf8(inPieces(linesOf(profile, table)));
}

function linesOf(profile: Profile, table: CsvTable): Iterable<string> {
  switch (table) {
    case "calls":
      return lines(CALLS, callSummaries(profile));
    case "endpoints":
      return lines(ENDPOINTS, endpointSummaries(profile));
    case "tcp":
      return lines(TCP, tcpSummaries(profile));
    case "slow":
      return lines(slowColumns(profile), [...slowCalls(profile), ...unfinishedCalls(profile)]);
  }
}

const columns = <Row>(cells: Readonly<Record<string, (row: Row) => Cell>>): Column<Row>[] =>
  Object.entries(cells).map(([title, cell]) => ({ title, cell }));

const OWNER = columns<SocketOwner>({
  pid: ({ pid }) => pid,
  process: ({ comm, self }) => (self ? OWN_PROCESS : comm),
});
const TIMES = columns<SocketTimes>({
  total_ns: ({ totalNs }) => totalNs,
  busy_ns: ({ busyNs }) => busyNs,
  blocked_ns: ({ blockedNs }) => blockedNs,
  waiting_ns: ({ waitingNs }) => waitingNs,
  p50_ns: ({ p50Ns }) => Math.round(p50Ns),
  p99_ns: ({ p99Ns }) => Math.round(p99Ns),
  max_ns: ({ maxNs }) => maxNs,
});
const CALLS = [
  ...OWNER,
  ...columns<CallSummary>({
    call: ({ call }) => call,
    idle_waiting: ({ waiting }) => (waiting ? "yes" : "no"),
    calls: ({ count }) => count,
    bytes: ({ bytes }) => bytes,
    errors: ({ errors }) => errors,
    errors_by_name: ({ byError }) => byError.map(({ name, count }) => `${name} ${count}`).join("; "),
  }),
  ...TIMES,
];
const ENDPOINTS = [
  ...OWNER,
  ...columns<EndpointSummary>({
    endpoint: ({ name }) => name,
    role: ({ role }) => role,
    protocol: ({ protocol }) => protocol,
    calls: ({ count }) => count,
    bytes_out: ({ bytesOut }) => bytesOut,
    bytes_in: ({ bytesIn }) => bytesIn,
    errors: ({ errors }) => errors,
    eagain: ({ again }) => again,
  }),
  ...TIMES,
  ...columns<EndpointSummary>({
    answers: ({ turns }) => turns,
    unanswered: ({ unanswered }) => unanswered,
    closed_unanswered: ({ closed }) => closed,
    answer_sum_ns: ({ turnSumNs }) => turnSumNs,
    answer_p50_ns: ({ turnP50Ns }) => Math.round(turnP50Ns),
    answer_p99_ns: ({ turnP99Ns }) => Math.round(turnP99Ns),
    answer_max_ns: ({ turnMaxNs }) => turnMaxNs,
    whole_answer_sum_ns: ({ wholeSumNs }) => wholeSumNs,
    whole_answer_p50_ns: ({ wholeP50Ns }) => Math.round(wholeP50Ns),
    whole_answer_p99_ns: ({ wholeP99Ns }) => Math.round(wholeP99Ns),
    whole_answer_max_ns: ({ wholeMaxNs }) => wholeMaxNs,
    pauses: ({ pauses }) => pauses,
    late_reads: ({ lateReads }) => lateReads,
    late_sum_ns: ({ lateSumNs }) => lateSumNs,
    late_max_ns: ({ lateMaxNs }) => lateMaxNs,
    late_passed_ns: ({ latePassedNs }) => latePassedNs,
    late_awake_ns: ({ lateAwakeNs }) => lateAwakeNs,
    late_slept_ns: ({ lateSleptNs }) => lateSleptNs,
    queue_max: ({ queueMax }) => queueMax,
    queue_limit: ({ queueLimit }) => queueLimit,
  }),
];
const TCP = columns<TcpSummary>({
  endpoint: ({ name }) => name,
  role: ({ role }) => role,
  processes: ({ owners }) =>
    ownersText(owners.map((owner) => (owner.self ? { ...owner, comm: OWN_PROCESS } : owner))),
  connects: ({ connects }) => connects,
  connects_failed: ({ connectsFailed }) => connectsFailed,
  connects_unanswered: ({ connectsUnanswered }) => connectsUnanswered,
  connects_failed_ns: ({ connectsFailedNs }) => connectsFailedNs,
  connecting: ({ connecting }) => connecting,
  connecting_unanswered: ({ connectingUnanswered }) => connectingUnanswered,
  connecting_sent_again: ({ connectingSentAgain }) => connectingSentAgain,
  connecting_max_ns: ({ connectingMaxNs }) => connectingMaxNs,
  connect_sum_ns: ({ connectSumNs }) => connectSumNs,
  connect_p50_ns: ({ connectP50Ns }) => Math.round(connectP50Ns),
  connect_p99_ns: ({ connectP99Ns }) => Math.round(connectP99Ns),
  connect_max_ns: ({ connectMaxNs }) => connectMaxNs,
  accepted: ({ accepted }) => accepted,
  closes: ({ closes }) => closes,
  resets_sent: ({ resetsSent }) => resetsSent,
  resets_received: ({ resetsReceived }) => resetsReceived,
  retransmits: ({ retransmits }) => retransmits,
  queue_max: ({ queueMax }) => queueMax,
  queue_limit: ({ queueLimit }) => queueLimit,
});

const slowColumns = (profile: Profile): Column<CallSeen>[] => [
  ...OWNER,
  ...columns<CallSeen>({
    tid: ({ tid }) => tid,
    thread: ({ thread }) => thread,
    call: ({ call }) => call,
    idle_waiting: ({ waiting }) => (waiting ? "yes" : "no"),
    fd: ({ fd }) => fd,
    endpoint: ({ endpoint }) => endpoint?.name ?? "",
    protocol: ({ endpoint }) => endpoint?.protocol ?? "",
    finished: ({ unfinished }) => (unfinished ? "no" : "yes"),
    result: ({ outcome }) => outcome,
    start_ns: ({ startNs }) => startNs,
    total_ns: ({ durationNs }) => durationNs,
    busy_ns: ({ busyNs }) => busyNs,
    blocked_ns: ({ blockedNs }) => blockedNs,
    waiting_ns: ({ waitingNs }) => waitingNs,
    stack: ({ node }) => stackText(profile, node),
  }),
];

/** Function names, the outermost first, as folded stacks have them. */
function stackText(profile: Profile, node: number): string {
  const path: number[] = [];
  functionsLeafFirst(profile.tree, node, path);
  return path
    .reverse()
    .map((func) => (profile.functions.name[func] ?? "").replaceAll(";", ":"))
    .join(";");
}

function* lines<Row>(heads: readonly Column<Row>[], rows: readonly Row[]): Generator<string> {
  yield `${heads.map(({ title }) => title).join(",")}\r\n`;
  for (const row of rows) yield `${heads.map(({ cell }) => csvCell(cell(row))).join(",")}\r\n`;
}

/**
 * One cell. Text that a spreadsheet would run as a formula (also with full-width signs, or behind blanks) gets an
 * apostrophe in front, which spreadsheets hide and every other reader sees.
 */
export function csvCell(value: Cell): string {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  const text = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/.test(value) ? `'${value}` : value;
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
