// What is known of each socket call and each other end, process by process: exact totals of all calls, with percentiles
// from their histograms. Waiting calls (epoll_wait and its like) are marked: they are how a program idles.
import type { CallTotal, EndpointTotal } from "../capture/binding.js";
import { errnoName } from "../model/errno.js";
import type { Profile } from "../model/profile.js";
import { isWaitingCall, syscallName } from "../model/syscalls.js";
import { type EndpointName, endpointNames } from "./endpoint-names.js";
import { withGivenUp } from "./given-up.js";
import {
  type CallSummary,
  callsTogether,
  type EndpointSummary,
  endpointsTogether,
  errorsTogether,
  type SocketOwner,
  timesOf,
  turnsOf,
} from "./socket-sum.js";

/** Whether sockets were recorded at all, whatever came of it. */
export const socketsRecorded = ({ facts, final, calls, spins }: Profile): boolean =>
  facts.sources.includes("sockets") || (final?.callTotals.length ?? 0) > 0 || calls.length + spins.length > 0;

/**
 * One row a process and call, longest total first; empty for a capture that was cut before its totals.
 * @param counts by process id (-1 = other): whose calls count; default everybody's
 */
export function callSummaries(
  profile: Profile,
  counts: (process: number) => boolean = () => true,
): CallSummary[] {
  const rows = (profile.final?.callTotals ?? []).filter((row) => row.count > 0 && counts(row.process));
  // A process that changed its name has several ids.
  return callsTogether(
    rows.map((row) => callSummary(profile, row)),
    ({ process, call }) => `${process} ${call}`,
  );
}

/** The same, one row a process and other end; with the questions that somebody surely waited for until they were given up. */
export function endpointSummaries(
  profile: Profile,
  counts: (process: number) => boolean = () => true,
): EndpointSummary[] {
  const nameOf = endpointNames(profile);
  const rows = (profile.final?.endpointTotals ?? []).filter((row) => row.count > 0 && counts(row.process));
  const summaries = endpointsTogether(
    rows.map((row) => endpointSummary(profile, row, nameOf)),
    ({ process, endpoint }) => `${process} ${endpoint}`,
  );
  return withGivenUp(summaries);
}

/** A process of the tables as the owner of sockets; ids of one process lead to the same owner. */
export function socketOwner(profile: Profile, process: number): SocketOwner {
  const row = process < 0 ? undefined : profile.processes[process];
  if (row !== undefined)
    return { process: row.id, pid: row.pid, comm: row.comm, self: row.self, processes: 1 };
  const comm = process < 0 ? "(other processes)" : "(unknown)";
  return { process, pid: null, comm, self: false, processes: 1 };
}

function callSummary(profile: Profile, row: CallTotal): CallSummary {
  const { arch } = profile.facts.host;
  const { syscall, bytes, errors, byError, busyBuckets } = row;
  return {
    ...socketOwner(profile, row.process),
    ...timesOf(row),
    call: syscall < 0 ? "other calls" : syscallName(arch, syscall),
    waiting: isWaitingCall(arch, syscall),
    bytes,
    errors,
    byError: errorsTogether(byError.map(({ errno, count }) => ({ name: errnoName(errno), count }))),
    busyBuckets,
  };
}

function endpointSummary(
  profile: Profile,
  row: EndpointTotal,
  nameOf: (endpoint: number) => EndpointName,
): EndpointSummary {
  const { endpoint, bytesOut, bytesIn, errors, again, queueMax, queueLimit } = row;
  const { closed, closedSumNs, closedMaxNs, closedBuckets } = row;
  return {
    ...socketOwner(profile, row.process),
    ...timesOf(row),
    ...turnsOf(row),
    ...nameOf(endpoint),
    ...{ endpoint, bytesOut, bytesIn, errors, again, queueMax, queueLimit },
    ...{ closed, closedSumNs, closedMaxNs, closedBuckets },
  };
}
