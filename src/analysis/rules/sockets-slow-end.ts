// One of the ends that a program asks answers far later than the others: the slow upstream. Answers are timed from a send to
// the first bytes received after it, so a program that never blocks in a call is judged as well.
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import type { Finding, Severity } from "../finding.js";
import { notSelf } from "../lock-summary.js";
import { ssCommand } from "../socket-advice.js";
import { type ProgramAnswers, programAnswers, turnsTogether } from "../socket-answers.js";
import type { EndpointSummary, Turns } from "../socket-sum.js";
import { endpointSummaries } from "../socket-summary.js";
import { tcpSummaries } from "../tcp-summary.js";
import { wayThere } from "../tcp-way.js";
import { graded, percent, shown, time } from "../text.js";
import { SLOW_END } from "../thresholds.js";

/** Findings "slow-end", by program: the end that costs most first. */
export function slowEnds(profile: Profile): Finding[] {
  const counts = notSelf(profile);
  const programs = programAnswers(endpointSummaries(profile, counts), tcpSummaries(profile, counts));
  return programs.flatMap((program) =>
    program.asked
      .map((end) => ({ end, ...compared(end, othersOf(end, program)) }))
      .flatMap(({ end, severity, tail, others }) =>
        severity === undefined ? [] : [finding(profile, program, end, others, tail, severity)],
      )
      .slice(0, SLOW_END.maxFindings),
  );
}

/** The other ends of one program that gave enough answers to be compared with. */
const othersOf = (end: EndpointSummary, { asked }: ProgramAnswers): EndpointSummary[] =>
  asked.filter((each) => each !== end && each.protocol === end.protocol && each.turns >= SLOW_END.minTurns);

/** Against the faster half of the others: with two slow ends of four each is slow all the same. */
function compared(
  end: EndpointSummary,
  all: readonly EndpointSummary[],
): { severity?: Severity; tail: boolean; others: Turns } {
  const fastest = all.toSorted((a, b) => a.turnP50Ns - b.turnP50Ns).slice(0, Math.ceil(all.length / 2));
  const others = turnsTogether(fastest);
  if (fastest.length === 0 || !isEnough(end, others)) return { tail: false, others };
  if (end.turnP50Ns >= others.turnP50Ns * SLOW_END.times) {
    const severity = graded(end.turnP50Ns, SLOW_END.p50Ns);
    if (severity !== undefined) return { severity, tail: false, others };
  }
  const tail =
    end.turns >= SLOW_END.tailMinTurns &&
    others.turns >= SLOW_END.tailMinTurns &&
    end.turnP99Ns >= SLOW_END.tailP99Ns &&
    end.turnP99Ns >= others.turnP99Ns * SLOW_END.tailTimes;
  return tail ? { severity: "warning", tail, others } : { tail, others };
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
  end: EndpointSummary,
  others: Turns,
  tail: boolean,
  severity: Severity,
): Finding {
  const name = shown(program.comm);
  const asked = program.asked.reduce((sum, each) => sum + each.turnSumNs, 0);
  const share = asked > 0 ? end.turnSumNs / asked : 0;
  const { served, upstreamShare } = program;
  const own =
    served === null || upstreamShare === null
      ? ""
      : ` ${name} itself answers after ${time(served.turnP50Ns)} (p99 ${time(served.turnP99Ns)}); ${percent(upstreamShare)} of that time it waits for the ends that it asks.`;
  const way = wayThere(end, program.tcp.get(end.endpoint), tail);
  const slow = end.role === "path" ? "the other side is slow" : "the other side is slow, or the way there";
  const seen = way.blame === undefined ? `: ${slow}.` : ".";
  const ss = ssCommand(profile.endpoints[end.endpoint]);
  const port = end.protocol === "tcp" ? /:(\d+)$/.exec(end.name)?.[1] : undefined;
  return {
    rule: "slow-end",
    severity,
    title: `${end.name} answers ${name} after ${time(end.turnP50Ns)} (p99 ${time(end.turnP99Ns)}), the others after ${time(others.turnP50Ns)} (p99 ${time(others.turnP99Ns)})${way.short}`,
    detail: `${percent(share)} of the time that ${name} waits for answers goes to this end: ${end.turns.toLocaleString("en-US")} answers, the slowest after ${time(end.turnMaxNs)}. The same program reads the answers of the others in time, so neither it nor the kernel of this machine is the cause${seen}${way.text === "" ? "" : ` ${way.text}`}${own}`,
    share: ratio(share),
    culprit: end.name,
    contributors: program.asked.slice(0, 8).map((each) => ({
      name: `${each.name}: ${each.turns.toLocaleString("en-US")} answers, p50 ${time(each.turnP50Ns)}, p99 ${time(each.turnP99Ns)}`,
      share: ratio(asked > 0 ? each.turnSumNs / asked : 0),
    })),
    next: [
      ...(ss === undefined
        ? []
        : [
            `${ss}    # rtt and retransmits: large ones are a slow way there; else the other side takes the time`,
          ]),
      ...(port === undefined
        ? []
        : [
            `lowflame record --what cpu,offcpu,sockets    # on that machine; who listens there: ss -tlnp 'sport = :${port}'`,
          ]),
      "Take it out of the pool and compare.",
    ],
    tab: "sockets",
  };
}
