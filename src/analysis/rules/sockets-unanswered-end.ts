// An end that answers, but not everything: of what a server asked it for its clients some was left without an answer, until somebody
// gave up. Nothing to compare it with is needed.
import { ratio } from "../../model/units.js";
import { clientsLeft, ownAnswers, shareOf, unansweredSeverity } from "../answer-text.js";
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
  const severity = unansweredSeverity(program, end);
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
    detail: `${why(program, end)}${ownAnswers(program)}`,
    share: ratio(share(end)),
    culprit: end.name,
    contributors: [],
    next: [...next],
    tab: "sockets",
  };
}

function why(program: ProgramAnswers, end: EndpointSummary): string {
  const { comm, served } = program;
  if (served === null || !clientsLeft(program, end))
    return `A time limit of ${shown(comm)} was up, or the other side closed the connection: that side hangs with some questions, or the way there does.`;
  return `${many(served.unanswered)} questions of clients of ${shown(comm)} were closed without an answer, too, ${time(served.unansweredSumNs / served.unanswered)} after they had come: they gave up, or it did, since that side hangs with some questions, or the way there does. What is sent last through a tunnel (a websocket), or to one that answers nobody (a log collector), and wants no answer, looks the same.`;
}

const many = (count: number): string => count.toLocaleString("en-US");
