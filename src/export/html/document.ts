// What is embedded in the HTML report: the profile by column, ready for the page. Both sides of the page import this.
import type { Finding } from "../../analysis/finding.js";
import type { CallSeen } from "../../analysis/socket-calls.js";
import type { SpinningDescriptor } from "../../analysis/socket-spin.js";
import type { CallSummary, EndpointSummary } from "../../analysis/socket-sum.js";
import type {
  CloseWaitSummary,
  ConnectingSummary,
  ListenQueueSummary,
  TcpSummary,
} from "../../analysis/tcp-sum.js";
import type { SampleSource, TcpCounters } from "../../capture/binding.js";
import type { NumberColumn } from "./columns.js";

export const REPORT_DOCUMENT_VERSION = 2;

export interface ReportHeader {
  readonly title: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly durationNs: number;
  readonly host: string;
  readonly kernel: string;
  readonly cpus: number;
  readonly command: string;
  readonly filters: readonly string[];
  readonly endReason: string;
  readonly frequencyHz: number;
  readonly toolVersion: string;
}

/** A table to print as it is: first row of `rows` is data; `columns` has titles. Numbers are right-aligned. */
export interface ReportTable {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
}

export interface ReportSource {
  readonly source: SampleSource;
  readonly title: string; // "CPU", "Off-CPU", "Kernel locks", "User locks"
  readonly unit: "ns";
  /** One row per (thread, node, state, system call): columns of equal length. */
  readonly thread: NumberColumn;
  readonly node: NumberColumn;
  readonly weight: NumberColumn;
  /** Index into `states`; all 0 for cpu and kernel locks. */
  readonly state: NumberColumn;
  readonly states: readonly string[];
  /** Indexes into `states` that the page hides until asked for (idle kernel threads would drown everything else). */
  readonly hiddenStates: readonly number[];
  /** Index into `ReportDocument.syscalls`, -1 none. */
  readonly syscall: NumberColumn;
  /** Index into `ReportLocks.rows`, -1 for a lock that has no row there; only for locks, futex and their owners. */
  readonly lock?: NumberColumn;
  /** Extra tables under the flame graph (run-queue wait, off-CPU totals by process). */
  readonly tables: readonly ReportTable[];
}

/** A kernel lock or futex. Counts, sums, percentiles and waiters are of all its waits; callers and owners of sampled ones. */
export interface ReportLock {
  readonly name: string;
  readonly kind: string;
  /** False for condition variables and idle waits, which a table of their own shows. */
  readonly contention: boolean;
  readonly waits: number;
  /** Waits that ended by their timeout; null where it is not known. */
  readonly timeouts: number | null;
  /** Distinct threads that sampled waits saw waiting; the most of them at one time, null for kernel locks. */
  readonly threads: number;
  readonly atOnce: number | null;
  readonly sumNs: number;
  readonly maxNs: number;
  readonly p50Ns: number;
  readonly p99Ns: number;
  /** Waits by length; bounds: bucketBounds in src/model/histogram.ts. */
  readonly buckets: NumberColumn;
  /** Processes of one name together, longest sum first. */
  readonly waiters: readonly {
    readonly name: string;
    readonly processes: number;
    readonly waits: number;
    readonly sumNs: number;
  }[];
  /** Who waited, by function, and who held it, by thread; shares of the sampled waiting, 0 to 1. */
  readonly callers: readonly { readonly name: string; readonly share: number }[];
  readonly owners: readonly { readonly name: string; readonly share: number }[];
  /** Sampled waits that the graphs are made of, and half of the 95 % interval of their estimate of `sumNs`, relative (null without). */
  readonly samples: number;
  readonly relativeError: number | null;
}

/** What a tab of locks has beside its graph of waiting time. */
export interface ReportLocks {
  /** Longest total first; those that are no contention last. */
  readonly rows: readonly ReportLock[];
  /** Who held the locks while sampled waits went on; null where no owner could be read. */
  readonly owners: ReportSource | null;
}

/** What the tab of sockets has. Rows are one a process; the page takes the processes of a program together. */
export interface ReportSockets {
  /** False where the capture was cut: there are no totals then. */
  readonly complete: boolean;
  /** Longest total first, as all lists here; waiting calls are among them, marked. */
  readonly calls: readonly CallSummary[];
  readonly endpoints: readonly EndpointSummary[];
  /** Rows that found no room in the report: those with the least time. */
  readonly endpointsLeftOut: number;
  /** TCP connections by end, those where most went wrong first. */
  readonly tcp: readonly TcpSummary[];
  readonly tcpLeftOut: number;
  /** Connections that were not established yet, most first. */
  readonly connecting: readonly ConnectingSummary[];
  /** Most connections first. */
  readonly closeWaits: readonly CloseWaitSummary[];
  /** Longest first. */
  readonly listenQueues: readonly ListenQueueSummary[];
  /** Null where they are not known. */
  readonly tcpCounters: TcpCounters | null;
  /** Descriptors that a program asks in vain, busiest first; `node` of their stacks indexes `ReportDocument.tree`. */
  readonly spinning: readonly SpinningDescriptor[];
  /** `node` of each indexes `ReportDocument.tree`. */
  readonly slow: readonly CallSeen[];
  readonly slowLeftOut: number;
  /** Waiting calls are among them, marked. */
  readonly unfinished: readonly CallSeen[];
  /** CPU samples inside of socket calls; null where `cpu` was not recorded. */
  readonly cpu: ReportSource | null;
}

/** Source lines and inlining of the nodes of the tree. */
export interface ReportPlaces {
  /** 1: the function is inlined into that of the node above. */
  readonly inlined: NumberColumn;
  /** Index into `file` and `line` of the line that most of the node's time is of: 0 = not known. */
  readonly place: NumberColumn;
  /** How many lines of the function its time is of. */
  readonly lines: NumberColumn;
  /** Index into `ReportDocument.strings`. */
  readonly file: NumberColumn;
  /** 0: some line of the file. */
  readonly line: NumberColumn;
}

export interface ReportDocument {
  readonly version: typeof REPORT_DOCUMENT_VERSION;
  readonly header: ReportHeader;
  readonly findings: readonly Finding[];
  readonly losses: readonly { readonly id: string; readonly count: number; readonly meaning: string }[];
  readonly cost: { readonly text: string; readonly rows: ReportTable } | null;
  readonly notes: readonly string[];
  /** Interned strings; index 0 is "". */
  readonly strings: readonly string[];
  /** Functions, index 0 unused. name/module index `strings`; kind indexes FRAME_KINDS. */
  readonly functions: {
    readonly name: NumberColumn;
    readonly module: NumberColumn;
    readonly kind: NumberColumn;
  };
  /** Prefix tree, node 0 = root. */
  readonly tree: { readonly parent: NumberColumn; readonly func: NumberColumn };
  /** By node of the tree; null where nothing has debug information. */
  readonly places: ReportPlaces | null;
  readonly processes: readonly { readonly pid: number; readonly comm: string; readonly self: boolean }[];
  /** process = index into `processes`. */
  readonly threads: readonly { readonly tid: number; readonly comm: string; readonly process: number }[];
  readonly syscalls: readonly string[];
  /** One tab each. */
  readonly sources: readonly ReportSource[];
  /** Null where kernel locks were not recorded; the same for user locks. */
  readonly locks: ReportLocks | null;
  readonly futex: ReportLocks | null;
  /** Null where sockets were not recorded; a tab of their own, beside those of `sources`. */
  readonly sockets: ReportSockets | null;
}
