// Slow socket calls one by one, and those that had not returned when the recording ended.
import { SampleFlag } from "../capture/binding.js";
import { errnoName } from "../model/errno.js";
import type { Profile, SocketCall } from "../model/profile.js";
import { isWaitingCall, syscallName } from "../model/syscalls.js";
import { type EndpointName, endpointNames } from "./endpoint-names.js";
import type { SocketOwner } from "./socket-sum.js";
import { socketOwner } from "./socket-summary.js";

export interface CallSeen extends SocketOwner {
  readonly tid: number;
  readonly thread: string;
  readonly call: string;
  /** Waits for events: such a call is never slow, and unfinished it is how a program idles. */
  readonly waiting: boolean;
  /** Null of a call that has none. */
  readonly fd: number | null;
  /** Index into Profile.endpoints, -1 where it is not known, as for waiting calls; and its name, null there. */
  readonly endpointId: number;
  readonly endpoint: EndpointName | null;
  /** Where it began and ended, ns since the start of the recording. One that has not returned ends with the recording. */
  readonly startNs: number;
  readonly endNs: number;
  readonly durationNs: number;
  readonly busyNs: number;
  readonly blockedNs: number;
  readonly waitingNs: number;
  readonly unfinished: boolean;
  /** Of an unfinished one: the other side spoke last, so it waits for no answer. False where that is not known. */
  readonly nothingAsked: boolean;
  readonly result: number;
  /** "ECONNRESET", or "1024"; "" of one that has not returned. */
  readonly outcome: string;
  /** Node of the profile's tree. */
  readonly node: number;
}

/** Slow calls that returned, longest first. */
export const slowCalls = (profile: Profile, counts?: (process: number) => boolean): CallSeen[] =>
  callsSeen(profile, counts).filter(({ unfinished }) => !unfinished);

/** Calls that had not returned, oldest first; waiting calls are among them, marked. */
export const unfinishedCalls = (profile: Profile, counts?: (process: number) => boolean): CallSeen[] =>
  callsSeen(profile, counts).filter(({ unfinished }) => unfinished);

function callsSeen(profile: Profile, counts: (process: number) => boolean = () => true): CallSeen[] {
  const nameOf = endpointNames(profile);
  return profile.calls
    .filter(({ thread }) => counts(profile.threads[thread]?.process ?? -1))
    .map((call) => callSeen(profile, call, nameOf))
    .sort((a, b) => b.durationNs - a.durationNs);
}

function callSeen(profile: Profile, call: SocketCall, nameOf: (endpoint: number) => EndpointName): CallSeen {
  const { arch } = profile.facts.host;
  const thread = profile.threads[call.thread];
  const unfinished = (call.flags & SampleFlag.inProgress) !== 0;
  const nothingAsked = unfinished && (call.flags & SampleFlag.nothingAsked) !== 0;
  const { durationNs, busyNs, blockedNs, waitingNs, result } = call;
  return {
    ...socketOwner(profile, thread?.process ?? -1),
    tid: thread?.tid ?? -1,
    thread: thread?.comm ?? "(unknown)",
    call: syscallName(arch, call.syscall) || "(unknown)",
    waiting: isWaitingCall(arch, call.syscall),
    fd: call.fd < 0 ? null : call.fd,
    endpointId: call.endpoint,
    endpoint: call.endpoint < 0 ? null : nameOf(call.endpoint),
    startNs: Math.max(0, call.timeNs - durationNs),
    endNs: call.timeNs,
    ...{ durationNs, busyNs, blockedNs, waitingNs, unfinished, nothingAsked, result },
    outcome: unfinished ? "" : result < 0 ? errnoName(-result) : String(result),
    node: call.node,
  };
}
