// One of the ends that a program asks answers far later than the others: the slow upstream. Answers are timed from a send to
// the first bytes received after it, and to the last, so a program that never blocks in a call is judged as well.
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import type { Finding, Severity } from "../finding.js";
import { notSelf } from "../lock-summary.js";
import { ssCommand } from "../socket-advice.js";
import { type ProgramAnswers, programAnswers } from "../socket-answers.js";
import { type EndpointSummary, type Turns, turnsTogether } from "../socket-sum.js";
import { endpointSummaries } from "../socket-summary.js";
import { tcpSummaries } from "../tcp-summary.js";
import { wayThere } from "../tcp-way.js";
import { graded, percent, shown, time } from "../text.js";
import { SLOW_END } from "../thresholds.js";

/** What of its answers is late: half of them, one in a hundred, or the rest after a beginning in time. */
type Late = "median" | "tail" | "rest";

interface Judged {
  readonly end: EndpointSummary;
  readonly others: Turns;
  readonly late: Late;
  readonly severity: Severity;
}

/** Findings "slow-end", by program: the end that costs most first. */
export function slowEnds(profile: Profile): Finding[] {
  const counts = notSelf(profile);
  const programs = programAnswers(endpointSummaries(profile, counts), tcpSummaries(profile, counts));
  return programs.flatMap((program) =>
    program.asked
      .flatMap((end) => judged(end, program) ?? [])
      .slice(0, SLOW_END.maxFindings)
      .map((each) =>
        each.late === "rest" ? lateRest(profile, program, each) : finding(profile, program, each),
      ),
  );
}

/** The other ends of one program that gave enough answers to be compared with. */
const othersOf = (end: EndpointSummary, { asked }: ProgramAnswers): EndpointSummary[] =>
  asked.filter((each) => each !== end && each.protocol === end.protocol && each.turns >= SLOW_END.minTurns);

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
  const tail =
    end.turns >= SLOW_END.tailMinTurns &&
    others.turns >= SLOW_END.tailMinTurns &&
    end.turnP99Ns >= SLOW_END.tailP99Ns &&
    end.turnP99Ns >= others.turnP99Ns * SLOW_END.tailTimes;
  return tail ? { end, others, late: "tail", severity: "warning" } : undefined;
}

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
): Finding {
  const name = shown(program.comm);
  const way = wayThere(end, program.tcp.get(end.endpoint), late === "tail");
  const slow = end.role === "path" ? "the other side is slow" : "the other side is slow, or the way there";
  const seen = way.blame === undefined ? `: ${slow}.` : ".";
  const share = shareOf(program, (row) => row.turnSumNs);
  return {
    rule: "slow-end",
    severity,
    title: `${end.name} answers ${name} after ${time(end.turnP50Ns)} (p99 ${time(end.turnP99Ns)}), the others after ${time(others.turnP50Ns)} (p99 ${time(others.turnP99Ns)})${way.short}`,
    detail: `${percent(share(end))} of the time that ${name} waits for answers goes to this end: ${answers(end)}, the slowest after ${time(end.turnMaxNs)}. ${notHere(end)}${seen}${way.text === "" ? "" : ` ${way.text}`}${ownAnswers(program)}`,
    share: ratio(share(end)),
    culprit: end.name,
    contributors: program.asked.slice(0, 8).map((each) => ({
      name: `${each.name}: ${answers(each)}, p50 ${time(each.turnP50Ns)}, p99 ${time(each.turnP99Ns)}`,
      share: ratio(share(each)),
    })),
    next: nextSteps(profile, end),
    tab: "sockets",
  };
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

/** How much of the sum over all ends that a program asks is one end's. */
function shareOf({ asked }: ProgramAnswers, value: (row: Turns) => number): (row: Turns) => number {
  const all = asked.reduce((sum, each) => sum + value(each), 0);
  return (row) => (all > 0 ? value(row) / all : 0);
}

/** Why this machine is not the cause. TCP tells when bytes came, whoever reads them when. */
const notHere = ({ protocol, wholeBuckets }: EndpointSummary): string =>
  protocol === "tcp" && wholeBuckets.length > 0
    ? "Answers are timed to their arrival, not to when they are read, so neither the program here nor the kernel of this machine is the cause"
    : "The same program reads the answers of the others in time, so neither it nor the kernel of this machine is the cause";

function ownAnswers({ comm, served, upstreamShare }: ProgramAnswers): string {
  if (served === null || upstreamShare === null) return "";
  return ` ${shown(comm)} itself answers after ${time(served.turnP50Ns)} (p99 ${time(served.turnP99Ns)}); ${percent(upstreamShare)} of that time it waits for the ends that it asks.`;
}

function nextSteps(profile: Profile, end: EndpointSummary): string[] {
  const ss = ssCommand(profile.endpoints[end.endpoint]);
  const port = end.protocol === "tcp" ? /:(\d+)$/.exec(end.name)?.[1] : undefined;
  return [
    ...(ss === undefined
      ? []
      : [
          end.protocol === "tcp"
            ? `${ss}    # rtt and retransmits: large ones are a slow way there; else the other side takes the time`
            : ss,
        ]),
    ...(port === undefined
      ? []
      : [
          `lowflame record --what cpu,offcpu,sockets    # on that machine; who listens there: ss -tlnp 'sport = :${port}'`,
        ]),
    "Take it out of the pool and compare.",
  ];
}
