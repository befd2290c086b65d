// One of the ends that a program asks answers far later than the others: the slow upstream. Answers are timed from a send to
// the first bytes received after it, and to the last, so a program that never blocks in a call is judged as well.
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import { type Behind, behind } from "../answer-chain.js";
import { ownAnswers, shareOf } from "../answer-text.js";
import type { CpuTime } from "../cpu-time.js";
import type { Finding, Severity } from "../finding.js";
import { notSelf } from "../lock-summary.js";
import { isNameServer } from "../name-servers.js";
import { ssCommand } from "../socket-advice.js";
import { type ProgramAnswers, programAnswers } from "../socket-answers.js";
import { didText, type ServerDid, serverAt } from "../socket-servers.js";
import {
  type EndpointSummary,
  endpointsByProgram,
  percentileOf,
  type Turns,
  turnsTogether,
} from "../socket-sum.js";
import { endpointSummaries } from "../socket-summary.js";
import { tcpSummaries } from "../tcp-summary.js";
import { wayThere } from "../tcp-way.js";
import { graded, percent, shown, time } from "../text.js";
import { SLOW_END } from "../thresholds.js";
import { closedQuestions } from "./sockets-closed-questions.js";
import { silentEnd } from "./sockets-silent-end.js";
import { slowNames } from "./sockets-slow-names.js";
import { unansweredEnd } from "./sockets-unanswered-end.js";

/** What of its answers is late: half of them, a quarter, one in a hundred, or the rest after a beginning in time. */
type Late = "median" | "quarter" | "tail" | "rest";

interface Judged {
  readonly end: EndpointSummary;
  readonly others: Turns;
  readonly late: Late;
  readonly severity: Severity;
}

/** Findings "slow-end", by program: the end that costs most first. */
export function slowEnds(profile: Profile, cpu: CpuTime | undefined): Finding[] {
  const counts = notSelf(profile);
  const tickNs = profile.final?.tcpCounters?.tickNs;
  const rows = endpointSummaries(profile, counts);
  const programs = programAnswers(rows, tcpSummaries(profile, counts), [], tickNs);
  return programs.flatMap((program) =>
    [
      ...program.asked.flatMap((end) => found(profile, cpu, end, program, programs) ?? []),
      ...onlyClosed(program, rows).flatMap(
        (end) => closedQuestions(program, end, nextSteps(profile, end)) ?? [],
      ),
    ].slice(0, SLOW_END.maxFindings),
  );
}

/** Ends that a program asked, and of which no answer is known, nor that one was waited for. */
const onlyClosed = ({ processes }: ProgramAnswers, rows: readonly EndpointSummary[]): EndpointSummary[] =>
  endpointsByProgram(
    rows.filter((row) => processes.has(row.process) && (row.role === "remote" || row.role === "path")),
  ).filter(({ turns, closed }) => turns === 0 && closed > 0);

function found(
  profile: Profile,
  cpu: CpuTime | undefined,
  end: EndpointSummary,
  program: ProgramAnswers,
  programs: readonly ProgramAnswers[],
): Finding | undefined {
  const each = judged(end, program);
  const next = nextSteps(profile, end);
  if (end.bytesIn === 0)
    return silentEnd(profile, program, end, each, next) ?? closedQuestions(program, end, next);
  const unanswered = program.served === null ? undefined : unansweredEnd(program, end, next);
  if (unanswered !== undefined) return unanswered;
  if (isNameServer(profile.endpoints[end.endpoint])) return slowNames(profile, program, end);
  if (each === undefined) return closedQuestions(program, end, next);
  if (each.late === "rest") return lateRest(profile, program, each);
  const serverOf = (at: EndpointSummary) => serverAt(profile, cpu, at.endpoint, at.turnSumNs);
  const serversAt = (at: EndpointSummary) => serverOf(at)?.processes ?? new Set<number>();
  const chain = behind({ programs, serversAt, lateOf: lateOf(each.late) }, end);
  return finding(profile, program, each, serverOf(end), chain);
}

/** What of an end's answers is compared. */
const lateOf =
  (late: Late) =>
  (row: Turns): number =>
    late === "tail" ? row.turnP99Ns : late === "quarter" ? upperQuarter(row) : row.turnP50Ns;

/** Requests and answers over a stream of bytes; datagrams are asked other things (names, logs). */
const STREAMS: ReadonlySet<string> = new Set(["tcp", "unix"]);
const isLike = (a: EndpointSummary, b: EndpointSummary): boolean =>
  a.protocol === b.protocol || (STREAMS.has(a.protocol) && STREAMS.has(b.protocol));

/** The other ends that the same processes ask, and that gave enough answers to be compared with. */
function othersOf(end: EndpointSummary, { asked, askedBy }: ProgramAnswers): EndpointSummary[] {
  const own = askedBy.get(end) ?? new Set();
  return asked.filter(
    (each) =>
      each !== end &&
      isLike(each, end) &&
      each.turns >= SLOW_END.minTurns &&
      [...(askedBy.get(each) ?? [])].some((group) => own.has(group)),
  );
}

/** Against the faster half of the others: with two slow ends of four each is slow all the same. */
function judged(end: EndpointSummary, program: ProgramAnswers): Judged | undefined {
  const all = othersOf(end, program);
  const fasterHalf = (by: (row: Turns) => number): Turns =>
    turnsTogether(all.toSorted((a, b) => by(a) - by(b)).slice(0, Math.ceil(all.length / 2)));
  if (all.length === 0) return undefined;
  const others = fasterHalf((row) => row.turnP50Ns);
  if (isEnough(end, others) && end.turnP50Ns >= others.turnP50Ns * SLOW_END.times) {
    const severity = graded(end.turnP50Ns, SLOW_END.p50Ns);
    if (severity !== undefined) return { end, others, late: "median", severity };
  }
  const whole = fasterHalf((row) => row.wholeP50Ns);
  if (end.turns >= SLOW_END.minTurns && end.wholeP50Ns >= whole.wholeP50Ns * SLOW_END.times) {
    const severity = graded(end.wholeP50Ns, SLOW_END.p50Ns);
    if (severity !== undefined && end.wholeP50Ns >= end.turnP50Ns * SLOW_END.restTimes)
      return { end, others: whole, late: "rest", severity: softened(severity, end, program) };
  }
  if (end.turns >= SLOW_END.minTurns && others.turns >= SLOW_END.minTurns) {
    const upper = upperQuarter(end);
    if (upper >= SLOW_END.quarterNs && upper >= upperQuarter(others) * SLOW_END.tailTimes)
      return { end, others, late: "quarter", severity: "warning" };
  }
  const tail =
    end.turns >= SLOW_END.tailMinTurns &&
    others.turns >= SLOW_END.tailMinTurns &&
    end.turnP99Ns >= SLOW_END.tailP99Ns &&
    end.turnP99Ns >= others.turnP99Ns * SLOW_END.tailTimes;
  return tail ? { end, others, late: "tail", severity: "warning" } : undefined;
}

/** What a quarter of the answers take at least, ns: half of those of a TLS connection for each request are its handshake's. */
const upperQuarter = ({ turnBuckets, turnMaxNs }: Turns): number =>
  percentileOf(turnBuckets, turnMaxNs, 0.75);

/** Of what the program does not wait for itself: a warning at most, and what may be a stream is worth knowing only. */
function softened(severity: Severity, end: Turns, { served, waitsForWhole }: ProgramAnswers): Severity {
  if (waitsForWhole) return severity;
  return served === null || isStream(end) ? "info" : "warning";
}

function isStream({ pauses, turns, wholeP50Ns }: Turns): boolean {
  const { least, most } = SLOW_END.page.pauses;
  return pauses < turns * least || pauses > turns * most || wholeP50Ns > SLOW_END.page.p50Ns;
}

/** Whether an end gave enough answers to be judged: the slower they are, the fewer there can be, and the fewer are no chance. */
function isEnough(end: Turns, others: Turns): boolean {
  const { minTurns, few } = SLOW_END;
  if (end.turns >= minTurns) return true;
  return (
    end.turns >= few.minTurns && end.turnP50Ns >= few.p50Ns && end.turnP50Ns >= others.turnP50Ns * few.times
  );
}

function finding(
  profile: Profile,
  program: ProgramAnswers,
  { end, others, late, severity }: Judged,
  server: ServerDid | undefined,
  chain: Behind | undefined,
): Finding {
  const name = shown(program.comm);
  const idle = server?.idle ?? false;
  const sure = !idle && (program.served !== null || server?.cpuNs !== undefined);
  const way = wayThere(end, program.tcp.get(end.endpoint), late === "tail" || late === "quarter", sure);
  const slow = end.role === "path" ? "the other side is slow" : "the other side is slow, or the way there";
  const seen = way.blame === undefined && sure ? `: ${slow}.` : ".";
  const read = chain === undefined ? answersSoon(program, end, lateOf(late)) : undefined;
  const blame =
    chain !== undefined
      ? chainShort(chain, lateOf(late))
      : read !== undefined
        ? `; the program there reads questions late, and answers ${time(read.turnP50Ns)} after that`
        : way.short;
  const there = `${way.text === "" ? "" : ` ${way.text}`}${read === undefined ? overThere(program, server) : queuedText(read)}`;
  const share = shareOf(program, (row) => row.turnSumNs);
  return {
    rule: "slow-end",
    severity: program.served === null ? unserved(severity, idle, sure) : severity,
    title: `${end.name} ${answersAfter(name, end, others, late)}${blame}`,
    detail: `${percent(share(end))} of the time that ${name} waits for answers goes to this end: ${answers(end)}, the slowest after ${time(end.turnMaxNs)}. ${notHere(end)}${seen}${chain === undefined ? there : chainText(chain)}${ownAnswers(program)}`,
    share: ratio(share(end)),
    culprit: (chain?.end ?? end).name,
    contributors: program.asked.slice(0, 8).map((each) => ({
      name: `${each.name}: ${answers(each)}, p50 ${time(each.turnP50Ns)}, p99 ${time(each.turnP99Ns)}`,
      share: ratio(share(each)),
    })),
    next: nextSteps(profile, chain?.end ?? end, chain === undefined ? server : undefined),
    tab: "sockets",
  };
}

/** When it answers, and when the others do: of what is late. */
function answersAfter(name: string, end: Turns, others: Turns, late: Late): string {
  if (late === "tail")
    return `gives ${name} one answer in 100 after ${time(end.turnP99Ns)} or later, the others after ${time(others.turnP99Ns)} (half of all come within ${time(end.turnP50Ns)} and ${time(others.turnP50Ns)})`;
  const typical = late === "quarter" ? upperQuarter : ({ turnP50Ns }: Turns): number => turnP50Ns;
  const gives = late === "quarter" ? `gives ${name} a quarter of its answers` : `answers ${name}`;
  return `${gives} after ${time(typical(end))} (p99 ${time(end.turnP99Ns)}), the others after ${time(typical(others))} (p99 ${time(others.turnP99Ns)})`;
}

/** Who is slow behind the end that was found, for a title. */
const chainShort = ({ through, end }: Behind, late: (row: Turns) => number): string =>
  `; ${shown(through.comm)} there waits itself, for ${end.name}, which answers it after ${time(late(end))}`;

/** The same in a sentence. */
function chainText({ through, end }: Behind): string {
  const { comm, upstreamLeast } = through;
  return ` ${shown(comm)} there is on this machine and not slow itself: in ${percent(upstreamLeast ?? 0)} of the time of its own answers it waits for the ends that it asks, most of it for ${end.name} (${answers(end)}, p50 ${time(end.turnP50Ns)}, p99 ${time(end.turnP99Ns)}). Look there.`;
}

/** The own answers of the program there, where it gives them soon after it has read a question: what took the time was before. */
function answersSoon(
  { there }: ProgramAnswers,
  end: EndpointSummary,
  value: (row: Turns) => number,
): Turns | undefined {
  const own = there.get(end);
  return own !== undefined && value(own) < value(end) * SLOW_END.readSoon ? own : undefined;
}

const queuedText = (own: Turns): string =>
  ` The program there is on this machine and answers ${time(own.turnP50Ns)} (p99 ${time(own.turnP99Ns)}) after it has read a question: for the rest of the time questions wait there to be read, since it has others to answer first or takes connections late.`;

/** Of a program for which nobody is known to wait: as sure as it is that the other side was slow. */
function unserved(severity: Severity, idle: boolean, sure: boolean): Severity {
  if (idle) return "info";
  return sure || severity === "info" ? severity : "warning";
}

/** Answers that begin in time and are complete late. */
function lateRest(profile: Profile, program: ProgramAnswers, { end, others, severity }: Judged): Finding {
  const name = shown(program.comm);
  const share = shareOf(program, (row) => row.wholeSumNs);
  return {
    rule: "slow-end",
    severity,
    title: `${end.name} begins to answer ${name} after ${time(end.turnP50Ns)}, but the whole answer takes ${time(end.wholeP50Ns)} (p99 ${time(end.wholeP99Ns)}), that of the others ${time(others.wholeP50Ns)}`,
    detail: `${percent(share(end))} of the time that ${name} waits for whole answers goes to this end: ${answers(end)}, the slowest complete after ${time(end.wholeMaxNs)}. ${whoWaits(program, end)} ${notHere(end)}: the other side is late with the rest, or the way there is.${ownAnswers(program)}`,
    share: ratio(share(end)),
    culprit: end.name,
    contributors: program.asked.slice(0, 8).map((each) => ({
      name: `${each.name}: ${answers(each)}, p50 ${time(each.turnP50Ns)} to the first bytes, ${time(each.wholeP50Ns)} to the last`,
      share: ratio(share(each)),
    })),
    next: nextSteps(profile, end),
    tab: "sockets",
  };
}

/** Whom the rest of an answer keeps waiting, as far as it is known. */
function whoWaits({ comm, served, waitsForWhole }: ProgramAnswers, end: Turns): string {
  const name = shown(comm);
  if (waitsForWhole)
    return `${name} begins its own answers only when these are complete, so its clients wait for the rest.`;
  const may = "it may be a stream of events or a long download, which is no fault.";
  if (served === null) return `Whether ${name} waits for the rest is not known: ${may}`;
  if (isStream(end)) return `${name} passes them on as they come: ${may}`;
  return `${name} passes on what has come, and its clients wait for the rest.`;
}

const answers = ({ turns }: Turns): string => `${turns.toLocaleString("en-US")} answers`;

/** Why this machine is not the cause. TCP tells when bytes came, whoever reads them when. */
const notHere = ({ protocol, wholeBuckets }: EndpointSummary): string =>
  protocol === "tcp" && wholeBuckets.length > 0
    ? "Answers are timed to their arrival, not to when they are read, so neither the program here nor the kernel of this machine is the cause"
    : "The same program reads the answers of the others in time, so neither it nor the kernel of this machine is the cause";

/** What is known of the program that answers, and whether it may be meant to take so long. */
function overThere({ served }: ProgramAnswers, server: ServerDid | undefined): string {
  const meant = "a question that is meant to wait (BLPOP, a long poll) looks the same";
  const open = served === null ? ` Whether it is asked to answer at once is not known: ${meant}.` : "";
  if (server === undefined || server.cpuNs === undefined) return open;
  const did = ` The program there, ${server.who}, is on this machine and ${didText(server)}`;
  if (!server.idle) return `${did}.`;
  const why = "it did not compute, but waited itself, for a timer, a lock or an end that it asks";
  return `${did}: ${why}${served === null ? `; ${meant}` : ""}.`;
}

/** @param server who answers there, where that was recorded: there is nothing more to record then */
function nextSteps(profile: Profile, end: EndpointSummary, server?: ServerDid): string[] {
  const ss = ssCommand(profile.endpoints[end.endpoint]);
  const port = end.protocol === "tcp" ? profile.endpoints[end.endpoint]?.port : undefined;
  return [
    ...(ss === undefined
      ? []
      : [
          end.protocol === "tcp"
            ? `${ss}    # rtt and retransmits: large ones are a slow way there; else the other side takes the time`
            : ss,
        ]),
    ...(port === undefined || server?.queuedNs !== undefined
      ? []
      : [
          `lowflame record --what cpu,offcpu,sockets    # on that machine; who listens there: ss -tlnp 'sport = :${port}'`,
        ]),
    "Take it out of the pool and compare.",
  ];
}
