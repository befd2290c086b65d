// Whose queue of connections to be accepted was full: what those who accept saw, and what still waited at the end.
import type { Profile } from "../model/profile.js";
import { notSelf } from "./lock-summary.js";
import { type EndpointSummary, endpointsByProgram } from "./socket-sum.js";
import { endpointSummaries } from "./socket-summary.js";
import { fillOf, type ListenQueueSummary } from "./tcp-sum.js";
import { listenQueueRows } from "./tcp-summary.js";
import { LISTEN_OVERFLOW } from "./thresholds.js";

/** A listening socket for which connections waited at the end. */
export interface WaitingQueue extends ListenQueueSummary {
  readonly port: number | undefined;
  /** Whether its program was seen to accept there. */
  readonly accepts: boolean;
  /** How many may wait (its backlog), by itself or as its program saw it when it accepted; 0 where it is not known. */
  readonly limit: number;
  /** It held more than it may: proof. */
  readonly over: boolean;
  /** There is room: the queue was not the full one, whether its program accepts or the queue only grew. */
  readonly ruledOut: boolean;
}

export interface Suspects {
  /** At least half full as a connection was accepted, the fullest first. Rows of programs. */
  readonly seen: readonly EndpointSummary[];
  /** Of these the ones that held more than they may, which is when Linux refuses the next: proof. */
  readonly over: readonly EndpointSummary[];
  /** Those that held as many as they may: Linux lets one more in, so nearly a proof. */
  readonly full: readonly EndpointSummary[];
  /** Those that may be the full one: over their limit first, then the longest. */
  readonly waiting: readonly WaitingQueue[];
  readonly ruledOut: readonly WaitingQueue[];
}

/** lowflame's own are left out. */
export function listenSuspects(profile: Profile): Suspects {
  const accepting = endpointsByProgram(endpointSummaries(profile, notSelf(profile))).filter(
    ({ queueLimit }) => queueLimit > 0,
  );
  const seen = accepting
    .filter((row) => fillOf(row) >= LISTEN_OVERFLOW.candidateFill)
    .sort((a, b) => fillOf(b) - fillOf(a));
  const queues = listenQueueRows(profile, notSelf(profile)).map((row) =>
    waitingQueue(profile, row, accepting),
  );
  return {
    seen,
    over: seen.filter((row) => fillOf(row) > 1),
    full: seen.filter((row) => fillOf(row) === 1),
    waiting: queues.filter(({ ruledOut }) => !ruledOut).sort((a, b) => Number(b.over) - Number(a.over)),
    ruledOut: queues.filter(({ ruledOut }) => ruledOut),
  };
}

/** @param accepting what was accepted has the address that the client asked for, so only program, network and port tell from which queue */
function waitingQueue(
  profile: Profile,
  row: ListenQueueSummary,
  accepting: readonly EndpointSummary[],
): WaitingQueue {
  const own = profile.endpoints[row.endpoint];
  const limits = accepting
    .filter(
      ({ comm, endpoint, network }) =>
        comm === row.comm &&
        network === (own?.network ?? 0) &&
        profile.endpoints[endpoint]?.port === own?.port,
    )
    .map(({ queueLimit }) => queueLimit);
  const accepts = limits.length > 0;
  if (row.capacity > 0) {
    const over = row.length >= row.capacity;
    return { ...row, port: own?.port, accepts, limit: row.capacity - 1, over, ruledOut: !over };
  }
  const limit = limits.reduce((most, each) => Math.max(most, each), 0);
  const least = limits.reduce((fewest, each) => Math.min(fewest, each), limit);
  return {
    ...row,
    ...{ port: own?.port, accepts, limit },
    over: accepts && row.length > limit,
    ruledOut: accepts && row.length <= least,
  };
}
