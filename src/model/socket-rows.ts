// Rows of sockets on their way into the profile: other ends by id, slow and unfinished calls with their stacks, calls that found
// nothing to do, counts of open sockets. Memory is bounded: of more slow calls than can be looked at the longest stay.
import {
  type CallRow,
  ENDPOINT_ROLES,
  type EndpointRow,
  FLAG_BITS,
  SampleFlag,
  type SocketCountRow,
  type Tables,
} from "../capture/binding.js";
import { MAX_ID } from "./frame-table.js";
import type { InvalidCounts } from "./invalid.js";
import type { SocketCall } from "./profile.js";
import type { MergedStack, StackMerger } from "./stack-merge.js";
import { variantOf } from "./weights.js";

/** Slow calls that are kept; the recorder gives 500 a second and CPU, for hours. */
export const MAX_CALLS = 50_000;
/** Calls that found nothing to do: the recorder gives one at each power of two of a descriptor's. The last ones stay. */
export const MAX_SPINS = 10_000;

/** Which threads the capture knows, and what stands for one that it does not. */
interface ThreadLookup {
  known(thread: number): boolean;
  unknown(): number;
}

export interface BuiltSocketRows {
  readonly endpoints: readonly (EndpointRow | undefined)[];
  readonly calls: readonly SocketCall[];
  readonly spins: readonly SocketCall[];
  readonly socketCounts: readonly SocketCountRow[];
  /** When the last of them was, ns since the start; 0 for none. */
  readonly lastTimeNs: number;
  readonly notes: readonly string[];
  /** Calls that found nothing to do and are not in `spins`, because there are too many. */
  readonly spinsLeftOut: number;
}

export class SocketRows {
  readonly #endpoints: (EndpointRow | undefined)[] = [];
  readonly #maxCalls: number;
  readonly #maxSpins: number;
  #calls: CallRow[] = [];
  #spins: CallRow[] = [];
  #counts: SocketCountRow[] = [];
  #leftOut = 0;
  #spinsLeftOut = 0;

  constructor(maxCalls = MAX_CALLS, maxSpins = MAX_SPINS) {
    this.#maxCalls = maxCalls;
    this.#maxSpins = maxSpins;
  }

  add({ endpoints, calls, socketCounts }: Tables, invalid: InvalidCounts): void {
    for (const row of endpoints) {
      if (row.id >= 0 && row.id <= MAX_ID && ENDPOINT_ROLES[row.role] !== undefined)
        this.#endpoints[row.id] = row;
      else invalid.add("endpoints");
    }
    for (const row of calls) {
      if (isPossible(row)) (isSpin(row) ? this.#spins : this.#calls).push(row);
      else invalid.add("calls");
    }
    if (this.#calls.length > 2 * this.#maxCalls) this.#keepLongest();
    if (this.#spins.length > 2 * this.#maxSpins) this.#keepLast();
    for (const row of socketCounts) this.#counts.push(row);
  }

  build(
    merger: StackMerger,
    threads: ThreadLookup,
    onStack: (thread: number, stack: MergedStack) => void,
    invalid: InvalidCounts,
  ): BuiltSocketRows {
    if (this.#calls.length > this.#maxCalls) this.#keepLongest();
    if (this.#spins.length > this.#maxSpins) this.#keepLast();
    const built = ({ stack, ...row }: CallRow): SocketCall => {
      const merged = merger.find(stack, variantOf(row.flags));
      if (!merged.known) invalid.add("stacks");
      if (!threads.known(row.thread)) invalid.add("threads");
      const thread = threads.known(row.thread) ? row.thread : threads.unknown();
      onStack(thread, merged);
      const known = row.endpoint === -1 || this.#endpoints[row.endpoint] !== undefined;
      if (!known) invalid.add("endpoints");
      return {
        ...row,
        fd: row.fd | 0, // none, as an unsigned number, is none as well
        thread,
        endpoint: known ? row.endpoint : -1,
        node: merged.node,
        flags: row.flags & FLAG_BITS,
      };
    };
    const calls = this.#calls.map(built);
    const spins = this.#spins.map(built);
    const times = [...calls, ...spins, ...this.#counts].map(({ timeNs }) => timeNs);
    return {
      endpoints: Array.from(this.#endpoints),
      calls: calls.sort((a, b) => a.timeNs - b.timeNs),
      spins: spins.sort((a, b) => a.timeNs - b.timeNs),
      socketCounts: this.#counts.toSorted((a, b) => a.timeNs - b.timeNs),
      lastTimeNs: times.reduce((last, time) => Math.max(last, time), 0),
      notes:
        this.#leftOut > 0
          ? [
              `${this.#leftOut} slow socket calls are not listed one by one: the ${this.#maxCalls} longest are. All are in the totals.`,
            ]
          : [],
      spinsLeftOut: this.#spinsLeftOut,
    };
  }

  #keepLast(): void {
    this.#spinsLeftOut += this.#spins.length - this.#maxSpins;
    this.#spins = this.#spins.slice(-this.#maxSpins);
  }

  /** Unfinished calls stay whatever their length: they are what nobody can see elsewhere. */
  #keepLongest(): void {
    const unfinished = (row: CallRow): number => ((row.flags & SampleFlag.inProgress) !== 0 ? 1 : 0);
    this.#calls.sort((a, b) => unfinished(b) - unfinished(a) || b.durationNs - a.durationNs);
    this.#leftOut += this.#calls.length - this.#maxCalls;
    this.#calls = this.#calls.slice(0, this.#maxCalls);
  }
}

/** Such a row is no slow call: it must be in no list and no number of these. */
const isSpin = ({ flags }: CallRow): boolean => (flags & SampleFlag.spins) !== 0;

const isPossible = ({ timeNs, durationNs, busyNs, blockedNs, waitingNs }: CallRow): boolean =>
  [timeNs, durationNs, busyNs, blockedNs, waitingNs].every((value) => value >= 0 && Number.isFinite(value));
