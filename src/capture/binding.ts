// What the native addon looks like from TypeScript. The binding is passed in wherever it is used, so that
// tests can hand over a fake one and a replayed capture takes the same road as a live one.
import type { Bytes, Hertz, Nanoseconds } from "../model/units.js";
import type { LockRow, LockTotal } from "./locks.js";
import type { NameTotals } from "./name-facts.js";
import type { SocketTables, SocketTotals } from "./sockets.js";
import type { UserStackTotals } from "./user-stacks.js";

export * from "./locks.js";
export * from "./name-facts.js";
export * from "./sockets.js";
export * from "./user-stacks.js";

export const SOURCES = ["cpu", "offcpu", "locks", "futex", "sockets"] as const;
/** A kind of thing that is watched. Later sources join this list. */
export type SourceName = (typeof SOURCES)[number];

/**
 * What a column of samples holds: a source of its own name, or for "lock-owners" and "futex-owners" (which come with
 * `locks` and `futex`) who held the lock while a sampled wait went on: `thread` and `stack` are the owner's, weight and
 * duration those of the wait. Of a futex's owner, `stack`, `state` and `syscall` are those of its own off-CPU wait that
 * covers most of the waiter's: stack 0, state "none" where it was running, or no such wait was sampled.
 */
export type SampleSource = Exclude<SourceName, "sockets"> | "lock-owners" | "futex-owners";

/** Scheduler state in which a thread spent an off-CPU span; index = code in `SampleColumns.state`. */
export const OFFCPU_STATES = [
  "none", // not an off-CPU sample
  "preempted", // runnable, but another thread got the CPU
  "interruptible",
  "uninterruptible",
  "stopped", // SIGSTOP or ptrace
  "idle", // a kernel thread with nothing to do (TASK_IDLE: not part of the load average)
  "dead",
  "other",
] as const;
export type OffCpuState = (typeof OFFCPU_STATES)[number];

/** Bits of `SampleColumns.flags`. */
export const SampleFlag = {
  kernelTruncated: 1, // the kernel half was deeper than the buffer
  userTruncated: 2, // the user half was deeper than the buffer
  userUnreadable: 4, // the user stack could not be read
  userMissing: 8, // the user half was lost or this kernel cannot take it here
  inProgress: 16, // a wait that was still going on when the recording ended
  softirqOnIdle: 32, // work done in interrupt context on top of the idle task
  spins: 64, // of a CallRow: not slow, but one of many that found nothing to do (EAGAIN) on this descriptor
  nothingAsked: 128, // of a CallRow in progress: over TCP the other side spoke last (by ticks: a tie counts), or this one never did
  userWhole: 256, // walked by unwind tables to its thread's first frame
  givenUp: 512, // a wait for a futex that ended by its timeout or by a signal, so that its thread did not get the lock
} as const;

/** Columns of samples, one array a column, all `count` long. Ids index the tables that came with this or an earlier batch. */
export interface SampleColumns {
  readonly source: SampleSource;
  readonly count: number;
  /** Nanoseconds since `StartFacts.startMonotonicNs`; whole numbers. For a wait: its end. */
  readonly timeNs: Float64Array;
  readonly cpu: Uint32Array;
  /** Id of a `ThreadRow`. */
  readonly thread: Uint32Array;
  /** Id of a stack: a node of the prefix tree (its leaf). 0 = empty stack. */
  readonly stack: Uint32Array;
  /** What this sample stands for, ns: cpu = the sampling period; offcpu = max(duration, threshold), unbiased. */
  readonly weightNs: Float64Array;
  /** Length of this very wait, ns; 0 for cpu. */
  readonly durationNs: Float64Array;
  /** Index into OFFCPU_STATES. */
  readonly state: Uint8Array;
  /** System call number that the thread was in, -1 for none or unknown. */
  readonly syscall: Int32Array;
  /** SampleFlag bits. */
  readonly flags: Uint32Array;
  /** Id of a `LockRow`; only for locks, futex and their owners. */
  readonly lock?: Uint32Array;
}

/** A process: (pid, start time), since pids come again. pid 0 is the idle task (only its interrupt work is kept). */
export interface ProcessRow {
  readonly id: number;
  readonly pid: number;
  /** CLOCK_BOOTTIME-free start time as the kernel keeps it (task->start_time, monotonic ns). */
  readonly startTimeNs: bigint;
  /** As the kernel gives it; may hold any bytes (decoded as UTF-8 with replacement). */
  readonly comm: string;
  readonly kernelThread: boolean;
  /** True for lowflame's own process. */
  readonly self: boolean;
  readonly cgroup?: string;
}

export interface ThreadRow {
  readonly id: number;
  readonly tid: number;
  readonly process: number;
  readonly comm: string;
}

export const FRAME_KINDS = ["kernel", "bpf", "user", "jit", "vdso", "unknown"] as const;
export type FrameKind = (typeof FRAME_KINDS)[number];

export interface ModuleRow {
  readonly id: number;
  /** Path as the process sees it; "[kernel]", "[bpf]", "[vdso]", "[jit]", a kernel module's "[name]". */
  readonly path: string;
  /** Hex build ID, "" where the file has none. */
  readonly buildId: string;
}

/** New frames; ids are consecutive from `firstId` (frame 0 is never used). */
export interface FrameColumns {
  readonly firstId: number;
  readonly count: number;
  readonly module: Uint32Array;
  /** File offset for user frames; address for kernel and JIT frames. */
  readonly offset: BigUint64Array;
  /** Index into FRAME_KINDS. */
  readonly kind: Uint8Array;
}

/** New nodes of the stack prefix tree; ids are consecutive from `firstId`; node 0 is the root. parent < own id. */
export interface StackColumns {
  readonly firstId: number;
  readonly count: number;
  readonly parent: Uint32Array;
  readonly frame: Uint32Array;
}

/**
 * Names found for frames that were sent in this or an earlier batch. "" = searched, none found; "+0x1f20" = the function has
 * none, but begins at that offset of its file.
 */
export interface NameRow {
  readonly frame: number;
  /** Demangled, full. */
  readonly name: string;
}

/** A place in source text that code came from. */
export interface SourcePlace {
  /** Demangled; "" where it is not known. */
  readonly function: string;
  /** Path as the debug information has it; "" where it is not known. */
  readonly file: string;
  /** 0 where it is not known, or where the compiler made the code of no line. */
  readonly line: number;
}

/** Places of a user frame whose file has debug information. */
export interface SourceRow {
  readonly frame: number;
  /** Innermost first: functions that were inlined there, each into the next one; last the function that was called. */
  readonly places: readonly SourcePlace[];
}

export interface Tables extends SocketTables {
  readonly processes: readonly ProcessRow[];
  readonly threads: readonly ThreadRow[];
  readonly modules: readonly ModuleRow[];
  readonly frames: FrameColumns;
  readonly stacks: StackColumns;
  readonly names: readonly NameRow[];
  /** They come at the end of a recording. Absent: none. */
  readonly sources?: readonly SourceRow[];
  readonly locks: readonly LockRow[];
}

/** What one pull hands over: table rows first, then samples that refer to them. */
export interface Batch {
  readonly tables: Tables;
  readonly samples: readonly SampleColumns[];
}

export interface Filters {
  readonly pids?: readonly number[];
  readonly comms?: readonly string[];
  /** Absolute paths of cgroup directories (v2), descendants included. */
  readonly cgroups?: readonly string[];
  readonly cpus?: readonly number[];
}

export interface SessionConfig {
  readonly sources: readonly SourceName[];
  readonly frequencyHz: Hertz;
  readonly filters: Filters;
  /** Base threshold T of unbiased sampling of waits, ns. */
  readonly offcpuThresholdNs?: Nanoseconds;
  /** Socket calls busy or blocked for so long are kept one by one. Absent: 10 ms busy, 100 ms blocked. */
  readonly slowCallNs?: Nanoseconds;
  /** Thread slots (a power of two); 0 or absent = from the number of live threads. */
  readonly threadSlots?: number;
  /** Bytes of each ring (a power of two of pages); absent = default. */
  readonly ringBytes?: Bytes;
  /** Rows of each CPU's tables of exact totals (a power of two); absent = all there are. */
  readonly tableRows?: number;
  /** Samples that may wait until JavaScript takes them; beyond it they are dropped and counted. Absent = 2 Mi. */
  readonly queueSamples?: number;
  /** False: user stacks follow frame pointers. Else unwind tables, in at most `unwindBytes` of kernel memory (64 MiB). */
  readonly unwind?: boolean;
  readonly unwindBytes?: Bytes;
  /** Kernel features to do without, as on an older kernel: "sched_exit_tp", "hrtimer_expire_entry". */
  readonly without?: readonly string[];
}

export interface ProgramFacts {
  readonly name: string;
  readonly tag: string;
  readonly id: number;
  readonly type: string;
  readonly attachedTo: string;
}

export interface MapFacts {
  readonly name: string;
  readonly type: string;
  readonly bytes: Bytes;
  /** Whether BPF programs write it. */
  readonly written: boolean;
}

export interface StartFacts {
  readonly startMonotonicNs: bigint;
  readonly startWallNs: bigint;
  /** "cycles" or "cpu-clock". */
  readonly cpuEvent: string;
  readonly onlineCpus: readonly number[];
  readonly programs: readonly ProgramFacts[];
  readonly maps: readonly MapFacts[];
  /** Sentences: what does not work fully on this kernel, and what was done instead. */
  readonly notes: readonly string[];
}

/** /proc/stat of one CPU, in nanoseconds since boot. */
export interface CpuTimes {
  readonly cpu: number;
  readonly user: number;
  readonly nice: number;
  readonly system: number;
  readonly idle: number;
  readonly iowait: number;
  readonly irq: number;
  readonly softirq: number;
  readonly steal: number;
}

/** One way to lose an event. Rows with count 0 are included: "nothing lost" is a statement too. */
export interface LossRow {
  /** Stable id, e.g. "cpu.ring_full", "offcpu.slot_collision", "perf.lost", "perf.throttled". */
  readonly id: string;
  readonly count: number;
  /** One sentence: what was lost and what to do. */
  readonly meaning: string;
}

export interface ProgramCost {
  readonly name: string;
  readonly runs: number;
  readonly ns: Nanoseconds;
}

/** A BPF program of somebody else that was loaded during the recording. */
export interface OtherProgram {
  readonly id: number;
  readonly name: string;
  readonly tag: string;
  readonly type: string;
  readonly runs: number;
  readonly ns: Nanoseconds;
  /** Runs the kernel skipped because of recursion (bpf_prog_info.recursion_misses). */
  readonly recursionMisses: number;
  /** Processes that hold it open. */
  readonly owners: readonly { readonly pid: number; readonly comm: string }[];
}

/** Exact off-CPU totals (not sampled), one row a process and state. */
export interface OffCpuTotal {
  /** Process id in the tables; -1 = the "other" row (table full). */
  readonly process: number;
  readonly state: number;
  readonly count: number;
  readonly sumNs: Nanoseconds;
  readonly maxNs: Nanoseconds;
}

/**
 * Run-queue wait of one process. Buckets: two an octave. 0 holds values below 1,024 ns; bucket 1+2k holds
 * [2^(10+k), 1.5*2^(10+k)) ns, bucket 2+2k holds [1.5*2^(10+k), 2^(11+k)); the last holds all above.
 */
export interface RunQueueRow {
  readonly process: number; // -1 = other
  readonly count: number;
  readonly sumNs: Nanoseconds;
  readonly maxNs: Nanoseconds;
  readonly buckets: readonly number[];
}
export const RUNQUEUE_BUCKETS = 56;

export interface FinalFacts extends SocketTotals, UserStackTotals, NameTotals {
  readonly endMonotonicNs: bigint;
  readonly losses: readonly LossRow[];
  readonly cost: {
    readonly programs: readonly ProgramCost[];
    /** False where the kernel's BPF statistics were off: runs and ns of programs are then not known. Absent: on. */
    readonly statisticsOn?: boolean;
    /** CPU time of the lowflame process during the recording. */
    readonly agentUserNs: Nanoseconds;
    readonly agentSystemNs: Nanoseconds;
    readonly peakRssBytes: Bytes;
    readonly kernelMemoryBytes: Bytes;
  };
  readonly cpuTimesStart: readonly CpuTimes[];
  readonly cpuTimesEnd: readonly CpuTimes[];
  /** Timer samples that arrived, per CPU (idle ones included), and how many were expected of that CPU. */
  readonly samplesPerCpu: readonly {
    readonly cpu: number;
    readonly expected: number;
    readonly received: number;
    readonly idle: number;
  }[];
  readonly offcpuTotals: readonly OffCpuTotal[];
  readonly runQueue: readonly RunQueueRow[];
  /** Kernel locks and futexes; empty where neither `locks` nor `futex` was recorded. */
  readonly lockTotals: readonly LockTotal[];
  readonly otherPrograms: readonly OtherProgram[];
  /** Highest threshold that the sampler of waits raised itself to, to stay within its budget. */
  readonly offcpuThresholdMaxNs: Nanoseconds;
}

/** Counts so far, cheap enough to read ten times a second for the progress bar. */
export interface LiveCounts {
  readonly samples: number;
  readonly stacks: number;
  readonly lost: number;
}

/** One recording. Steps in this order; `close` may be called at any time, any number of times. */
export interface NativeSession {
  configure(config: SessionConfig): void;
  load(): void;
  attach(): void;
  /** Starts events flowing. */
  activate(): StartFacts;
  /** Called (coalesced) when there is something to take. */
  onWakeup(callback: () => void): void;
  /** Next batch, or null when there is none now. */
  take(): Batch | null;
  liveCounts(): LiveCounts;
  /** Stops events, charges what still waits, drains, waits for names. After it `take` gives the remaining batches. */
  deactivate(): Promise<void>;
  /** Only after deactivate. */
  finish(): FinalFacts;
  close(): void;
}

export const PROBE_STATUS = ["ok", "degraded", "missing"] as const;
/** One feature that was asked of the kernel. */
export interface ProbeRow {
  /** Stable id, e.g. "btf", "perf.cpu_clock", "tp_btf.sched_switch". */
  readonly id: string;
  readonly title: string;
  readonly status: (typeof PROBE_STATUS)[number];
  /** What was found. */
  readonly found: string;
  /** What to do, exactly; "" when ok. */
  readonly remedy: string;
  /** Sources that cannot work without it (empty: only degraded). */
  readonly neededBy: readonly SourceName[];
}

export interface NativeBinding {
  openSession(): NativeSession;
  probe(): readonly ProbeRow[];
}

/** Errors thrown by the addon carry `code` (stable, e.g. "EPERM_BPF") and a message that says what to do. */
export interface NativeError extends Error {
  readonly code: string;
}
