// Sockets of a made-up proxy, for tests and for looking at the report: nginx with a healthy and a slow upstream, a thread
// that has been connecting for eight seconds to where nobody is, and a pool whose server closed connections.
import {
  type CallTotal,
  type DescriptorTotal,
  type EndpointTotal,
  type FinalFacts,
  RUNQUEUE_BUCKETS,
  SampleFlag,
  type SocketTotals,
  type TcpTotal,
} from "../../../src/capture/binding.js";
import type { Profile } from "../../../src/model/profile.js";
import { ns } from "../../../src/model/units.js";
import { buildProfile } from "./build-profile.js";
import { type FakeCapture, k, u } from "./fake-capture.js";
import { SYSCALL } from "./proxy-load.js";

export const SYS = {
  read: 0,
  write: 1,
  connect: 42,
  accept: 43,
  sendto: 44,
  recvfrom: 45,
  writev: 20,
  epoll: 232,
};
export const EAGAIN = 11;
export const EMFILE = 24;
export const ECONNRESET = 104;

/** Index of the bucket that holds a length: two an octave from 1,024 ns on. */
export function bucketOf(lengthNs: number): number {
  if (lengthNs < 1024) return 0;
  const octave = Math.floor(Math.log2(lengthNs / 1024));
  return 1 + 2 * octave + (lengthNs >= 1.5 * 1024 * 2 ** octave ? 1 : 0);
}

/** A histogram: length in ns -> how many. */
export function bucketsOf(lengths: readonly (readonly [lengthNs: number, count: number])[]): number[] {
  const buckets = new Array<number>(RUNQUEUE_BUCKETS).fill(0);
  for (const [length, count] of lengths) buckets[bucketOf(length)]! += count;
  return buckets;
}

export type Lengths = readonly (readonly [lengthNs: number, count: number])[];
const sumOf = (lengths: Lengths): number => lengths.reduce((sum, [length, count]) => sum + length * count, 0);
const countOf = (lengths: Lengths): number => lengths.reduce((sum, [, count]) => sum + count, 0);
const longestOf = (lengths: Lengths): number => lengths.reduce((most, [length]) => Math.max(most, length), 0);

/** Calls of one process that were busy for so long, all of their time unless `over` says otherwise. */
export function callTotal(
  process: number,
  syscall: number,
  busy: Lengths,
  over: Partial<CallTotal> = {},
): CallTotal {
  const buckets = bucketsOf(busy);
  return {
    ...{
      process,
      syscall,
      count: countOf(busy),
      bytes: 0,
      errors: 0,
      byError: [],
      buckets,
      busyBuckets: buckets,
    },
    ...{ busyNs: ns(sumOf(busy)), blockedNs: ns(0), waitingNs: ns(0), maxNs: ns(longestOf(busy)) },
    ...over,
  };
}

/** Calls on one end, each 2 us busy, and the answers that were timed there. */
export function endTotal(
  process: number,
  endpoint: number,
  count: number,
  turns: Lengths = [],
  over: Partial<EndpointTotal> = {},
): EndpointTotal {
  return {
    ...{ process, endpoint, count, bytesOut: 0, bytesIn: countOf(turns), errors: 0, again: 0 },
    ...{ busyNs: ns(2_000 * count), blockedNs: ns(0), waitingNs: ns(0), maxNs: ns(2_000) },
    buckets: bucketsOf([[2_000, count]]),
    ...{ turns: countOf(turns), turnSumNs: ns(sumOf(turns)), turnMaxNs: ns(longestOf(turns)) },
    ...{ turnBuckets: bucketsOf(turns), queueMax: 0, queueLimit: 0 },
    ...wholes(turns),
    ...{ pauses: 0, lateReads: 0, lateSumNs: ns(0), lateMaxNs: ns(0) },
    ...{ latePassedNs: ns(0), lateAwakeNs: ns(0), lateSleptNs: ns(0), unanswered: 0, unansweredSumNs: ns(0) },
    ...closes([]),
    ...over,
  };
}

/** Times to the last bytes of answers. */
export const wholes = (
  lengths: Lengths,
): Pick<EndpointTotal, "wholeSumNs" | "wholeMaxNs" | "wholeBuckets"> => ({
  wholeSumNs: ns(sumOf(lengths)),
  wholeMaxNs: ns(longestOf(lengths)),
  wholeBuckets: bucketsOf(lengths),
});

/** Questions whose connection was closed without an answer. */
export const closes = (
  lengths: Lengths,
): Pick<EndpointTotal, "closed" | "closedSumNs" | "closedMaxNs" | "closedBuckets"> => ({
  closed: countOf(lengths),
  closedSumNs: ns(sumOf(lengths)),
  closedMaxNs: ns(longestOf(lengths)),
  closedBuckets: bucketsOf(lengths),
});

/** Connections at one end, and how long those that this side opened took to be established. */
export function tcpTotal(endpoint: number, took: Lengths = [], over: Partial<TcpTotal> = {}): TcpTotal {
  return {
    ...{
      endpoint,
      connects: countOf(took),
      connectsFailed: 0,
      connectsUnanswered: 0,
      connectsFailedNs: ns(0),
      connectSumNs: ns(sumOf(took)),
    },
    ...{ connectMaxNs: ns(longestOf(took)), connectBuckets: bucketsOf(took), accepted: 0, closes: 0 },
    ...{ resetsSent: 0, resetsReceived: 0, retransmits: 0 },
    ...over,
  };
}

export const descriptor = (over: Partial<DescriptorTotal> & { process: number }): DescriptorTotal => ({
  fd: 7,
  endpoint: -1,
  count: 50_000,
  again: 0,
  forNs: ns(10e9),
  ...{ worstCount: 0, worstAgain: 0, worstNs: ns(0) },
  ...over,
});

/** A profile of a recording of sockets. */
export const socketProfile = (capture: FakeCapture, final: Partial<FinalFacts> = {}): Profile =>
  buildProfile(capture.events({ facts: { sources: ["cpu", "sockets"] }, final }));

/** Adds the proxy and its neighbours. Returns their exact totals. */
export function addSockets(
  capture: FakeCapture,
  hostile?: { readonly process: string; readonly lock: string },
): SocketTotals {
  const callTotals: CallTotal[] = [];
  const endpointTotals: EndpointTotal[] = [];
  const healthy = capture.endpoint({ address: "10.0.0.1", port: 8080 });
  const slow = capture.endpoint({ address: "10.0.0.2", port: 8080 });
  const front = capture.endpoint({ role: "accepted", address: "0.0.0.0", port: 80 });
  const listening = capture.endpoint({ role: "listening", family: 10, address: "::", port: 80 });
  const cache = capture.endpoint({
    role: "path",
    family: 1,
    protocol: 0,
    address: "/run/cache.sock",
    port: 0,
  });
  for (const pid of [4400, 4401]) {
    const { process, thread } = capture.process(pid, "nginx");
    callTotals.push(
      callTotal(process, SYS.recvfrom, [[2_000, 60_000]], {
        ...{ bytes: 9e7, errors: 20_012 },
        byError: [
          { errno: EAGAIN, count: 20_000 },
          { errno: ECONNRESET, count: 12 },
        ],
      }),
      callTotal(process, SYS.writev, [
        [9_000, 39_000],
        [30_000, 1_000],
      ]),
      callTotal(process, SYS.epoll, [[3_000, 30_000]], { blockedNs: ns(8e9), maxNs: ns(3e6) }),
    );
    endpointTotals.push(
      endTotal(process, healthy, 40_000, [[2e6, 20_000]], { bytesOut: 2e6, bytesIn: 4e7 }),
      endTotal(process, slow, 1_600, [[350e6, 400]], { bytesOut: 9e4, bytesIn: 8e5, errors: 12 }),
      endTotal(
        process,
        front,
        50_000,
        [
          [2.2e6, 20_000],
          [352e6, 400],
        ],
        { queueMax: pid === 4400 ? 12 : 7, queueLimit: 511 },
      ),
      endTotal(process, listening, 900, [], { again: 300 }),
    );
    const send = [
      u("_start"),
      u("ngx_worker_process_cycle"),
      ...SYSCALL,
      k("__x64_sys_writev"),
      k("sock_write_iter"),
    ];
    capture.cpu(thread, [...send, k("tcp_sendmsg")], { times: 120 });
    capture.cpu(thread, [u("_start"), u("ngx_http_parse_header_line")], { times: 40 });
  }
  const worker = capture.process(5100, "worker");
  const helper = capture.thread(worker.process, 5101, "connector");
  endpointTotals.push(
    endTotal(worker.process, cache, 30, [[1e6, 10]], { blockedNs: ns(9.5e9), maxNs: ns(900e6) }),
  );
  callTotals.push(
    callTotal(worker.process, SYS.recvfrom, [[5_000, 30]], { blockedNs: ns(9.5e9), maxNs: ns(900e6) }),
  );
  const receive = [
    u("main"),
    u("Cache::get()"),
    ...SYSCALL,
    k("__x64_sys_recvfrom"),
    k("unix_stream_read_generic"),
  ];
  for (let n = 0; n < 10; n++)
    capture.slowCall(worker.thread, receive, {
      ...{
        timeNs: 1e9 * (n + 1) - 5e7,
        endpoint: cache,
        durationNs: ns(900e6 - n * 1e7),
        blockedNs: ns(899e6 - n * 1e7),
      },
      ...{ busyNs: ns(1e6), result: n === 3 ? -ECONNRESET : 1024 },
    });
  const dead = capture.endpoint({ address: "10.9.9.9", port: 443 });
  const database = capture.endpoint({ address: "10.0.0.7", port: 5432 });
  endpointTotals.push(
    endTotal(worker.process, dead, 12, [], { errors: 12 }),
    endTotal(worker.process, database, 300, [[800e3, 150]]),
  );
  const tcpTotals = [
    tcpTotal(healthy, [[180e3, 900]], { closes: 880, retransmits: 3 }),
    tcpTotal(slow, [[200e3, 310]], { closes: 300, resetsReceived: 24, retransmits: 1 }),
    tcpTotal(front, [], { accepted: 1_800, closes: 1_790, resetsReceived: 6, retransmits: 2 }),
    tcpTotal(dead, [], { connectsFailed: 12, retransmits: 60 }),
    tcpTotal(database, [[250e3, 4]]),
  ];
  const closeWaits = [{ process: worker.process, endpoint: database, count: 4, fd: 19 }];
  const listenQueues = [{ process: worker.process, endpoint: listening, length: 2, capacity: 0 }];
  const tcpCounters = { listenOverflows: 0, listenDrops: 0, closeWaitAtEnd: 5 };
  capture.slowCall(helper, [...SYSCALL, k("__x64_sys_connect"), k("inet_stream_connect")], {
    ...{ timeNs: 10e9, syscall: SYS.connect, endpoint: dead, durationNs: ns(8e9), blockedNs: ns(8e9) },
    flags: SampleFlag.inProgress,
  });
  capture.slowCall(worker.thread, [...SYSCALL, k("do_epoll_wait")], {
    ...{ timeNs: 10e9, syscall: SYS.epoll, durationNs: ns(9e9), blockedNs: ns(9e9) },
    flags: SampleFlag.inProgress,
  });
  if (hostile !== undefined) {
    const evil = capture.process(669, hostile.process);
    const path = capture.endpoint({ role: "path", family: 1, protocol: 0, address: hostile.lock, port: 0 });
    endpointTotals.push(endTotal(evil.process, path, 10, [], { blockedNs: ns(99e9) }));
    callTotals.push(callTotal(evil.process, SYS.recvfrom, [[5_000, 10]], { blockedNs: ns(99e9) }));
    tcpTotals.push(tcpTotal(path, [], { resetsSent: 1 }));
    capture.slowCall(evil.thread, [u(hostile.lock), ...SYSCALL], { endpoint: path, durationNs: ns(2e9) });
  }
  const tcp = { tcpTotals, connecting: [], closeWaits, listenQueues, tcpCounters };
  return { callTotals, endpointTotals, descriptorTotals: [], ...tcp };
}
