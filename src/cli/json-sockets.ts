// The part of what `--json` prints that is about sockets; json.ts hands it on.
import type { EndpointRole, TcpCounters } from "../capture/binding.js";
import type { BucketJson } from "./json-histogram.js";

/** Whose calls a row counts, and where their time went. */
export interface SocketTimesJson {
  /** Null for processes that did not fit the table. */
  readonly pid: number | null;
  readonly process: string;
  readonly calls: number;
  readonly totalNs: number;
  readonly busyNs: number;
  readonly blockedNs: number;
  /** Ready to run, without a CPU. */
  readonly waitingNs: number;
  readonly p50Ns: number;
  readonly p99Ns: number;
  readonly maxNs: number;
  /** Of the lengths of these calls. */
  readonly histogram: readonly BucketJson[];
}

export interface SocketCallJson extends SocketTimesJson {
  readonly call: string;
  readonly bytes: number;
  readonly errors: number;
  readonly byError: readonly SocketErrorJson[];
  /** Of the part of each call that it was busy in the kernel. */
  readonly busyHistogram: readonly BucketJson[];
}

export interface SocketErrorJson {
  readonly name: string;
  readonly count: number;
}

/** Times from a question to its answer. */
export interface AnswersJson {
  readonly answers: number;
  /** Of them questions without an answer, which count for as long as they were waited for, and the sum of that. */
  readonly unanswered: number;
  readonly unansweredSumNs: number;
  readonly sumNs: number;
  readonly p50Ns: number;
  readonly p99Ns: number;
  readonly maxNs: number;
  readonly histogram: readonly BucketJson[];
  /** The same to the last bytes; null where that is not known. */
  readonly whole: {
    readonly sumNs: number;
    readonly p50Ns: number;
    readonly p99Ns: number;
    readonly maxNs: number;
    /** How often an answer that had begun went on only after a tick of the kernel (1 to 10 ms) or more. */
    readonly pauses: number;
  } | null;
  /** How often bytes of an answer lay in the socket until they were read, and how long at least: in none of the times above. */
  readonly late: {
    readonly reads: number;
    readonly sumNs: number;
    readonly maxNs: number;
    /** What the threads that read did meanwhile, see EndpointTotal; null in captures that do not know it. */
    readonly meanwhile: {
      readonly passedNs: number;
      readonly awakeNs: number;
      readonly sleptNs: number;
    } | null;
  };
}

export interface SocketEndJson extends SocketTimesJson {
  readonly name: string;
  readonly role: EndpointRole;
  readonly protocol: string;
  /** Inode of its network namespace; null for lowflame's own, and where it is in none or not known. */
  readonly network: number | null;
  readonly bytesOut: number;
  readonly bytesIn: number;
  readonly errors: number;
  /** EAGAIN, which is no error. */
  readonly again: number;
  /** Null where no answer was timed. */
  readonly answered: AnswersJson | null;
  /** Most connections that waited to be accepted, and how many may; 0 where it is not known. */
  readonly queueMax: number;
  readonly queueLimit: number;
}

export interface AskedJson extends AnswersJson {
  readonly name: string;
  readonly protocol: string;
  /** Nothing ever came from there in the recording: its "answers" are questions, for as long as they were waited for. */
  readonly neverAnswered: boolean;
  /** Own answers of who serves there, from when it read the question on, to all who ask; null where that was not recorded. */
  readonly itself: {
    readonly answers: number;
    readonly sumNs: number;
    readonly p50Ns: number;
    readonly p99Ns: number;
  } | null;
  /** Of the TCP connections to it, whoever opened them; null where they are not known. */
  readonly connect: {
    readonly connects: number;
    readonly connectsFailed: number;
    /** Of `timed` connections. */
    readonly timed: number;
    readonly p50Ns: number;
    readonly p99Ns: number;
    readonly maxNs: number;
    readonly histogram: readonly BucketJson[];
    readonly retransmits: number;
  } | null;
}

/** An end that has not answered connection requests of a program by the end of the recording. */
export interface SilentEndJson {
  readonly name: string;
  /** Whose request was sent again at least once. */
  readonly connections: number;
  /** Age of the oldest. */
  readonly maxNs: number;
  readonly sentAgain: number;
}

/** An end to which connections of a program failed. */
export interface UnconnectedJson {
  readonly name: string;
  /** Other programs connect there, too, and whose failed is not known: `failed` and `sumNs` are of all of them. */
  readonly shared: boolean;
  readonly failed: number;
  /** Until they did. */
  readonly sumNs: number;
}

/** Who keeps whom waiting, by program. */
export interface SocketAnswersJson {
  readonly process: string;
  /** Its own answers on connections that others opened; null where it gave none. */
  readonly served: AnswersJson | null;
  /** Ends that it asks, the longest sum first. */
  readonly asked: readonly AskedJson[];
  /** Ends that have not answered its connection requests, whatever they keep waiting is in no answer's time. */
  readonly silent: readonly SilentEndJson[];
  /** Ends to which its connections failed, the longest sum first. */
  readonly unconnected: readonly UnconnectedJson[];
  /** How much of the time of its own answers those take, connecting included; null where one of the two is missing. */
  readonly upstreamShare: number | null;
  /** How much of it at least: short answers may have lain unread (see `unseenBelowNs`), and count here as they take there, if known. */
  readonly upstreamLeast: number | null;
  /** Of an answer shorter than this the kernel's ticks do not tell whether it lay unread. */
  readonly unseenBelowNs: number;
  /** Whether its own answers begin only when those of the ends are complete: then these count whole in `upstreamShare`. */
  readonly waitsForWhole: boolean;
  /** CPU time and waits for a CPU of its processes in the recording; null where CPU time was not recorded. */
  readonly workNs: number | null;
  /** Whether that is too little for what of its own answers' time is not seen as waiting. False where it is not known. */
  readonly waitsUnseen: boolean;
}

/** One slow or unfinished call. */
export interface SocketCallSeenJson {
  readonly pid: number | null;
  readonly process: string;
  readonly tid: number;
  readonly thread: string;
  readonly call: string;
  /** Null of a call that has none. */
  readonly descriptor: number | null;
  readonly end: string | null;
  readonly protocol: string | null;
  /** Since the start of the recording. */
  readonly startNs: number;
  readonly totalNs: number;
  readonly busyNs: number;
  readonly blockedNs: number;
  readonly waitingNs: number;
  /** Error by name or the number that it returned; null while it has not. */
  readonly result: string | null;
  /** Function names, outermost first. */
  readonly stack: readonly string[];
}

/** A descriptor that a program asks over and over although there is nothing to be had. */
export interface SpinningJson {
  readonly pid: number | null;
  readonly process: string;
  readonly descriptor: number;
  readonly end: string | null;
  readonly protocol: string | null;
  /** Lower bounds. */
  readonly calls: number;
  readonly again: number;
  readonly callsPerSecond: number;
  /** Whether these are of its worst second, since over all of its time it did not spin. */
  readonly atTimes: boolean;
  /** Functions that ask, by the stacks that were taken of such calls, most first. */
  readonly callers: readonly { readonly name: string; readonly module: string; readonly share: number }[];
  /** The most frequent of these stacks that names a caller, if one does: function names, outermost first. Empty where none was taken. */
  readonly stack: readonly string[];
}

/** TCP connections at one end. */
export interface TcpJson {
  readonly name: string;
  readonly role: EndpointRole;
  /** Programs that made calls on it; `pid` is null where there are several processes. */
  readonly usedBy: readonly {
    readonly process: string;
    readonly pid: number | null;
    readonly processes: number;
  }[];
  readonly connects: number;
  readonly connectsFailed: number;
  /** Of `connectsFailed`, those that nobody answered. */
  readonly connectsUnanswered: number;
  /** Not established yet at the end; of them those whose request was sent again, how often, and the age of the oldest. */
  readonly connecting: number;
  readonly connectingUnanswered: number;
  readonly connectingSentAgain: number;
  readonly connectingMaxNs: number;
  readonly connectP50Ns: number;
  readonly connectP99Ns: number;
  readonly connectMaxNs: number;
  readonly connectHistogram: readonly BucketJson[];
  readonly accepted: number;
  readonly closes: number;
  readonly resetsSent: number;
  readonly resetsReceived: number;
  readonly retransmits: number;
  readonly queueMax: number;
  readonly queueLimit: number;
}

/** Connections that were in CLOSE-WAIT from the beginning to the end. */
export interface CloseWaitJson {
  readonly pid: number | null;
  readonly process: string;
  readonly end: string;
  readonly connections: number;
  readonly descriptor: number | null;
}

/** A listening socket for which connections waited to be accepted at the end. */
export interface ListenQueueJson {
  readonly pid: number | null;
  readonly process: string;
  readonly end: string;
  readonly connections: number;
}

export interface SocketsJson {
  /** False when the capture was cut: there are no totals then. */
  readonly complete: boolean;
  /** Calls and their time without waiting calls. */
  readonly calls: number;
  readonly totalNs: number;
  readonly busyNs: number;
  readonly blockedNs: number;
  readonly waitingNs: number;
  readonly byError: readonly SocketErrorJson[];
  readonly byCall: readonly SocketCallJson[];
  readonly waitingCalls: readonly SocketCallJson[];
  readonly endCount: number;
  readonly ends: readonly SocketEndJson[];
  readonly programs: readonly SocketAnswersJson[];
  readonly spinning: readonly SpinningJson[];
  readonly slowCount: number;
  readonly slow: readonly SocketCallSeenJson[];
  readonly unfinishedCount: number;
  readonly unfinished: readonly SocketCallSeenJson[];
  /** Threads that were in a waiting call at the end. */
  readonly idleCount: number;
  readonly tcpCount: number;
  readonly tcp: readonly TcpJson[];
  readonly closeWaits: readonly CloseWaitJson[];
  readonly listenQueues: readonly ListenQueueJson[];
  /** Of the machine; null where they are not known. */
  readonly tcpCounters: TcpCounters | null;
}
