// Questions that were given up: of those whose connection was closed without an answer, the ones that somebody waited for. What a
// program is asked it answers no sooner than what it asks for it, so each needs an own answer, or a client's question that was given
// up, too, that took as long. Others wanted no answer: a log, a farewell, an acknowledgement. Pure.
import { bucketBounds } from "../model/histogram.js";
import { addBuckets, type Closed, type EndpointSummary, turnsOf } from "./socket-sum.js";

const ASKED = new Set(["remote", "path"]);
const SERVED = new Set(["accepted", "served path"]);

/** Middle of a bucket, of which there are two an octave, ns. */
const typicalNs = (bucket: number): number => Math.max(1, bucketBounds(bucket).low) * 1.25;

/**
 * The rows with the questions that were given up among their turns, and in none of `closed` any more.
 * @param rows one a process and other end, as they were counted
 */
export function withGivenUp(rows: readonly EndpointSummary[]): EndpointSummary[] {
  const processes = new Set(
    rows.filter(({ closed, role }) => closed > 0 && ASKED.has(role)).map((row) => row.process),
  );
  const given = new Map<EndpointSummary, number[]>();
  for (const process of processes) {
    if (process < 0) continue;
    const own = rows.filter((row) => row.process === process);
    for (const [row, buckets] of waitedFor(own)) given.set(row, buckets);
  }
  return rows.map((row) => {
    const buckets = given.get(row);
    return buckets === undefined ? row : moved(row, buckets);
  });
}

/** Of the rows of one process: how many of their closed questions were waited for, by bucket. */
function waitedFor(rows: readonly EndpointSummary[]): Map<EndpointSummary, number[]> {
  const asked = rows.filter(({ role }) => ASKED.has(role));
  const served = rows.filter(({ role }) => SERVED.has(role));
  const room = new Room(
    addBuckets(served.map(({ turnBuckets }) => turnBuckets)),
    addBuckets(served.map(({ closedBuckets }) => closedBuckets)),
  );
  const answered = addBuckets(asked.map(({ turnBuckets }) => turnBuckets));
  const closed = addBuckets(asked.map(({ closedBuckets }) => closedBuckets));
  const first = closed.findIndex((count) => count > 0);
  // what answers took of an own answer is no time in which another was waited for
  for (let b = answered.length - 1; b >= first; b--) room.take(answered[b]!, b);
  room.forget();
  const found = new Map<EndpointSummary, number[]>();
  for (let b = closed.length - 1; b >= first; b--)
    share(asked, ({ closedBuckets }) => closedBuckets[b] ?? 0, room.take(closed[b]!, b), b, found);
  room.clientsGone.forEach((count, b) => {
    share(served, ({ closedBuckets }) => closedBuckets[b] ?? 0, count, b, found);
  });
  return found;
}

/** `count` of what the rows have in bucket `b`, to each its part. */
function share(
  rows: readonly EndpointSummary[],
  has: (row: EndpointSummary) => number,
  count: number,
  b: number,
  found: Map<EndpointSummary, number[]>,
): void {
  let all = rows.reduce((sum, row) => sum + has(row), 0);
  let left = Math.min(count, all);
  for (const row of rows) {
    if (left <= 0) return;
    const part = Math.round((left * has(row)) / all);
    all -= has(row);
    left -= part;
    if (part === 0) continue;
    const buckets = found.get(row) ?? [];
    buckets[b] = part;
    found.set(row, buckets);
  }
}

/** Time of a process's own answers, and of questions of its clients that were closed without one, by their length. */
class Room {
  /** By bucket: of clients' questions that were closed, those in which something was waited for. */
  readonly clientsGone: number[] = [];
  readonly #answers: number[];
  readonly #closed: number[];
  readonly #closedCounts: readonly number[];

  constructor(answers: readonly number[], closed: readonly number[]) {
    const times = (counts: readonly number[]) => counts.map((count, b) => count * typicalNs(b));
    this.#answers = times(answers);
    this.#closed = times(closed);
    this.#closedCounts = closed;
  }

  /** Takes the time of up to `count` waits as long as bucket `b` from what took as long or longer, the shortest first. Returns how many. */
  take(count: number, b: number): number {
    const own = this.#takeOf(this.#answers, count, b, () => {});
    return (
      own +
      this.#takeOf(this.#closed, count - own, b, (at, waits) => {
        const most = this.#closedCounts[at]!;
        this.clientsGone[at] = Math.min(most, (this.clientsGone[at] ?? 0) + waits);
      })
    );
  }

  /** Forgets in which clients' questions something was waited for, so far. */
  forget(): void {
    this.clientsGone.length = 0;
  }

  #takeOf(times: number[], count: number, b: number, took: (at: number, waits: number) => void): number {
    const each = typicalNs(b);
    let left = count;
    for (let at = b; at < times.length && left > 0; at++) {
      const waits = Math.min(left, Math.floor((times[at] ?? 0) / each));
      if (waits === 0) continue;
      times[at]! -= waits * each;
      left -= waits;
      took(at, waits);
    }
    return count - left;
  }
}

/** A row of which so many closed questions are turns. */
function moved(row: EndpointSummary, given: readonly number[]): EndpointSummary {
  const buckets = Array.from(row.closedBuckets, (_, b) => given[b] ?? 0);
  const sumOf = (counts: readonly number[]) =>
    counts.reduce((sum, count, b) => sum + count * typicalNs(b), 0);
  const turns = buckets.reduce((sum, count) => sum + count, 0);
  // the whole sum is known, of a part of it only its length by buckets
  const sumNs =
    turns === row.closed ? row.closedSumNs : row.closedSumNs * (sumOf(buckets) / sumOf(row.closedBuckets));
  const longest = buckets.findLastIndex((count) => count > 0);
  const maxNs = Math.min(row.closedMaxNs, bucketBounds(longest).high);
  const known = row.wholeBuckets.length > 0 || row.turns === 0;
  return {
    ...row,
    ...turnsOf({
      ...row,
      turns: row.turns + turns,
      turnSumNs: row.turnSumNs + sumNs,
      turnMaxNs: Math.max(row.turnMaxNs, maxNs),
      turnBuckets: addBuckets([row.turnBuckets, buckets]),
      wholeSumNs: row.wholeSumNs + (known ? sumNs : 0),
      wholeMaxNs: known ? Math.max(row.wholeMaxNs, maxNs) : 0,
      wholeBuckets: known ? addBuckets([row.wholeBuckets, buckets]) : [],
      unanswered: row.unanswered + turns,
      unansweredSumNs: row.unansweredSumNs + sumNs,
    }),
    ...rest(row, buckets, sumNs),
  };
}

const rest = (row: EndpointSummary, given: readonly number[], sumNs: number): Closed => {
  const closedBuckets = row.closedBuckets.map((count, b) => count - (given[b] ?? 0));
  const closed = closedBuckets.reduce((sum, count) => sum + count, 0);
  const longest = closedBuckets.findLastIndex((count) => count > 0);
  return {
    closed,
    closedSumNs: closed === 0 ? 0 : row.closedSumNs - sumNs,
    closedMaxNs: closed === 0 ? 0 : Math.min(row.closedMaxNs, bucketBounds(longest).high),
    closedBuckets,
  };
};
