// An end that was asked, and from which nothing came in the whole recording: told as what it is, beside other ends or alone.
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import { ownAnswers, shareOf, unansweredSeverity } from "../answer-text.js";
import type { Finding, Severity } from "../finding.js";
import { isNameServer } from "../name-servers.js";
import type { ProgramAnswers } from "../socket-answers.js";
import type { EndpointSummary, Turns } from "../socket-sum.js";
import { shown, time } from "../text.js";
import { SILENT_END } from "../thresholds.js";

/** What a finding that compares ends says of this one. */
interface Compared {
  readonly others: Turns;
  readonly severity: Severity;
}

/**
 * The finding "slow-end" about an end of which nothing came; undefined where nobody need have waited for it.
 * @param compared with the other ends that the program asks; undefined where there is none, or nothing stands out
 * @param next what to do
 */
export function silentEnd(
  profile: Profile,
  program: ProgramAnswers,
  end: EndpointSummary,
  compared: Compared | undefined,
  next: readonly string[],
): Finding | undefined {
  const named = isNameServer(profile.endpoints[end.endpoint]);
  const severity = severityOf(end, program, compared, named);
  if (severity === undefined) return undefined;
  const share = shareOf(program, (row) => row.turnSumNs);
  const { turns } = end;
  const questions = turns === 1 ? "a question" : `${turns.toLocaleString("en-US")} questions, half of them`;
  const others = compared === undefined ? "" : `; the others answer after ${time(compared.others.turnP50Ns)}`;
  return {
    rule: "slow-end",
    severity,
    title: `${end.name} never answered ${shown(program.comm)}: ${questions} left for ${time(end.turnP50Ns)} or longer${others}`,
    detail: `Nothing ever came from there in the recording: ${why(program, end, named)}.${ownAnswers(program)}`,
    share: ratio(share(end)),
    culprit: end.name,
    contributors: [],
    next: [...next],
    tab: "sockets",
  };
}

function severityOf(
  end: EndpointSummary,
  program: ProgramAnswers,
  compared: Compared | undefined,
  named: boolean,
): Severity | undefined {
  const { served } = program;
  const given = unansweredSeverity(program, end);
  if (given !== undefined) return given;
  const left = end.turns >= SILENT_END.minTurns && end.turnP50Ns >= SILENT_END.p50Ns;
  // whoever asks for a name waits for it
  if (named && (left || end.turnMaxNs >= SILENT_END.oneNs))
    return served !== null && compared !== undefined ? compared.severity : "warning";
  if (compared !== undefined) return served === null ? "info" : compared.severity;
  return left ? "info" : undefined;
}

function why({ comm, served }: ProgramAnswers, { protocol }: EndpointSummary, named: boolean): string {
  if (named)
    return "it is asked for names (port 53), so whoever asks waits until it gives up or turns to another server; the server is down, or packets to it are dropped on the way";
  if (served !== null && protocol === "tcp") return "it hangs, or the way there does";
  return `it hangs, or it is an end that answers nobody, as a log: whether ${shown(comm)} waits for an answer is not known`;
}
