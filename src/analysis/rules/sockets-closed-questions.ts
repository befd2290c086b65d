// Questions whose connections a server closed, long after it had asked, without an answer, and of which it is not known that a client
// waited: behind HTTP/2 its own answers do not tell. Worth knowing, as nothing else would speak of them.
import { ratio } from "../../model/units.js";
import type { Finding } from "../finding.js";
import type { ProgramAnswers } from "../socket-answers.js";
import type { EndpointSummary } from "../socket-sum.js";
import { shown, time } from "../text.js";
import { UNANSWERED } from "../thresholds.js";

/**
 * The finding "slow-end", worth knowing only, about an end with such questions; undefined where there are hardly any.
 * @param next what to do
 */
export function closedQuestions(
  program: ProgramAnswers,
  end: EndpointSummary,
  next: readonly string[],
): Finding | undefined {
  const { closed, closedSumNs, turns, turnSumNs } = end;
  const mean = closedSumNs / closed;
  const usual = turns > 0 ? turnSumNs / turns : 0;
  if (
    program.served === null ||
    closed < UNANSWERED.least ||
    closed < (closed + turns) * UNANSWERED.share.warning
  )
    return undefined;
  if (mean < Math.max(UNANSWERED.meanNs, usual * UNANSWERED.times)) return undefined;
  const name = shown(program.comm);
  const answered =
    turns > 0
      ? `${turns.toLocaleString("en-US")} others were answered after ${time(usual)}`
      : "none was answered";
  return {
    rule: "slow-end",
    severity: "info",
    title: `${name} closed ${closed.toLocaleString("en-US")} connections to ${end.name} without an answer, ${time(mean)} after it had asked; ${answered}`,
    detail: `Whether anybody waited for these answers is not seen: its own answers that took as long are fewer. Clients that speak HTTP/2 to ${name} ask many things at once, and nobody waits for a mirrored request: then its time limit was up, and that side hangs. What is sent last through a tunnel, or wants no answer, looks the same.`,
    share: ratio(closed / (closed + turns)),
    culprit: end.name,
    contributors: [],
    next: [...next],
    tab: "sockets",
  };
}
