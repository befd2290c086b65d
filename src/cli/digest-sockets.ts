// Socket calls, ends of sockets and answers as rows, without lowflame's own. Pure.

import { type CpuTime, cpuTime } from "../analysis/cpu-time.js";
import { notSelf } from "../analysis/lock-summary.js";
import { isAsked, isServed, type ProgramAnswers, programAnswers } from "../analysis/socket-answers.js";
import { type CallSeen, slowCalls, unfinishedCalls } from "../analysis/socket-calls.js";
import { waitsUnseen, workOf } from "../analysis/socket-servers.js";
import { type SpinningDescriptor, spinningDescriptors } from "../analysis/socket-spin.js";
import {
  type CallSummary,
  type EndpointSummary,
  errorsTogether,
  type SocketOwner,
  type SocketTimes,
  type Turns,
} from "../analysis/socket-sum.js";
import { callSummaries, endpointSummaries, socketsRecorded } from "../analysis/socket-summary.js";
import {
  type CloseWaitSummary,
  type ConnectingSummary,
  type ListenQueueSummary,
  type TcpSummary,
  timedConnects,
} from "../analysis/tcp-sum.js";
import { closeWaitRows, connectingRows, listenQueueRows, tcpSummaries } from "../analysis/tcp-summary.js";
import type { Profile } from "../model/profile.js";
import type {
  AnswersJson,
  AskedJson,
  CloseWaitJson,
  ListenQueueJson,
  SilentEndJson,
  SocketAnswersJson,
  SocketCallJson,
  SocketCallSeenJson,
  SocketEndJson,
  SocketsJson,
  SocketTimesJson,
  SpinningJson,
  TcpJson,
  UnconnectedJson,
} from "./json.js";
import { histogramJson } from "./json-histogram.js";

/** Single calls at most, whatever the limit is: their number grows with the length of the recording, and each has a stack. */
const MOST_CALLS = 2_000;

/**
 * @param limit rows of each list
 * @returns null where sockets were not recorded
 */
export function digestSockets(profile: Profile, limit: number): SocketsJson | null {
  if (!socketsRecorded(profile)) return null;
  const counts = notSelf(profile);
  const cpu = cpuTime(profile);
  const all = callSummaries(profile, counts);
  const calls = all.filter(({ waiting }) => !waiting);
  const idle = all.filter(({ waiting }) => waiting);
  const ends = endpointSummaries(profile, counts);
  const tcp = tcpSummaries(profile, counts);
  const closeWaits = closeWaitRows(profile, counts);
  const listenQueues = listenQueueRows(profile, counts);
  const slow = slowCalls(profile, counts);
  const open = unfinishedCalls(profile, counts);
  const unfinished = open.filter(({ waiting }) => !waiting);
  const sum = (value: (row: CallSummary) => number) => calls.reduce((total, row) => total + value(row), 0);
  return {
    complete: profile.final !== null,
    calls: sum(({ count }) => count),
    totalNs: sum(({ totalNs }) => totalNs),
    busyNs: sum(({ busyNs }) => busyNs),
    blockedNs: sum(({ blockedNs }) => blockedNs),
    waitingNs: sum(({ waitingNs }) => waitingNs),
    byError: errorsTogether(calls.flatMap(({ byError }) => byError)),
    byCall: calls.slice(0, limit).map(callJson),
    waitingCalls: idle.slice(0, limit).map(callJson),
    endCount: ends.length,
    ends: ends.slice(0, limit).map(endJson),
    programs: programAnswers(ends, tcp, connectingRows(profile, counts), profile.final?.tcpCounters?.tickNs)
      .slice(0, limit)
      .map((program) => programJson(profile, cpu, program, limit)),
    spinning: spinningDescriptors(profile, counts)
      .slice(0, limit)
      .map((row) => spinningJson(profile, row)),
    slowCount: slow.length,
    slow: slow.slice(0, Math.min(limit, MOST_CALLS)).map((call) => seenJson(profile, call)),
    unfinishedCount: unfinished.length,
    unfinished: unfinished.slice(0, Math.min(limit, MOST_CALLS)).map((call) => seenJson(profile, call)),
    idleCount: open.length - unfinished.length,
    tcpCount: tcp.length,
    tcp: tcp.slice(0, limit).map(tcpJson),
    closeWaits: closeWaits.slice(0, limit).map(closeWaitJson),
    listenQueues: listenQueues.slice(0, limit).map(listenQueueJson),
    tcpCounters: profile.final?.tcpCounters ?? null,
  };
}

function timesJson(row: SocketOwner & SocketTimes): SocketTimesJson {
  const { pid, comm, count, totalNs, busyNs, blockedNs, waitingNs, p50Ns, p99Ns, maxNs } = row;
  return {
    ...{ pid, process: comm, calls: count, totalNs, busyNs, blockedNs, waitingNs, p50Ns, p99Ns, maxNs },
    histogram: histogramJson(row.buckets),
  };
}

function callJson(row: CallSummary): SocketCallJson {
  const { call, bytes, errors, byError } = row;
  return { ...timesJson(row), call, bytes, errors, byError, busyHistogram: histogramJson(row.busyBuckets) };
}

function endJson(row: EndpointSummary): SocketEndJson {
  const { name, role, protocol, bytesOut, bytesIn, errors, again, queueMax, queueLimit } = row;
  const network = row.network === 0 ? null : row.network;
  const answered = isAsked(row) || isServed(row) ? answersJson(row) : null;
  return {
    ...timesJson(row),
    ...{ name, role, protocol, network, bytesOut, bytesIn, errors, again, answered, queueMax, queueLimit },
  };
}

function answersJson(row: Turns): AnswersJson {
  const { turns, turnSumNs, turnP50Ns, turnP99Ns, turnMaxNs, lateReads, lateSumNs, lateMaxNs } = row;
  const { pauses, wholeBuckets, wholeSumNs, wholeP50Ns, wholeP99Ns, wholeMaxNs } = row;
  const { latePassedNs: passedNs, lateAwakeNs: awakeNs, lateSleptNs: sleptNs } = row;
  const meanwhile = lateReads > 0 && passedNs === 0 ? null : { passedNs, awakeNs, sleptNs };
  const whole = { sumNs: wholeSumNs, p50Ns: wholeP50Ns, p99Ns: wholeP99Ns, maxNs: wholeMaxNs, pauses };
  return {
    answers: turns,
    ...{ unanswered: row.unanswered, unansweredSumNs: row.unansweredSumNs },
    ...{ sumNs: turnSumNs, p50Ns: turnP50Ns, p99Ns: turnP99Ns, maxNs: turnMaxNs },
    histogram: histogramJson(row.turnBuckets),
    whole: wholeBuckets.length > 0 ? whole : null,
    late: { reads: lateReads, sumNs: lateSumNs, maxNs: lateMaxNs, meanwhile },
  };
}

function programJson(
  profile: Profile,
  cpu: CpuTime | undefined,
  program: ProgramAnswers,
  limit: number,
): SocketAnswersJson {
  const { comm, served, asked, silent, unconnected, tcp, there, waitsForWhole } = program;
  const { upstreamShare, upstreamLeast, unseenBelowNs } = program;
  return {
    process: comm,
    served: served && answersJson(served),
    asked: asked.slice(0, limit).map((row) => askedJson(row, tcp.get(row.endpoint), there.get(row))),
    silent: silent.slice(0, limit).map(silentJson),
    unconnected: unconnected.slice(0, limit).map(unconnectedJson),
    ...{ upstreamShare, upstreamLeast, unseenBelowNs, waitsForWhole },
    workNs: workOf(profile, cpu, program.processes) ?? null,
    waitsUnseen: waitsUnseen(profile, cpu, program),
  };
}

const silentJson = (row: ConnectingSummary): SilentEndJson => ({
  name: row.name,
  connections: row.connectingUnanswered,
  maxNs: row.connectingMaxNs,
  sentAgain: row.connectingSentAgain,
});

function unconnectedJson(row: ProgramAnswers["unconnected"][number]): UnconnectedJson {
  const { name, shared, connectsFailed, connectsFailedNs } = row;
  return { name, shared, failed: connectsFailed, sumNs: connectsFailedNs };
}

function askedJson(row: EndpointSummary, tcp: TcpSummary | undefined, there: Turns | undefined): AskedJson {
  const { name, protocol } = row;
  const connect = tcp === undefined ? null : connectJson(tcp);
  const neverAnswered = row.bytesIn === 0;
  return { name, protocol, neverAnswered, ...answersJson(row), itself: itselfJson(there), connect };
}

function itselfJson(there: Turns | undefined): AskedJson["itself"] {
  if (there === undefined) return null;
  const { turns: answers, turnSumNs: sumNs, turnP50Ns: p50Ns, turnP99Ns: p99Ns } = there;
  return { answers, sumNs, p50Ns, p99Ns };
}

function connectJson(row: TcpSummary): AskedJson["connect"] {
  const { connects, connectsFailed, connectP50Ns, connectP99Ns, connectMaxNs, retransmits } = row;
  const times = { p50Ns: connectP50Ns, p99Ns: connectP99Ns, maxNs: connectMaxNs };
  const histogram = histogramJson(row.connectBuckets);
  return { connects, connectsFailed, timed: timedConnects(row), ...times, histogram, retransmits };
}

function tcpJson(row: TcpSummary): TcpJson {
  const { name, role, owners, connects, connectsFailed, connectP50Ns, connectP99Ns, connectMaxNs } = row;
  const { connectsUnanswered, connecting, connectingUnanswered, connectingSentAgain, connectingMaxNs } = row;
  const { accepted, closes, resetsSent, resetsReceived, retransmits, queueMax, queueLimit } = row;
  return {
    ...{ name, role, connects, connectsFailed, connectP50Ns, connectP99Ns, connectMaxNs },
    ...{ connectsUnanswered, connecting, connectingUnanswered, connectingSentAgain, connectingMaxNs },
    connectHistogram: histogramJson(row.connectBuckets),
    ...{ accepted, closes, resetsSent, resetsReceived, retransmits, queueMax, queueLimit },
    usedBy: owners.map(({ comm, pid, processes }) => ({
      ...{ process: comm, pid: processes > 1 ? null : pid, processes },
    })),
  };
}

function closeWaitJson({ comm, pid, name, count, fd }: CloseWaitSummary): CloseWaitJson {
  return { pid, process: comm, end: name, connections: count, descriptor: fd < 0 ? null : fd };
}

const listenQueueJson = ({ comm, pid, name, length }: ListenQueueSummary): ListenQueueJson => ({
  pid,
  process: comm,
  end: name,
  connections: length,
});

function spinningJson(profile: Profile, row: SpinningDescriptor): SpinningJson {
  const { pid, comm, fd, endpoint, count, again, perSecond, atTimes, callers, stacks } = row;
  return {
    ...{ pid, process: comm, descriptor: fd },
    end: endpoint?.name ?? null,
    protocol: endpoint?.protocol ?? null,
    ...{ calls: count, again, callsPerSecond: perSecond, atTimes, callers },
    stack: stackOf(profile, stacks[0]?.node ?? 0),
  };
}

/** Function names on the path to a node, outermost first. */
function stackOf({ tree, functions }: Profile, leaf: number): string[] {
  const stack: string[] = [];
  for (let node = leaf; node > 0; node = tree.parent[node]!)
    stack.push(functions.name[tree.func[node]!] ?? "");
  return stack.reverse();
}

function seenJson(profile: Profile, row: CallSeen): SocketCallSeenJson {
  const { pid, comm, tid, thread, call, fd, endpoint, startNs } = row;
  const { durationNs, busyNs, blockedNs, waitingNs, unfinished, outcome } = row;
  return {
    ...{ pid, process: comm, tid, thread, call, descriptor: fd },
    end: endpoint?.name ?? null,
    protocol: endpoint?.protocol ?? null,
    ...{ startNs, totalNs: durationNs, busyNs, blockedNs, waitingNs },
    result: unfinished ? null : outcome,
    stack: stackOf(profile, row.node),
  };
}
