// What findings about the ends that a program asks say alike: an end's part of its waiting, and what its own answers take.
import { isUnsure } from "./answer-shares.js";
import type { ProgramAnswers } from "./socket-answers.js";
import type { Turns } from "./socket-sum.js";
import { percent, shown, time } from "./text.js";

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
