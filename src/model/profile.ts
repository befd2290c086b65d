// The model: what every report is made from. Pure data by column; where it came from or goes is not known here.
import type {
  CallRow,
  EndpointRow,
  FinalFacts,
  FrameKind,
  LockRow,
  ProcessRow,
  SampleSource,
  SocketCountRow,
  SourceName,
  StartFacts,
  ThreadRow,
} from "../capture/binding.js";
import type { Nanoseconds } from "./units.js";
import type { UserStackCounts } from "./user-stacks.js";

/** Facts about the machine and the command, kept in the capture. */
export interface RecordingFacts {
  readonly toolVersion: string;
  readonly host: {
    readonly hostname: string;
    readonly kernel: string;
    readonly arch: string;
    readonly cpuModel: string;
    readonly cpus: number;
    readonly memoryBytes: number;
  };
  /** The command line of lowflame, as typed. */
  readonly command: readonly string[];
  readonly sources: readonly SourceName[];
  readonly frequencyHz: number;
  /** Human sentences, e.g. "pid 4711"; empty = the whole machine. */
  readonly filters: readonly string[];
  /** Why the recording ended: "duration", "interrupted", "command exited", "target exited", "error: …", "truncated". */
  readonly endReason: string;
}

/** Functions: frames of one name and module merged. Index 0 is unused. Columns. */
export interface FunctionTable {
  readonly count: number;
  readonly name: readonly string[];
  /** Module path. */
  readonly module: readonly string[];
  readonly kind: readonly FrameKind[];
  /** Hex build ID of the module, "" where it has none or where one path stands for several builds. */
  readonly buildId?: readonly string[];
}

/** Lines of source text; index 0 stands for a line that is not known. Columns. */
export interface LineTable {
  readonly file: readonly string[];
  /** 0: some line of the file. */
  readonly line: readonly number[];
}

/**
 * Prefix tree over functions, root first (user entry point first, kernel leaf last). Node 0 is the root; parent < node.
 * Where lines are known, a function has a node for each line below one caller: withoutLines() puts them together.
 */
export interface StackTree {
  readonly count: number;
  readonly parent: Uint32Array;
  readonly func: Uint32Array;
  /** Index into Profile.lines: of a leaf the line that ran, else the line of the call. Absent: none is known. */
  readonly line?: Uint32Array;
  /** 1: the function is inlined into its parent's, of which it is a part. Absent: none is. */
  readonly inlined?: Uint8Array;
}

/** Lock of a row of weights whose lock is not in the capture. */
export const NO_LOCK = 0xffffffff;

/** Weights of one source: one row per distinct (thread, node, state, syscall, lock, truncated). */
export interface WeightTable {
  readonly source: SampleSource;
  readonly count: number;
  readonly thread: Uint32Array;
  readonly node: Uint32Array;
  readonly weightNs: Float64Array;
  /** Number of samples merged into the row. */
  readonly samples: Uint32Array;
  /** Longest single wait in the row, ns (0 for cpu). */
  readonly maxNs: Float64Array;
  readonly state: Uint8Array;
  readonly syscall: Int32Array;
  /** OR of the SampleFlag bits. */
  readonly flags: Uint32Array;
  /** Id of a lock (index into Profile.locks), NO_LOCK where it is not known; only for locks, futex and their owners. */
  readonly lock?: Uint32Array;
  /**
   * Number of waits that the row stands for, estimated: the sum of w / d over samples of weight w and length d (1 where
   * d is 0), since a wait kept with probability p weighs w = d / p. Only for locks, futex and their owners.
   */
  readonly waits?: Float64Array;
  /**
   * Variance of `weightNs` as an estimate, ns²: the sum of w (w - d) over samples of weight w and length d. A wait kept
   * with probability p weighs w = d / p, and p (1 - p) w² = d (w - d) expected a wait is w (w - d) a kept sample
   * (Horvitz-Thompson). For cpu d is 0.
   */
  readonly varianceNs2: Float64Array;
}

/** A socket call, slow, unfinished, or one of many that found nothing to do: as it was captured, with its stack as a node of the profile's tree. */
export type SocketCall = Omit<CallRow, "stack"> & { readonly node: number };

/** A time in which one thread had a user lock that others waited for: `LockHold` of lock-holds.ts, with its CPU time. */
export interface HeldLock {
  /** Index into Profile.locks. */
  readonly lock: number;
  /** The owner: index into Profile.threads. */
  readonly thread: number;
  /** As far as others waited, ns: from the first sampled wait that found this owner to the end of the first. */
  readonly lengthNs: Nanoseconds;
  /** Threads that waited together, as far as their waits were sampled. */
  readonly waiters: number;
  /** Waiting of these in that time, ns. */
  readonly waitedNs: Nanoseconds;
  /** Whether no sampled wait of the owner's own lies in that time. */
  readonly neverOffCpu: boolean;
  /** The owner's own sampled off-CPU time in that time, ns; null where it was not recorded or not kept. */
  readonly offCpuNs: number | null;
  /** Sampled CPU time of the owner in that time, by node of the tree; null where it was not recorded or not kept. */
  readonly cpu: readonly { readonly node: number; readonly weightNs: number }[] | null;
}

export interface Profile {
  readonly facts: RecordingFacts;
  readonly start: StartFacts;
  /** null when the capture was cut before its end. */
  readonly final: FinalFacts | null;
  readonly durationNs: Nanoseconds;
  /** By id; index = id. */
  readonly processes: readonly (ProcessRow | undefined)[];
  readonly threads: readonly (ThreadRow | undefined)[];
  /** Kernel locks and futexes that were waited for, by id; index = id. */
  readonly locks: readonly (LockRow | undefined)[];
  /**
   * By id of a futex: the most threads that sampled waits show waiting for it at one time. Waits that were not sampled are
   * not in it, so there may have been more.
   */
  readonly waitersAtOnce: ReadonlyMap<number, number>;
  /** Times of 50 ms and longer in which others waited for a user lock whose owner is known. Empty without `futex`. */
  readonly heldLocks: readonly HeldLock[];
  /** Other ends of sockets, by id; index = id. */
  readonly endpoints: readonly (EndpointRow | undefined)[];
  /** Slow socket calls and unfinished ones, by their end. */
  readonly calls: readonly SocketCall[];
  /** A few of the many calls that found nothing to do on one descriptor (SampleFlag.spins), for their stacks; by their end. */
  readonly spins: readonly SocketCall[];
  /** Sockets opened and closed by process, in the order of time. */
  readonly socketCounts: readonly SocketCountRow[];
  readonly functions: FunctionTable;
  readonly tree: StackTree;
  /** Absent: nothing that was seen has debug information. */
  readonly lines?: LineTable;
  readonly weights: readonly WeightTable[];
  readonly userStacks: UserStackCounts;
  /** Sentences to show the reader, e.g. that the capture was cut. */
  readonly notes: readonly string[];
}
