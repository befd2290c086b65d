// A name server that answers late, or not every question: whoever looks up a name waits for it before it can connect anywhere. What
// is lost costs the resolver's whole time limit, seconds, while all other questions are answered at once. Nothing to compare it with
// is needed.
import { bucketBounds } from "../../model/histogram.js";
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import { ownAnswers, shareOf } from "../answer-text.js";
import type { Finding, Severity } from "../finding.js";
import { ssCommand } from "../socket-advice.js";
import type { ProgramAnswers } from "../socket-answers.js";
import type { EndpointSummary } from "../socket-sum.js";
import { graded, percent, shown, time } from "../text.js";
import { NAMES } from "../thresholds.js";

/** The finding "slow-end" about a name server that answers; undefined where it does so in time. */
export function slowNames(
  profile: Profile,
  program: ProgramAnswers,
  end: EndpointSummary,
): Finding | undefined {
  const ss = ssCommand(profile.endpoints[end.endpoint]);
  const look = ss === undefined ? [] : [ss];
  return lost(program, end, look) ?? late(program, end, look);
}

/** Questions that went for a resolver's time limit, or for good, without an answer. */
function lost(program: ProgramAnswers, end: EndpointSummary, next: readonly string[]): Finding | undefined {
  const long = end.turnBuckets.reduce(
    (sum, count, bucket) => sum + (bucketBounds(bucket).low >= NAMES.lostNs ? count : 0),
    0,
  );
  if (long < NAMES.leastLost || end.turnP50Ns >= NAMES.lostNs) return undefined;
  const severity = graded(long / end.turns, NAMES.lostShare);
  if (severity === undefined) return undefined;
  const name = shown(program.comm);
  return {
    ...about(program, end, severity),
    title: `${long.toLocaleString("en-US")} of ${name}'s ${end.turns.toLocaleString("en-US")} questions for names to ${end.name} were left for about a second or longer, the usual one ${time(end.turnP50Ns)}`,
    detail: `The longest went for ${time(end.turnMaxNs)}. A question that is lost, or its answer, costs the time limit after which it is asked again (5 s with glibc and Go where resolv.conf sets none), and whoever needs the name waits for all of it. The usual question is answered in time: packets are dropped on the way, or the server drops what is too much for it.${ownAnswers(program)}`,
    next: [
      ...next,
      "nstat -az UdpRcvbufErrors UdpInErrors; conntrack -S    # dropped here: full buffers, insert_failed of two questions at once",
      "In /etc/resolv.conf: options timeout:1 attempts:3; with NAT in between also single-request-reopen.",
    ],
  };
}

/** Most questions take long: the server, or what it asks in turn, is slow or far. */
function late(program: ProgramAnswers, end: EndpointSummary, next: readonly string[]): Finding | undefined {
  const enough = end.turns >= NAMES.minTurns || (end.turns >= NAMES.few && end.turnP50Ns >= NAMES.lostNs);
  const severity = enough ? graded(end.turnP50Ns, NAMES.p50Ns) : undefined;
  if (severity === undefined) return undefined;
  const share = shareOf(program, (row) => row.turnSumNs)(end);
  return {
    ...about(program, end, severity),
    title: `The name server ${end.name} answers ${shown(program.comm)} after ${time(end.turnP50Ns)} (p99 ${time(end.turnP99Ns)})`,
    detail: `${percent(share)} of the time that ${shown(program.comm)} waits for answers goes to looking up names: ${end.turns.toLocaleString("en-US")} answers, the slowest after ${time(end.turnMaxNs)}. A name that the server knows takes it a millisecond: it does not know them and asks elsewhere, is overloaded, or far.${ownAnswers(program)}`,
    next: [
      ...next,
      "Ask it by hand, twice the same name (dig): late once only, it asks elsewhere; each time, it or the way there is slow.",
      "A resolver on this machine that keeps answers (systemd-resolved, dnsmasq, unbound) spares the way there.",
    ],
  };
}

/** What both say. Of a program that serves nobody it is not known who waits: a warning at most. */
function about(program: ProgramAnswers, end: EndpointSummary, severity: Severity) {
  return {
    rule: "slow-end",
    severity: program.served === null && severity === "critical" ? "warning" : severity,
    share: ratio(shareOf(program, (row) => row.turnSumNs)(end)),
    culprit: end.name,
    contributors: [],
    tab: "sockets",
  } as const;
}
