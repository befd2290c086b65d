// Descriptors that a program asks over and over although there is nothing to be had, and from where it asks: the recorder takes
// the user stack of a few of these calls, whether or not CPU samples were taken.
import type { DescriptorTotal } from "../capture/binding.js";
import type { Profile } from "../model/profile.js";
import { type EndpointName, endpointNames } from "./endpoint-names.js";
import { CallerTally, callerNodes } from "./socket-callers.js";
import type { SocketCaller, SocketOwner } from "./socket-sum.js";
import { socketOwner } from "./socket-summary.js";
import { EAGAIN_SPIN } from "./thresholds.js";

export interface SpinningDescriptor extends SocketOwner {
  readonly fd: number;
  /** Index into Profile.endpoints, -1 where it is not known; and its name, null there. */
  readonly endpointId: number;
  readonly endpoint: EndpointName | null;
  /** Calls and those of them that ended with EAGAIN, while it spun; where a CPU made very many, one in eight was counted, eight times. */
  readonly count: number;
  readonly again: number;
  readonly perSecond: number;
  /** Whether that is its worst second only: over all of its time it found something often enough, or asked less. */
  readonly atTimes: boolean;
  /** Distinct stacks that were taken of such calls, those that name a caller first, then most frequent first: node of the profile's tree, and how often. */
  readonly stacks: readonly { readonly node: number; readonly count: number }[];
  /** By the stacks that name one, most first. */
  readonly callers: readonly SocketCaller[];
}

const CALLERS = 6;
const STACKS = 5;

/**
 * The busiest first; empty for a capture that was cut before its totals.
 * @param counts by process id: whose descriptors count; default everybody's
 */
export function spinningDescriptors(
  profile: Profile,
  counts: (process: number) => boolean = () => true,
): SpinningDescriptor[] {
  const rows = (profile.final?.descriptorTotals ?? [])
    .filter((row) => counts(row.process))
    .flatMap((row) => spinOf(row) ?? []);
  if (rows.length === 0) return [];
  const nameOf = endpointNames(profile);
  const callers = callerNodes(profile);
  const taken = nodesByDescriptor(profile);
  return rows
    .sort((a, b) => b.perSecond - a.perSecond)
    .map(({ row, ...spin }) => {
      const owner = socketOwner(profile, row.process);
      const nodes = taken.get(keyOf(owner.process, row.fd)) ?? [];
      const tally = new CallerTally(profile, callers);
      for (const node of nodes) tally.add(node, 1);
      return {
        ...owner,
        fd: row.fd,
        endpointId: row.endpoint,
        endpoint: row.endpoint < 0 ? null : nameOf(row.endpoint),
        ...spin,
        stacks: together(nodes, callers).slice(0, STACKS),
        callers: tally.top(CALLERS),
      };
    });
}

interface Spin extends Pick<SpinningDescriptor, "count" | "again" | "perSecond" | "atTimes"> {
  readonly row: DescriptorTotal;
}

/** Over all of its time, else in its worst second; undefined where it does in neither. */
function spinOf(row: DescriptorTotal): Spin | undefined {
  const perSecond = (count: number, ns: number): number => (ns > 0 ? count / (ns / 1e9) : 0);
  const { worstCount: count, worstAgain: again } = row;
  const always = {
    ...{ row, count: row.count, again: row.again, perSecond: perSecond(row.count, row.forNs) },
    atTimes: false,
  };
  const worst = { row, count, again, perSecond: perSecond(count, row.worstNs), atTimes: true };
  return [always, worst].find(
    (spin) =>
      spin.count >= EAGAIN_SPIN.minCount &&
      spin.again > spin.count * EAGAIN_SPIN.share &&
      spin.perSecond > EAGAIN_SPIN.perSecond,
  );
}

const keyOf = (process: number, fd: number): string => `${process} ${fd}`;

/** Stacks of calls that found nothing to do, by process and descriptor; those of which nothing is known left out. */
function nodesByDescriptor({ spins, threads }: Profile): Map<string, number[]> {
  const nodes = new Map<string, number[]>();
  for (const { thread, fd, node } of spins) {
    if (node === 0) continue;
    const key = keyOf(threads[thread]?.process ?? -1, fd);
    const list = nodes.get(key);
    if (list === undefined) nodes.set(key, [node]);
    else list.push(node);
  }
  return nodes;
}

function together(nodes: readonly number[], callers: Uint32Array): { node: number; count: number }[] {
  const named = (node: number): number => (callers[node] === 0 ? 0 : 1);
  const counts = new Map<number, number>();
  for (const node of nodes) counts.set(node, (counts.get(node) ?? 0) + 1);
  return [...counts]
    .map(([node, count]) => ({ node, count }))
    .sort((a, b) => named(b.node) - named(a.node) || b.count - a.count);
}
