// What a recording of sockets gives: ends of sockets, slow calls one by one, counts of open sockets, and exact totals by
// call, by end and by descriptor. Part of the contract with the native addon; binding.ts hands it on.
import type { Nanoseconds } from "../model/units.js";

/** What an endpoint is to the socket; index = `EndpointRow.role`. */
export const ENDPOINT_ROLES = [
  "none",
  "remote", // the other end of a connection that this side opened
  "accepted", // own address of a connection that the other side opened
  "listening",
  "datagram", // address given with the call, on a socket without another end
  "local", // own address of a socket that has no other end (yet)
  "path", // unix: name of the other end
  "served path", // unix: own name, of a connection that the other side opened
  "process", // unix without names: `address` is the pid at the other end
  "family", // any other family (netlink, packet, ...): `port` is the protocol
] as const;
export type EndpointRole = (typeof ENDPOINT_ROLES)[number];

/** Who is at the other end of a socket. */
export interface EndpointRow {
  readonly id: number;
  /** Index into ENDPOINT_ROLES. */
  readonly role: number;
  /** AF_*: 1 unix, 2 IPv4 (also mapped into IPv6), 10 IPv6, 16 netlink, 17 packet, ... */
  readonly family: number;
  /** IPPROTO_* of an internet socket (6 TCP, 17 UDP, 1 ICMP, 132 SCTP, ...); NETLINK_* of netlink. */
  readonly protocol: number;
  /** "10.0.0.1", "::1", "/run/x.sock", "@abstract", a pid; "" where the role has none. May hold any characters. */
  readonly address: string;
  readonly port: number;
  /**
   * Inode of the network namespace that the address belongs to, as `lsns -t net` shows it: equal addresses in two are two ends.
   * 0: that of lowflame itself; also of what belongs to none (paths, netlink), and where it is not known.
   */
  readonly network: number;
}

/** One slow socket call (10 ms busy or 100 ms blocked), or one that had not returned at the end (SampleFlag.inProgress). */
export interface CallRow {
  /** End of the call, ns since `StartFacts.startMonotonicNs`. */
  readonly timeNs: number;
  readonly thread: number;
  /** Number of the system call. */
  readonly syscall: number;
  /** -1 = none: socket, and waiting calls (poll, select, epoll_wait), whose first argument is no socket. */
  readonly fd: number;
  /** Id of an `EndpointRow`, -1 = unknown (waiting calls have none). */
  readonly endpoint: number;
  /** What it returned; -errno on error; 0 if it has not returned. */
  readonly result: number;
  /** durationNs = busyNs + blockedNs + waitingNs (runnable, without a CPU). */
  readonly durationNs: Nanoseconds;
  readonly busyNs: Nanoseconds;
  readonly blockedNs: Nanoseconds;
  readonly waitingNs: Nanoseconds;
  /** Id of a stack, as in SampleColumns; user half only where the call has returned. */
  readonly stack: number;
  readonly flags: number;
}

/** Sockets that a process has opened (socket, socketpair, accept) less those that it closed, since the recording began. */
export interface SocketCountRow {
  readonly timeNs: number;
  readonly process: number;
  readonly opened: number;
  /** Calls of close, also on one of several descriptors of a socket; close_range is none of them. */
  readonly closed: number;
  /** Descriptors of any kind that it had open then; 0: not known (kernels before 6.2, a process that has ended). */
  readonly descriptors: number;
}

/** Exact account of one process and system call (not sampled). Buckets as in RunQueueRow. */
export interface CallTotal {
  /** Process id in the tables; -1 = other. */
  readonly process: number;
  /** Number of the system call; -1 = the "other" row (table full). read, write, close, ... only on sockets. */
  readonly syscall: number;
  readonly count: number;
  readonly bytes: number;
  readonly errors: number;
  /**
   * The first sixteen errno of each CPU; errno 0 = all others together. 512 and above: a signal came first (ERESTARTSYS and the
   * like, include/linux/errno.h); whether the call starts again or gives EINTR is decided after the end of the call has been seen.
   */
  readonly byError: readonly { readonly errno: number; readonly count: number }[];
  readonly busyNs: Nanoseconds;
  readonly blockedNs: Nanoseconds;
  readonly waitingNs: Nanoseconds;
  readonly maxNs: Nanoseconds;
  /** Of the whole call. */
  readonly buckets: readonly number[];
  /** Of its busy part. */
  readonly busyBuckets: readonly number[];
}

/** Exact account of one process and endpoint: all calls but waiting calls, socket, socketpair and close. */
export interface EndpointTotal {
  readonly process: number;
  /** Id of an `EndpointRow`; -1 = the "other" row (table full). */
  readonly endpoint: number;
  readonly count: number;
  readonly bytesOut: number;
  readonly bytesIn: number;
  /** Without EAGAIN. */
  readonly errors: number;
  /** EAGAIN. */
  readonly again: number;
  readonly busyNs: Nanoseconds;
  readonly blockedNs: Nanoseconds;
  readonly waitingNs: Nanoseconds;
  readonly maxNs: Nanoseconds;
  readonly buckets: readonly number[];
  /**
   * Turnarounds: who keeps whom waiting. At an end that this side opened (remote, path) the time from a send to the first
   * bytes that came after it: how long *the other side* took to answer. At an accepted end (accepted, served path) the
   * time from a receive to the first bytes sent after it: how long *this process* took. This answers "which upstream is
   * slow, or is it us?" where no call ever blocks. At a remote end a question that has no answer when its connection is closed
   * or the recording ends counts as one that took so long, from 1 s on, if one was surely wanted (see `unanswered`). Buckets as
   * above. Zero for other roles.
   */
  readonly turns: number;
  readonly turnSumNs: Nanoseconds;
  readonly turnMaxNs: Nanoseconds;
  readonly turnBuckets: readonly number[];
  /** The same to the last bytes before the next question: as many as `turns`. No buckets: not known (older captures). */
  readonly wholeSumNs: Nanoseconds;
  readonly wholeMaxNs: Nanoseconds;
  readonly wholeBuckets: readonly number[];
  /** How often an answer that had begun went on only after a tick of the kernel (1 to 10 ms) or more: many are a stream. */
  readonly pauses: number;
  /**
   * Remote ends and paths: how often the first bytes of an answer, or more of it, had lain in the socket until this process read
   * them, and for how long at least. That time is the process's own, and in none of the times above. TCP: known in ticks of
   * the kernel (1 to 10 ms), less one. Others: only the wait for a CPU of a call that had blocked for them.
   */
  readonly lateReads: number;
  readonly lateSumNs: Nanoseconds;
  readonly lateMaxNs: Nanoseconds;
  /**
   * Time that passed on the threads that read them while they lay there, each thread's told once however many lay there at
   * once; zero with late reads: not known (older captures). Of it, at least `lateAwakeNs` they ran or waited for a CPU, and at
   * least `lateSleptNs` they slept; of the rest it is not known.
   */
  readonly latePassedNs: Nanoseconds;
  readonly lateAwakeNs: Nanoseconds;
  readonly lateSleptNs: Nanoseconds;
  /** Of `turns`: questions without an answer. 0 in older captures, whatever there were. */
  readonly unanswered: number;
  readonly unansweredSumNs: Nanoseconds;
  /**
   * Questions whose connection was closed 2^23 ns (8.4 ms) or more after them without an answer, in none of `turns`: an answer may
   * have been wanted, or none (a log, a farewell). From the question's last bytes to the close. Buckets as above.
   */
  readonly closed: number;
  readonly closedSumNs: Nanoseconds;
  readonly closedMaxNs: Nanoseconds;
  readonly closedBuckets: readonly number[];
  /** Accepted ends only: most connections that waited in the queue of the listening socket as one was accepted; 0 = unknown. */
  readonly queueMax: number;
  /** Accepted ends only: how many that queue may hold (the backlog of listen, cut to net.core.somaxconn); 0 = unknown. */
  readonly queueLimit: number;
}

/**
 * Life of TCP connections by endpoint, of all processes: these events happen in interrupts, where nobody's process is
 * known. With filters (process, name, cgroup) only the endpoints that have a row in `endpointTotals`. From the tracepoints
 * inet_sock_set_state, tcp_retransmit_skb, tcp_send_reset and tcp_receive_reset.
 */
export interface TcpTotal {
  /** Id of an `EndpointRow` (roles remote, accepted, listening); -1 = the "other" row (table full, or no endpoint known). */
  readonly endpoint: number;
  /** Connections that this side opened and that were established. */
  readonly connects: number;
  /** Those that were not: refused, timed out, or closed by the program before. */
  readonly connectsFailed: number;
  /**
   * Of `connectsFailed` those that nobody answered: the kernel gave up after sending the request again and again, or the program
   * did after it had been sent again. The others were refused, or given up within the first second.
   */
  readonly connectsUnanswered: number;
  /** From their first packet to their failure, of `connectsFailed` whose beginning was seen. */
  readonly connectsFailedNs: Nanoseconds;
  /** From the first packet of the handshake to its end, of `connects` whose beginning was seen. */
  readonly connectSumNs: Nanoseconds;
  readonly connectMaxNs: Nanoseconds;
  /** As in RunQueueRow. */
  readonly connectBuckets: readonly number[];
  /** Connections that the other side opened and that were established (handshakes, whether accept was called or not). */
  readonly accepted: number;
  /** Connections that ended. */
  readonly closes: number;
  readonly resetsSent: number;
  readonly resetsReceived: number;
  /** Segments sent again. */
  readonly retransmits: number;
}

/** Connections of one process to one end that were not established yet when the recording ended (SYN-SENT), whenever they began. */
export interface ConnectingRow {
  /** Process id in the tables; -1 = unknown. One of them, where several have the socket open. */
  readonly process: number;
  /** Role remote. */
  readonly endpoint: number;
  readonly count: number;
  /** Of them those whose request was sent again, which Linux does after one second. */
  readonly unanswered: number;
  /** How often requests were sent again, of all of them, since each began. */
  readonly sentAgain: number;
  /** Age of the oldest. */
  readonly maxNs: Nanoseconds;
}

/** Connections in CLOSE-WAIT both when the recording began and when it ended (the other side closed, the process did not) on which the other side got nothing meanwhile. */
export interface CloseWaitRow {
  /** Process id in the tables; -1 = unknown (nobody has the socket open, or there was no time to look). */
  readonly process: number;
  readonly endpoint: number;
  readonly count: number;
  /** A descriptor of the process that is such a connection; -1 = unknown. */
  readonly fd: number;
}

/** A listening socket in whose queue connections waited to be accepted when the recording ended. */
export interface ListenQueueRow {
  /** Process id in the tables; -1 = unknown. One of them, where several share the socket. */
  readonly process: number;
  /** Role listening. */
  readonly endpoint: number;
  readonly length: number;
  /** How many it holds before the next is refused: one more than its backlog, as Linux counts; 0 = unknown. */
  readonly capacity: number;
}

/** Counters of all network namespaces that a process lives in, over the recording (TcpExt of /proc/net/netstat). */
export interface TcpCounters {
  /** Connections that found the queue of a listening socket full. */
  readonly listenOverflows: number;
  /** Connection requests dropped by listening sockets, for this reason or another. */
  readonly listenDrops: number;
  /** Connections in CLOSE-WAIT at the end, however young. */
  readonly closeWaitAtEnd: number;
  /** A tick of the kernel, in which it notes when data came; absent or 0 = unknown (older captures). */
  readonly tickNs?: Nanoseconds;
}

/** One of the 256 busiest descriptors: counts are lower bounds, of the time since it came among them. */
export interface DescriptorTotal {
  readonly process: number;
  readonly fd: number;
  readonly endpoint: number;
  readonly count: number;
  readonly again: number;
  readonly forNs: Nanoseconds;
  /**
   * Of the seconds in which more than nine of ten calls ended with EAGAIN, the one with most of them, and how long it was. 0: there
   * was none, or it is not known (older captures).
   */
  readonly worstCount: number;
  readonly worstAgain: number;
  readonly worstNs: Nanoseconds;
}

/** New rows, as the other tables of a batch. */
export interface SocketTables {
  readonly endpoints: readonly EndpointRow[];
  readonly calls: readonly CallRow[];
  /** About once a second, for processes whose figures changed. */
  readonly socketCounts: readonly SocketCountRow[];
}

/** Known at the end; empty where `sockets` was not recorded. */
export interface SocketTotals {
  readonly callTotals: readonly CallTotal[];
  readonly endpointTotals: readonly EndpointTotal[];
  readonly descriptorTotals: readonly DescriptorTotal[];
  readonly tcpTotals: readonly TcpTotal[];
  readonly connecting: readonly ConnectingRow[];
  readonly closeWaits: readonly CloseWaitRow[];
  readonly listenQueues: readonly ListenQueueRow[];
  /** Absent where `sockets` was not recorded. */
  readonly tcpCounters?: TcpCounters;
}
