// Socket calls that had not returned when the recording ended, and are older than any healthy answer. Waiting calls are none.
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import type { Finding } from "../finding.js";
import { notSelf } from "../lock-summary.js";
import { descriptorCommand, ssCommand, straceCommand } from "../socket-advice.js";
import { type CallSeen, unfinishedCalls } from "../socket-calls.js";
import { shown, time } from "../text.js";
import { UNFINISHED } from "../thresholds.js";

/** Ends at which a program that receives waits for others to come: their silence is no fault. */
const IDLE_ROLES = new Set(["accepted", "listening", "local", "served path", "process", "family"]);
const RECEIVING = /^(?:accept|recv|read)/;

/** Findings "unfinished-call": one a process, call and end; those that may well be idle are worth knowing only. */
export function unfinishedSocketCalls(profile: Profile): Finding[] {
  const groups = new Map<string, CallSeen[]>();
  for (const call of unfinishedCalls(profile, notSelf(profile))) {
    if (call.waiting || call.durationNs < UNFINISHED.warningNs) continue;
    const key = JSON.stringify([call.process, call.call, call.endpoint?.name ?? null]);
    const calls = groups.get(key);
    if (calls === undefined) groups.set(key, [call]);
    else calls.push(call);
  }
  const answered = answersAt(profile);
  const findings = [...groups.values()].map((calls) => finding(profile, calls, answered));
  const of = (severity: string) => findings.filter((each) => each.severity === severity);
  return [...of("warning").slice(0, UNFINISHED.maxFindings), ...of("info").slice(0, UNFINISHED.maxFindings)];
}

/** By end: the processes that it sent something to in the recording. */
function answersAt(profile: Profile): ReadonlyMap<number, ReadonlySet<number>> {
  const answered = new Map<number, Set<number>>();
  for (const { process, endpoint, bytesIn } of profile.final?.endpointTotals ?? [])
    if (endpoint >= 0 && bytesIn > 0)
      answered.set(endpoint, (answered.get(endpoint) ?? new Set()).add(process));
  return answered;
}

/** Whether it was under way when the recording began, from when on it counts. */
const beganBefore = ({ durationNs }: CallSeen, profile: Profile): boolean => durationNs >= profile.durationNs;

/**
 * Whether a question from before the recording may well be one that is meant to wait (BLPOP, a long poll): the end answers
 * others, and did not answer this process in the recording, which would show that it usually does.
 */
function maybeMeantToWait(
  call: CallSeen,
  profile: Profile,
  answered: ReadonlyMap<number, ReadonlySet<number>>,
): boolean {
  const { endpointId, endpoint, process } = call;
  const to = answered.get(endpointId);
  return (
    endpoint !== null && beganBefore(call, profile) && to !== undefined && to.size > 0 && !to.has(process)
  );
}

/** @param calls of one process, call and end, oldest first */
function finding(
  profile: Profile,
  calls: readonly CallSeen[],
  answered: ReadonlyMap<number, ReadonlySet<number>>,
): Finding {
  const first = calls[0]!;
  const { call, comm, pid, fd, endpoint, durationNs } = first;
  const age = `${beganBefore(first, profile) ? "at least " : ""}${time(durationNs)}`;
  const name = pid === null ? shown(comm) : `${shown(comm)} (pid ${pid})`;
  const where = placeOf(first);
  // of several threads each must be idle
  const meant = (each: CallSeen): boolean => maybeMeantToWait(each, profile, answered);
  const idle = RECEIVING.test(call) && calls.every((each) => isIdle(each) || meant(each));
  const many = calls.length > 1 ? `${calls.length} threads of ${name} have` : `${name} has`;
  const ss = ssCommand(profile.endpoints[first.endpointId]);
  const seen =
    calls.length > 1
      ? `these calls had not returned, the oldest for ${age}`
      : `this call had not returned for ${age}`;
  return {
    rule: "unfinished-call",
    severity: idle ? "info" : "warning",
    title: `${many} been in ${call}${where} for ${age}, and it has not returned`,
    detail: `When the recording ended ${seen}. ${doingOf(first, idle, meant(first))} No latency of finished calls shows it. What began before the recording counts from its start.`,
    share: ratio(profile.durationNs > 0 ? Math.min(1, durationNs / profile.durationNs) : 0),
    culprit: endpoint === null ? name : endpoint.name,
    contributors: [],
    next: [
      ...(ss === undefined ? [] : [ss]),
      ...(pid === null
        ? []
        : [
            `${fd === null ? "" : `${descriptorCommand(pid, fd)}; `}cat /proc/${pid}/task/${first.tid}/stack`,
            straceCommand(pid, "network"),
          ]),
    ],
    tab: "sockets",
  };
}

const isIdle = ({ endpoint, nothingAsked }: CallSeen): boolean =>
  nothingAsked || (endpoint !== null && IDLE_ROLES.has(endpoint.role));

/** " on " end and descriptor, as far as they are known; "" where neither is. */
function placeOf({ fd, endpoint }: CallSeen): string {
  if (endpoint === null) return fd === null ? "" : ` on descriptor ${fd}`;
  return ` on ${endpoint.name}${fd === null ? "" : ` (descriptor ${fd})`}`;
}

/** What it waits for, as far as the call tells. */
function doingOf(
  { call, busyNs, durationNs, nothingAsked, endpoint }: CallSeen,
  idle: boolean,
  meant: boolean,
): string {
  if (busyNs > durationNs / 2)
    return "It is busy in the kernel all that time: see what it spins on in the CPU tab.";
  if (idle && nothingAsked && endpoint?.protocol !== "tcp")
    return "The recording saw nothing sent there that is not answered, and of the time before it such a socket tells nothing: it may wait for what the other side has to say (SUBSCRIBE, events, datagrams).";
  if (idle && nothingAsked)
    return "As far as the ticks of TCP's clock tell it is owed no answer there: the other side spoke last, and may speak when it has something to say (SUBSCRIBE, events, replication).";
  if (idle && meant)
    return "The other side is alive, it answers others; this was asked before the recording, and may be meant to wait (BLPOP, a long poll).";
  if (idle)
    return "It waits for others to send or to connect, which may be how it idles; such a thread can do nothing else meanwhile.";
  if (/^close/.test(call))
    return "It waits until the other side has taken what was sent (SO_LINGER), and can do nothing else meanwhile.";
  if (/^connect/.test(call)) return "The other side does not answer to the connection request.";
  if (/^(?:send|write)/.test(call))
    return "There is no room to send: the other side does not read, or its answers do not arrive.";
  return "It has waited for the other side all that time, and can do nothing else meanwhile.";
}
