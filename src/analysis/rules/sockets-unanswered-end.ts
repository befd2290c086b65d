// An end that answers, but not everything: of what a server asked it for its clients some was left without an answer, until somebody
// gave up. Nothing to compare it with is needed.
import { ratio } from "../../model/units.js";
import { ownAnswers, shareOf, unansweredSeverity } from "../answer-text.js";
import type { Finding } from "../finding.js";
import type { ProgramAnswers } from "../socket-answers.js";
import type { EndpointSummary } from "../socket-sum.js";
import { shown, time } from "../text.js";

/**
 * The finding "slow-end" about an end that leaves questions unanswered; undefined where it hardly does.
 * @param program serves somebody: else nobody is known to wait for the answers
 * @param next what to do
 */
export function unansweredEnd(
  program: ProgramAnswers,
  end: EndpointSummary,
  next: readonly string[],
): Finding | undefined {
  const severity = unansweredSeverity(end);
  if (severity === undefined) return undefined;
  const name = shown(program.comm);
  const { turns, unanswered, turnSumNs, unansweredSumNs } = end;
  const answered = turns - unanswered;
  const share = shareOf(program, (row) => row.turnSumNs);
  const others = answered > 0 ? `, the others after ${time((turnSumNs - unansweredSumNs) / answered)}` : "";
  return {
    rule: "slow-end",
    severity,
    title: `${end.name} left ${many(unanswered)} of ${many(turns)} questions of ${name} without an answer: ${time(unansweredSumNs / unanswered)} each until they were given up${others}`,
    detail: `A time limit of ${name} was up, its client went away, or the other side closed the connection: that side hangs with some questions, or the way there does.${gone(program)}${ownAnswers(program)}`,
    share: ratio(share(end)),
    culprit: end.name,
    contributors: [],
    next: [...next],
    tab: "sockets",
  };
}

/** Clients that did not wait to the end either. */
function gone({ comm, served }: ProgramAnswers): string {
  if (served === null || served.unanswered === 0) return "";
  return ` ${many(served.unanswered)} of ${many(served.turns)} questions that ${shown(comm)} got were themselves given up, after ${time(served.unansweredSumNs / served.unanswered)}.`;
}

const many = (count: number): string => count.toLocaleString("en-US");
