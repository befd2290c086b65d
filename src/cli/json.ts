// What `--json` prints: one document, typed here and explained field by field in docs/json.md.
// Times are nanoseconds, sizes bytes, shares 0 to 1, moments ISO 8601 in UTC. New fields may come within a version.
import type { Finding } from "../analysis/finding.js";
import type {
  FrameKind,
  LockKind,
  LossRow,
  OffCpuState,
  ProbeRow,
  SourceName,
  UserStackFacts,
} from "../capture/binding.js";
import type { CsvTable } from "../export/csv-tables.js";
import type { FormatName } from "../export/index.js";
import type { BucketJson } from "./json-histogram.js";
import type { SocketsJson } from "./json-sockets.js";

export * from "./json-sockets.js";

/** Raised when a field goes away or changes its meaning. */
export const JSON_VERSION = 1;

export interface FunctionJson {
  readonly name: string;
  readonly module: string;
  readonly kind: FrameKind;
  /** "file:line" that most of its self time is of; null without debug information. */
  readonly line: string | null;
  readonly selfNs: number;
  readonly totalNs: number;
  readonly selfShare: number;
  readonly totalShare: number;
}

export interface CpuJson {
  readonly samples: number;
  readonly weightNs: number;
  /** Part of weightNs that lowflame's own process used. */
  readonly lowflameNs: number;
  readonly expectedSamples: number | null;
  readonly receivedSamples: number | null;
  readonly functions: readonly FunctionJson[];
}

export interface SleeperJson {
  readonly pid: number;
  readonly process: string;
  readonly threadCount: number;
  readonly state: OffCpuState;
  readonly syscall: string | null;
  readonly place: string;
  readonly weightNs: number;
  readonly longestNs: number;
  readonly samples: number;
}

export interface RunQueueJson {
  readonly pid: number | null;
  readonly process: string;
  readonly waits: number;
  readonly sumNs: number;
  readonly p50Ns: number;
  readonly p90Ns: number;
  readonly p99Ns: number;
  readonly maxNs: number;
}

export interface OffCpuJson {
  readonly samples: number;
  readonly weightNs: number;
  readonly sleepers: readonly SleeperJson[];
  readonly runQueue: readonly RunQueueJson[];
}

export interface LockWaiterJson {
  /** Null for processes that did not fit the table. */
  readonly pid: number | null;
  readonly process: string;
  readonly waits: number;
  readonly sumNs: number;
}

export interface LockJson {
  readonly name: string;
  /** Null for the row of locks that did not fit the table. */
  readonly kind: LockKind | null;
  /** Hexadecimal with 0x; null as above. */
  readonly address: string | null;
  readonly waits: number;
  readonly sumNs: number;
  readonly p50Ns: number;
  readonly p99Ns: number;
  readonly maxNs: number;
  /** Of the lengths of all its waits; empty when the capture was cut. */
  readonly histogram: readonly BucketJson[];
  /** Every process that waited for it, longest sum first. */
  readonly waiters: readonly LockWaiterJson[];
  readonly callers: readonly { readonly name: string; readonly share: number }[];
  readonly owners: readonly { readonly name: string; readonly share: number }[];
  readonly samples: number;
  readonly relativeError: number | null;
}

export interface LocksJson {
  /** False when the capture was cut: then all numbers are estimates from samples. */
  readonly exact: boolean;
  readonly waits: number;
  readonly sumNs: number;
  /** Sampled waits. */
  readonly samples: number;
  readonly lockCount: number;
  /** All of them, longest sum first. */
  readonly locks: readonly LockJson[];
}

export interface UserLockJson extends LockJson {
  /** Waits that ended by their timeout; null when the capture was cut. */
  readonly timeouts: number | null;
  /** Distinct threads that sampled waits saw waiting. */
  readonly waitingThreads: number;
  /** The most of them that waited at one time: at least so many. */
  readonly waitersAtOnce: number;
}

/** Waits for futexes. The figures and `locks` are those of locks; conditions, which are no contention, stand apart. */
export interface FutexJson extends Omit<LocksJson, "locks"> {
  readonly locks: readonly UserLockJson[];
  readonly conditions: Omit<LocksJson, "locks" | "exact"> & { readonly locks: readonly UserLockJson[] };
}

export interface CostJson {
  /** Null, as `runs` and `ns` of `programs`, where the kernel's BPF statistics were off: not measured. */
  readonly programsNs: number | null;
  readonly agentUserNs: number;
  readonly agentSystemNs: number;
  /** Of lowflame's own process alone where `programsNs` is null. */
  readonly shareOfMachine: number;
  readonly peakRssBytes: number;
  readonly kernelMemoryBytes: number;
  readonly programs: readonly {
    readonly name: string;
    readonly runs: number | null;
    readonly ns: number | null;
  }[];
}

export interface FileJson {
  readonly path: string;
  readonly format: FormatName;
  readonly source: SourceName | null;
  /** Only of CSV. */
  readonly table: CsvTable | null;
  readonly bytes: number | null;
}

export interface RecordingJson {
  readonly startedAt: string;
  readonly durationNs: number;
  readonly endReason: string;
  /** False when the capture was cut or damaged. */
  readonly complete: boolean;
  readonly toolVersion: string;
  readonly host: {
    readonly hostname: string;
    readonly kernel: string;
    readonly arch: string;
    readonly cpuModel: string;
    readonly cpus: number;
    readonly memoryBytes: number;
  };
  readonly command: readonly string[];
  readonly sources: readonly SourceName[];
  readonly frequencyHz: number;
  readonly cpuEvent: string;
  readonly filters: readonly string[];
}

/** Of `record --json` and `report --json` when a result was written. */
export interface ResultJson {
  readonly version: typeof JSON_VERSION;
  readonly tool: "record" | "report";
  readonly ok: boolean;
  readonly exitCode: number;
  /** Set where something failed but a result was still written (a full disk, a damaged capture). */
  readonly error: ErrorBody | null;
  readonly recording: RecordingJson;
  readonly findings: readonly Finding[];
  readonly cpu: CpuJson | null;
  readonly offcpu: OffCpuJson | null;
  readonly locks: LocksJson | null;
  readonly futex: FutexJson | null;
  readonly sockets: SocketsJson | null;
  readonly userStacks: {
    readonly total: number;
    readonly truncated: number;
    /** null where they followed frame pointers. */
    readonly walks: UserStackWalksJson | null;
  };
  readonly losses: readonly LossRow[];
  readonly cost: CostJson | null;
  readonly notes: readonly string[];
  readonly files: readonly FileJson[];
  /** The command after `--`, once it has ended. */
  readonly childCommand: {
    readonly command: readonly string[];
    readonly exitCode: number;
    readonly signal: string | null;
  } | null;
}

/** Walks by unwind tables; `end` by name. */
export interface UserStackWalksJson extends UserStackFacts {
  readonly ends: readonly { readonly source: string; readonly end: string; readonly count: number }[];
  readonly cutPrograms: readonly {
    readonly name: string;
    readonly pid: number;
    readonly end: string;
    readonly count: number;
  }[];
}

export interface DoctorJson {
  readonly version: typeof JSON_VERSION;
  readonly tool: "doctor";
  /** True when `record` will work here with its default sources. */
  readonly ok: boolean;
  readonly exitCode: number;
  readonly rows: readonly ProbeRow[];
}

export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** Of any command that failed without a result. */
export interface FailureJson {
  readonly version: typeof JSON_VERSION;
  readonly tool: string;
  readonly ok: false;
  readonly exitCode: number;
  readonly error: ErrorBody;
}
