// Who is slow behind who is slow: a program of this machine that answers late because an end that it asks answers late.
import type { ProgramAnswers } from "./socket-answers.js";
import type { EndpointSummary, Turns } from "./socket-sum.js";
import { CHAIN } from "./thresholds.js";

export interface Behind {
  /** The program that waits for it. */
  readonly through: ProgramAnswers;
  readonly end: EndpointSummary;
}

interface Chain {
  readonly programs: readonly ProgramAnswers[];
  /** Processes of this machine that answer at an end; none where they are not known. */
  readonly serversAt: (end: EndpointSummary) => ReadonlySet<number>;
  /** What of an end's answers is late, ns: their median or another quantile. */
  readonly lateOf: (end: Turns) => number;
}

/**
 * The last end of a chain of programs of which each waits for the next; undefined where the program at `end` is not known, or takes
 * the time itself.
 * @param end the one that was found to be slow
 */
export function behind(chain: Chain, end: EndpointSummary): Behind | undefined {
  const lateNs = chain.lateOf(end);
  const passed = new Set<ProgramAnswers>();
  let last: Behind | undefined;
  for (let at: EndpointSummary | undefined = end; at !== undefined; at = last?.end) {
    const servers = chain.serversAt(at);
    const through = chain.programs.find(({ processes }) => [...servers].some((each) => processes.has(each)));
    if (through === undefined || passed.has(through)) return last;
    passed.add(through);
    const next = slowBehind(through, lateNs, chain.lateOf);
    if (next === undefined) return last;
    last = { through, end: next };
  }
  return last;
}

/** The end for which a program waits in most of the time of its own answers, and that is late enough to be the cause. */
function slowBehind(
  { asked, upstreamLeast }: ProgramAnswers,
  lateNs: number,
  lateOf: (end: Turns) => number,
): EndpointSummary | undefined {
  const all = asked.reduce((sum, { turnSumNs }) => sum + turnSumNs, 0);
  if (upstreamLeast === null || upstreamLeast < CHAIN.share) return undefined;
  return asked.find((each) => each.turnSumNs >= all * CHAIN.share && lateOf(each) >= lateNs * CHAIN.share);
}
