// What findings about the ends that a program asks say alike: an end's part of its waiting, and what its own answers take.
import { isUnsure } from "./answer-shares.js";
import type { Severity } from "./finding.js";
import type { ProgramAnswers } from "./socket-answers.js";
import type { Turns } from "./socket-sum.js";
import { graded, percent, shown, time } from "./text.js";
import { UNANSWERED } from "./thresholds.js";

/** How much of the sum over all ends that a program asks is one end's. */
export function shareOf({ asked }: ProgramAnswers, value: (row: Turns) => number): (row: Turns) => number {
  const all = asked.reduce((sum, each) => sum + value(each), 0);
  return (row) => (all > 0 ? value(row) / all : 0);
}

/** How long the program takes for its own answers, and how much of that is waiting; "" where it gives none. */
export function ownAnswers({ comm, served, upstreamShare, upstreamLeast }: ProgramAnswers): string {
  if (served === null || upstreamShare === null || upstreamLeast === null) return "";
  const share = `${isUnsure(upstreamShare, upstreamLeast) ? `${percent(upstreamLeast)} to ` : ""}${percent(upstreamShare)}`;
  return ` ${shown(comm)} itself answers after ${time(served.turnP50Ns)} (p99 ${time(served.turnP99Ns)}); ${share} of that time it waits for the ends that it asks.`;
}

/** Whether questions of its clients that were closed are all that tells that somebody waited: what went through a tunnel looks the same. */
export const clientsLeft = ({ served }: ProgramAnswers, { unanswered }: Turns): boolean =>
  served !== null && served.unanswered > unanswered / 2;

/**
 * How bad it is that an end left questions of a server without an answer, of those that somebody waited for; undefined where nobody is
 * known to wait, or where hardly any was.
 */
export function unansweredSeverity(program: ProgramAnswers, end: Turns): Severity | undefined {
  const { turns, unanswered, turnSumNs, unansweredSumNs } = end;
  const { least, times, meanNs, share } = UNANSWERED;
  const mean = unansweredSumNs / unanswered;
  const answered = turns - unanswered;
  const usual = answered > 0 ? (turnSumNs - unansweredSumNs) / answered : 0;
  if (program.served === null || unanswered < least || mean < Math.max(meanNs, usual * times))
    return undefined;
  const severity = graded(unanswered / turns, share);
  return severity !== undefined && clientsLeft(program, end) ? "warning" : severity;
}
