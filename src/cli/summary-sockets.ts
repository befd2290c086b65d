// The part of the summary about sockets: who keeps whom waiting, where the time of calls goes, errors, calls that have not
// returned. Pure.
import { isUnsure } from "../analysis/answer-shares.js";
import { mainPart, PART_WORDS, shareOf } from "../analysis/socket-blame.js";
import { count, duration, percent, plural, size } from "./figures.js";
import type {
  AnswersJson,
  AskedJson,
  SilentEndJson,
  SocketAnswersJson,
  SocketCallSeenJson,
  SocketEndJson,
  SocketsJson,
} from "./json.js";
import { tcpLines } from "./summary-tcp.js";
import { firstThatFits, type Palette, printable } from "./terminal.js";

const ROWS = 5;
const PROGRAMS = 3;
/** Width of the three columns of times. */
const INDENT = 31;
/** Names without a port are cut in their middle, down to this length. */
const LEAST_NAME = 20;
/** "listening on [2001:db8::1]:443": longer ones are paths. */
const LONGEST_WITH_PORT = 64;
/** Less than this is not told beside the time of an answer. */
const FELT_NS = 5e6;
/** Younger calls are on their way; older ones are told. */
const TOLD_FROM_NS = 1e9;
/** What sockets that do not block say all the time. */
const NORMAL_ERRORS = new Set(["EAGAIN", "EINPROGRESS", "interrupted"]);

/** @returns lines without their ends, none wider than `width` characters where that can be */
export function socketLines(sockets: SocketsJson, palette: Palette, width: number): string[] {
  return [
    ...headLines(sockets, palette),
    ...answerLines(sockets.programs, palette, width),
    ...endLines(sockets, palette, width),
    ...errorLines(sockets, width),
    ...tcpLines(sockets, palette, width),
    ...unfinishedLines(sockets, palette, width),
  ];
}

function headLines(sockets: SocketsJson, palette: Palette): string[] {
  if (!sockets.complete)
    return [
      "",
      palette.bold("Sockets: the totals stand at the end of a capture, and this one was cut before."),
    ];
  if (sockets.calls === 0) return ["", "Sockets: no call on one was made."];
  const parts = (["busy", "blocked", "waiting"] as const).map(
    (part) => `${PART_WORDS[part]} ${percent(shareOf(sockets, part))}`,
  );
  const idle = sockets.waitingCalls.reduce((sum, row) => sum + row.totalNs, 0);
  return [
    "",
    palette.bold(
      `Sockets: ${plural(sockets.calls, "call")}, ${duration(sockets.totalNs)}: ${parts.join(", ")}`,
    ),
    ...(idle > 0
      ? [palette.dim(`Not in it: ${duration(idle)} of waiting for events (epoll_wait, poll, select).`)]
      : []),
  ];
}

/** Who answers late: the ends that a program asks, then the program itself. */
function answerLines(programs: readonly SocketAnswersJson[], palette: Palette, width: number): string[] {
  if (programs.length === 0) return [];
  return [
    palette.bold("Who keeps whom waiting (from the question to the first bytes of the answer)"),
    palette.dim("      p50       p99   longest  who answers whom, answers"),
    ...programs.slice(0, PROGRAMS).flatMap((program) => programLines(program, width)),
  ];
}

function programLines(program: SocketAnswersJson, width: number): string[] {
  const { process, served, asked, silent, upstreamShare } = program;
  const lines = asked
    .slice(0, ROWS)
    .map((row) =>
      answerLine(
        row,
        row.name,
        row.neverAnswered ? ` never answered ${process}` : ` answers ${process}`,
        manyText(row, row.neverAnswered),
        width,
        restText(row),
        `${itselfText(row)}${connectText(row)}`,
      ),
    );
  if (asked.length > ROWS) lines.push(`${" ".repeat(INDENT)}and ${count(asked.length - ROWS)} other ends`);
  for (const row of silent.slice(0, ROWS)) lines.push(silentLine(row, process, width));
  if (silent.length > ROWS)
    lines.push(`${" ".repeat(INDENT)}and ${count(silent.length - ROWS)} other silent ends`);
  if (served === null) return lines;
  lines.push(answerLine(served, process, " answers those who ask it", manyText(served, false), width));
  lines.push(...blame(program, upstreamShare, width - INDENT).map((line) => below(line, width)));
  return lines;
}

/** An end without an answer has no percentiles; the age of its oldest connection stands under "longest". */
function silentLine({ name, connections, maxNs }: SilentEndJson, process: string, width: number): string {
  const whom = ` does not answer ${process}`;
  const waiting = connections === 1 ? "1 connect still waits" : `${count(connections)} connects still wait`;
  return lineOf([null, null, maxNs], name, [`${whom}: ${waiting}`, whom, ` silent, ${waiting}`, ""], width);
}

/** Who takes the time of a program's answers, in words: in two lines where they do not fit into `room`. */
function blame(program: SocketAnswersJson, share: number | null, room: number): string[] {
  const lines = share === null ? [] : whoseTime(program, share, room);
  const { silent } = program;
  if (silent.length === 0) return lines;
  const connections = silent.reduce((sum, row) => sum + row.connections, 0);
  const ends = silent.length === 1 ? silent[0]!.name : `${count(silent.length)} silent ends`;
  return [...lines, `Not in it: what waits for ${ends} (${plural(connections, "connect")})`];
}

function whoseTime(program: SocketAnswersJson, share: number, room: number): string[] {
  const { process, asked, waitsForWhole, upstreamLeast } = program;
  const took = (row: AskedJson): number => (waitsForWhole ? (row.whole?.sumNs ?? 0) : row.sumNs);
  const vain = inVain(program, share);
  if (vain !== undefined) return [vain];
  const first = asked.toSorted((a, b) => took(b) - took(a))[0];
  const all = asked.reduce((sum, row) => sum + took(row), 0);
  if (share < 0.5 || first === undefined) {
    if (!program.waitsUnseen) return [`${percent(1 - share)} of that is ${process}'s own time`];
    return [
      `${percent(1 - share)} of that it is not seen to wait,`,
      `but it worked for ${duration(program.workNs ?? 0)} only: it waits for a`,
      "disk, a lock, a rate limit, or behind HTTP/2",
    ];
  }
  const unsure = upstreamLeast !== null && isUnsure(share, upstreamLeast);
  if (unsure && upstreamLeast < 0.5) return notToldApart(program, share, upstreamLeast, room);
  const waits = `${unsure ? `at least ${percent(upstreamLeast)}` : percent(share)} of that it waits for the above`;
  const end = waitsForWhole ? "to the end of their answers" : "";
  const mostly = took(first) >= all / 2 && asked.length > 1 ? `most for ${first.name}` : "";
  const rest = [end, mostly].filter((part) => part !== "").join(", ");
  if (rest === "") return [waits];
  const line = `${waits}, ${rest}`;
  return line.length <= room ? [line] : [waits, rest];
}

/** Where most of what it waits for are connections that fail in the end. */
function inVain({ served, unconnected }: SocketAnswersJson, share: number): string | undefined {
  const [first] = unconnected;
  const sumNs = unconnected.reduce((sum, row) => sum + row.sumNs, 0);
  const part = Math.min(1, sumNs / Math.max(1, served?.sumNs ?? 0));
  if (first === undefined || share < 0.5 || part < share / 2) return undefined;
  const most = unconnected.some(({ shared }) => shared) ? "up to " : "";
  const others = unconnected.length > 1 ? " and others" : "";
  return `${most}${percent(part)} of that it waits in vain to connect to ${first.name}${others}`;
}

/** Short answers that may have come late, or been read late. */
function notToldApart(
  { process, asked, unseenBelowNs }: SocketAnswersJson,
  share: number,
  least: number,
  room: number,
): string[] {
  const known = asked.every(({ itself }) => itself !== null);
  const [what, why] = known
    ? [
        `${percent(least)} of that the above take themselves, ${percent(share - least)} passes between`,
        `one reads the other late, ${process} or they`,
      ]
    : [
        `${percent(least)} to ${percent(share)} of that it waits for the above`,
        `below ${duration(unseenBelowNs)} not told apart from reading late`,
      ];
  const line = `${what}: ${why}`;
  return line.length <= room ? [line] : [what, why];
}

/** "744 questions, 220 unanswered": where none was left without an answer, how many those are. */
function manyText({ answers, unanswered }: AnswersJson, never: boolean): string {
  if (never) return plural(answers, "question");
  if (unanswered === 0) return plural(answers, "answer");
  return `${plural(answers, "question")}, ${count(unanswered)} unanswered`;
}

function answerLine(
  row: AnswersJson,
  who: string,
  whom: string,
  many: string,
  width: number,
  rest = "",
  more = "",
): string {
  const answers = `, ${many}`;
  const late = rest === "" ? [] : [`${whom}${answers}${rest}`, `${whom}${rest}`, rest];
  const rests = [`${whom}${answers}${rest}${more}`, ...late, `${whom}${answers}`, whom, answers, ""];
  return lineOf([row.p50Ns, row.p99Ns, row.maxNs], who, rests, width);
}

/** What the times to the first bytes do not hold, where it is as long as they are and is felt. */
function restText({ p50Ns, sumNs, whole, late }: AskedJson): string {
  const felt = (ns: number, beside: number): boolean => ns >= beside && ns >= FELT_NS;
  const rest =
    whole !== null && felt(whole.p50Ns - p50Ns, p50Ns) ? `, whole after ${duration(whole.p50Ns)}` : "";
  const unread = late.reads > 0 && felt(late.sumNs / late.reads, 0) && felt(late.sumNs, sumNs);
  return `${rest}${unread ? `, unread for ${duration(late.sumNs / late.reads)}` : ""}`;
}

/** Where the program there takes far less than is waited for it. */
const itselfText = ({ answers, sumNs, itself }: AskedJson): string =>
  itself !== null && itself.sumNs / itself.answers < sumNs / answers / 2
    ? `, itself after ${duration(itself.p50Ns)}`
    : "";

/** What tells a slow way from a slow program: the kernel at the other end establishes a connection without its program. */
const connectText = ({ connect }: AskedJson): string =>
  connect === null || connect.timed === 0 ? "" : `, connects in ${duration(connect.p50Ns)}`;

function endLines({ ends, endCount }: SocketsJson, palette: Palette, width: number): string[] {
  if (ends.length === 0) return [];
  const which = endCount > ROWS ? `, the first five of ${count(endCount)}` : "";
  return [
    palette.bold(`Time in socket calls by other end${which}`),
    palette.dim("    total       p99   longest  other end, process, calls"),
    ...ends.slice(0, ROWS).flatMap((row) => endLinesOf(row, width)),
  ];
}

function endLinesOf(row: SocketEndJson, width: number): string[] {
  const pid = row.pid === null ? "" : `[${row.pid}]`;
  const part = mainPart(row);
  const known = [
    ...(part === null ? [] : [`${PART_WORDS[part]} ${percent(shareOf(row, part))}`]),
    `out ${size(row.bytesOut)}, in ${size(row.bytesIn)}`,
    ...(row.errors > 0 ? [plural(row.errors, "error")] : []),
    ...(row.again > 0 ? [`EAGAIN ${percent(row.again / row.calls)}`] : []),
  ];
  const times = [row.totalNs, row.p99Ns, row.maxNs];
  return [
    lineOf(
      times,
      row.name,
      [`, ${row.process}${pid}, ${plural(row.calls, "call")}`, `, ${row.process}${pid}`, ""],
      width,
    ),
    below(known.join(", "), width),
  ];
}

function errorLines({ byError, byCall }: SocketsJson, width: number): string[] {
  const errors = byError.filter(({ name }) => !NORMAL_ERRORS.has(name));
  const room = Math.max(40, width - 19);
  if (errors.length === 0) {
    const normal = byError.slice(0, ROWS).map(({ name, count: times }) => `${name} ${count(times)}`);
    const text = `none but ${normal.join(", ")}, which calls that do not block give`;
    return byError.length > 0 ? [`Errors of sockets: ${printable(text, room)}`] : [];
  }
  const told = errors.slice(0, ROWS).map(({ name, count: times }) => {
    const [who] = byCall
      .flatMap((row) => row.byError.filter((each) => each.name === name).map((each) => ({ ...each, row })))
      .sort((a, b) => b.count - a.count);
    return `${name} ${count(times)}${who ? ` (${who.row.call} of ${who.row.process})` : ""}`;
  });
  return [`Errors of sockets: ${printable(told.join(", "), room)}`];
}

function unfinishedLines(sockets: SocketsJson, palette: Palette, width: number): string[] {
  const old = sockets.unfinished.filter(({ totalNs }) => totalNs >= TOLD_FROM_NS);
  if (old.length === 0) return [];
  const which = sockets.unfinishedCount > ROWS ? ", the oldest" : "";
  return [
    palette.bold(`Socket calls that had not returned${which}`),
    ...old.slice(0, ROWS).map((row) => unfinishedLine(row, width)),
  ];
}

function unfinishedLine(row: SocketCallSeenJson, width: number): string {
  const pid = row.pid === null ? "" : `[${row.pid}]`;
  const part = mainPart(row);
  const on = row.end ?? (row.descriptor === null ? null : `descriptor ${row.descriptor}`);
  const how = part === null ? "" : `, ${PART_WORDS[part]}`;
  const where = on === null ? "" : ` on ${on}`;
  const who = `${row.call} of ${row.process}${pid}`;
  const forms = [`${who}${where}${how}`, `${who}${where}`, `${row.call}${where}`];
  const room = Math.max(LEAST_NAME, width - 11);
  const text = on !== null && endsInPort(on) ? firstThatFits(forms, room) : printable(forms[0]!, room);
  return `${duration(row.totalNs).padStart(9)}  ${text}`;
}

/**
 * Three times and a name. What goes with the name is left out before a name that ends in a port is cut, which is never: without
 * its port it says nothing. Others are cut in their middle.
 * @param rests forms of what goes with it, the longest first
 */
function lineOf(
  times: readonly (number | null)[],
  name: string,
  rests: readonly string[],
  width: number,
): string {
  const columns = times.map((value) => (value === null ? "–" : duration(value)).padStart(9)).join(" ");
  const room = width - INDENT;
  const whole = printable(name, Number.POSITIVE_INFINITY);
  const least = endsInPort(whole) ? whole.length : Math.min(whole.length, LEAST_NAME);
  const rest = firstThatFits(rests, room - least);
  return `${columns}  ${printable(whole, Math.max(least, room - rest.length))}${rest}`;
}

const endsInPort = (name: string): boolean =>
  name.length <= LONGEST_WITH_PORT && /:\d+(?: \(netns \d+\))?$/.test(name);

const below = (text: string, width: number): string =>
  `${" ".repeat(INDENT)}${printable(text, Math.max(20, width - INDENT))}`;
