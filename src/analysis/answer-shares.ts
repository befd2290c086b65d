// How much of a program's own answers the ends take that it asks, where an answer may as well have lain unread: the kernel tells
// when bytes came in ticks, so answers shorter than two of them may be late by themselves or be read late. Pure, so that the page may use it.
import { bucketBounds } from "../model/histogram.js";
import { type EndpointSummary, type Turns, turnsTogether } from "./socket-sum.js";

/** The longest tick there is (CONFIG_HZ=100), where a capture does not tell. */
const LONGEST_TICK_NS = 10e6;
/** One tick less is told than the times of the kernel differ by: what lay there for less than two is not seen. */
const UNSEEN_TICKS = 2;

/** Below which length of an answer the ticks of the kernel do not tell whether it lay unread, ns. `tickNs`: 0 = not known. */
export const unseenBelow = (tickNs: number): number => UNSEEN_TICKS * (tickNs > 0 ? tickNs : LONGEST_TICK_NS);

/** Whether the two shares of a program's time differ by so much that one alone would say what is not known. */
export const isUnsure = (upstreamShare: number, upstreamLeast: number): boolean =>
  upstreamShare - upstreamLeast >= 0.1;

/**
 * The own answers of whoever serves at each of these ends, where that was recorded: from when it read a question on.
 * @param rows of all programs
 */
export function ownAnswersAt(
  asked: readonly EndpointSummary[],
  rows: readonly EndpointSummary[],
): Map<EndpointSummary, Turns> {
  const found = new Map<EndpointSummary, Turns>();
  for (const end of asked) {
    const role = end.role === "path" ? "served path" : "accepted";
    const own = rows.filter(
      (row) => row.turns > 0 && row.role === role && row.name === `accepted on ${end.name}`,
    );
    if (own.length > 0) found.set(end, turnsTogether(own));
  }
  return found;
}

/**
 * How much of the sum of an end's answers may as well be that they lay unread, ns: those too short to be told apart, without what
 * the program there is known to take itself. Of unix sockets no length tells it: there only who serves does, where it is known.
 */
export function unsureNs(end: EndpointSummary, there: Turns | undefined, belowNs: number): number {
  if (end.role === "path" && there === undefined) return 0;
  // where nothing came, nothing lay unread
  const answeredNs = end.turnSumNs - end.unansweredSumNs;
  const short = end.role === "path" ? answeredNs : Math.min(answeredNs, shortSumNs(end, belowNs));
  const itself = there === undefined ? 0 : (there.turnSumNs / there.turns) * (end.turns - end.unanswered);
  return Math.max(0, Math.min(short, answeredNs - itself));
}

/** The sum of those answers that are shorter than `belowNs`, by their part of the histogram. */
function shortSumNs({ turnBuckets, turnSumNs }: Turns, belowNs: number): number {
  let short = 0;
  let all = 0;
  turnBuckets.forEach((count, bucket) => {
    const { low } = bucketBounds(bucket);
    const sum = count * Math.max(low, 1) * 1.25; // the middle of a bucket, of which there are two an octave
    all += sum;
    if (low < belowNs) short += sum;
  });
  return all > 0 ? turnSumNs * (short / all) : 0;
}
