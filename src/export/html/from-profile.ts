// From the model to the document that is embedded in the report: rows merged, ids made dense, strings interned.
import type { Finding } from "../../analysis/finding.js";
import { locksRecorded } from "../../analysis/lock-summary.js";
import { FRAME_KINDS, OFFCPU_STATES, type SampleSource } from "../../capture/binding.js";
import { LOCK_SOURCES, type LockSource, OWNERS_OF } from "../../capture/sample-sources.js";
import type { Profile, WeightTable } from "../../model/profile.js";
import { syscallName } from "../../model/syscalls.js";
import { costOf } from "./cost.js";
import {
  REPORT_DOCUMENT_VERSION,
  type ReportDocument,
  type ReportHeader,
  type ReportLocks,
  type ReportPlaces,
  type ReportSource,
  type ReportTable,
} from "./document.js";
import { type LockIndex, lockIndex } from "./locks.js";
import { type NodePlaces, nodePlaces } from "./places.js";
import { socketsOf } from "./sockets.js";
import {
  cpuTable,
  offCpuTotalsTable,
  otherProgramsTable,
  runQueueTable,
  sleepingSyscallsTable,
} from "./tables.js";

/** States of the off-CPU source: the kernel's, and one of our own for kernel threads that wait for work. */
const KERNEL_THREAD_ASLEEP = OFFCPU_STATES.length;
const INTERRUPTIBLE = OFFCPU_STATES.indexOf("interruptible");
const IDLE = OFFCPU_STATES.indexOf("idle");
const REPORT_STATES = [...OFFCPU_STATES, "kernel thread asleep"];

const TITLES: Readonly<Record<SampleSource, string>> = {
  cpu: "CPU",
  offcpu: "Off-CPU",
  locks: "Kernel locks",
  futex: "User locks",
  "lock-owners": "Who held the locks",
  "futex-owners": "Who held the locks",
};

/** Gives each distinct key the next number. */
class Interner<Key> {
  readonly keys: Key[] = [];
  readonly #ids = new Map<Key, number>();

  id(key: Key): number {
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const id = this.keys.length;
    this.keys.push(key);
    this.#ids.set(key, id);
    return id;
  }
}

interface Interners {
  readonly threads: Interner<number>;
  readonly syscalls: Interner<number>;
}

function isKernelThread(profile: Profile, thread: number): boolean {
  const row = profile.threads[thread];
  return row !== undefined && profile.processes[row.process]?.kernelThread === true;
}

/** Merges the rows of one source by (thread, node, state, system call); weights become whole nanoseconds. */
function mergeRows(profile: Profile, table: WeightTable, interners: Interners) {
  const thread: number[] = [];
  const node: number[] = [];
  const weight: number[] = [];
  const state: number[] = [];
  const syscall: number[] = [];
  const rowOf = new Map<number, number>();
  const nodes = profile.tree.count + 1;
  for (let row = 0; row < table.count; row++) {
    const kernelSleep = table.state[row] === INTERRUPTIBLE && isKernelThread(profile, table.thread[row]!);
    const rowState = table.source === "cpu" ? 0 : kernelSleep ? KERNEL_THREAD_ASLEEP : table.state[row]!;
    const call = table.syscall[row]!;
    const rowCall = call < 0 ? -1 : interners.syscalls.id(call);
    const rowThread = interners.threads.id(table.thread[row]!);
    // Stays below 2^53 for 65,536 threads, 2^24 nodes, 16 states and 512 calls.
    const key = ((rowThread * nodes + table.node[row]!) * 16 + rowState) * 512 + rowCall + 1;
    const known = rowOf.get(key);
    if (known !== undefined) {
      weight[known] = weight[known]! + table.weightNs[row]!;
      continue;
    }
    rowOf.set(key, thread.length);
    thread.push(rowThread);
    node.push(table.node[row]!);
    weight.push(table.weightNs[row]!);
    state.push(rowState);
    syscall.push(rowCall);
  }
  return { thread, node, weight: weight.map(Math.round), state, syscall };
}

function sourceOf(profile: Profile, table: WeightTable, interners: Interners): ReportSource {
  const offcpu = table.source === "offcpu";
  const tables: (ReportTable | null)[] = offcpu
    ? [runQueueTable(profile), offCpuTotalsTable(profile), sleepingSyscallsTable(profile, table)]
    : [otherProgramsTable(profile), cpuTable(profile)];
  return {
    source: table.source,
    title: TITLES[table.source],
    unit: "ns",
    ...mergeRows(profile, table, interners),
    states: offcpu ? REPORT_STATES : ["running"],
    hiddenStates: offcpu ? [IDLE, KERNEL_THREAD_ASLEEP] : [],
    tables: tables.filter((row) => row !== null),
  };
}

/** States of a source of locks: what is waited for. Of kernel locks and owners there is the first only. */
const LOCK_STATES = ["waiting for a lock", "condition variable or idle wait"];

/** Waits for locks, or their owners: rows of the model as they are, each with its lock. */
function lockSourceOf(
  source: LockSource | (typeof OWNERS_OF)[LockSource],
  table: WeightTable | undefined,
  locks: LockIndex,
  interners: Interners,
): ReportSource {
  const count = table?.count ?? 0;
  const lock = table === undefined ? new Int32Array(0) : locks.column(table);
  const isCondition = (row: number) => locks.rows[lock[row]!]?.contention === false;
  const apart = source === "futex" && locks.rows.some(({ contention }) => !contention);
  return {
    source,
    title: TITLES[source],
    unit: "ns",
    thread: Array.from({ length: count }, (_, row) => interners.threads.id(table!.thread[row]!)),
    node: table?.node ?? [],
    weight: Array.from({ length: count }, (_, row) => Math.round(table!.weightNs[row]!)),
    state: Uint8Array.from({ length: count }, (_, row) => (apart && isCondition(row) ? 1 : 0)),
    syscall: new Int32Array(count).fill(-1),
    lock,
    states: apart ? LOCK_STATES : LOCK_STATES.slice(0, 1),
    hiddenStates: apart ? [1] : [],
    tables: [],
  };
}

function placesOf({ profile, line, count }: NodePlaces, intern: (text: string) => number): ReportPlaces {
  const { tree, lines } = profile;
  return {
    inlined: tree.inlined ?? new Uint8Array(tree.count),
    place: line,
    lines: count,
    file: lines!.file.map(intern),
    line: lines!.line,
  };
}

function headerOf(profile: Profile): ReportHeader {
  const { facts, start } = profile;
  return {
    title: `lowflame: ${facts.host.hostname}`,
    startedAt: new Date(Number(start.startWallNs / 1_000_000n)).toISOString(),
    durationNs: profile.durationNs,
    host: facts.host.hostname,
    kernel: facts.host.kernel,
    cpus: start.onlineCpus.length || facts.host.cpus,
    command: facts.command.join(" "),
    filters: facts.filters,
    endReason: facts.endReason,
    frequencyHz: facts.frequencyHz,
    toolVersion: facts.toolVersion,
  };
}

function notesOf(profile: Profile, findings: readonly Finding[]): string[] {
  // The model hands on what the kernel side noted; a set, so that a note never stands there twice.
  const notes = [...new Set([...profile.notes, ...profile.start.notes])];
  if (!profile.final) {
    notes.push(
      "The capture ends before its last message: what was lost, what lowflame cost and the exact totals are not known.",
    );
  }
  const { total, truncated } = profile.userStacks;
  if (truncated > 0 && !findings.some((finding) => finding.rule === "user-stacks-truncated")) {
    const share = ((100 * truncated) / Math.max(1, total)).toFixed(1);
    const walked = profile.final?.userStacks ? "unwind tables and frame pointers" : "frame pointers";
    notes.push(
      `${truncated.toLocaleString("en-US")} of ${total.toLocaleString("en-US")} user stacks (${share} %) end early: ` +
        `callers are missing below them, most often because code on the way was compiled without ${walked}.`,
    );
  }
  return notes;
}

/**
 * Makes the report document. Pure: neither clock nor files are read.
 * Weights are nanoseconds; only processes, threads and system calls that carry weight are kept.
 */
export function toDocument(whole: Profile, findings: readonly Finding[]): ReportDocument {
  const places = nodePlaces(whole);
  const profile = places?.profile ?? whole;
  const interners: Interners = { threads: new Interner(), syscalls: new Interner() };
  const tableOf = (source: SampleSource) => profile.weights.find((table) => table.source === source);
  const sources = profile.weights
    .filter(({ source }) => source === "cpu" || source === "offcpu")
    .map((table) => sourceOf(profile, table, interners));
  const sockets = socketsOf(
    profile,
    sources.find(({ source }) => source === "cpu"),
  );
  const locks: Record<LockSource, ReportLocks | null> = { locks: null, futex: null };
  for (const source of LOCK_SOURCES.filter((each) => locksRecorded(profile, each))) {
    const index = lockIndex(profile, source);
    sources.push(lockSourceOf(source, tableOf(source), index, interners));
    const owners = tableOf(OWNERS_OF[source]);
    locks[source] = {
      rows: index.rows,
      owners: owners === undefined ? null : lockSourceOf(OWNERS_OF[source], owners, index, interners),
    };
  }

  const processes = new Interner<number>();
  const threads = interners.threads.keys.map((id) => {
    const row = profile.threads[id];
    return {
      tid: row?.tid ?? 0,
      comm: row?.comm ?? `(thread ${id}, not in the tables)`,
      process: processes.id(row?.process ?? -1),
    };
  });

  const strings = new Interner<string>();
  strings.id("");
  const { functions, tree } = profile;
  const intern = (values: readonly string[]): number[] =>
    Array.from({ length: functions.count }, (_, index) => strings.id(values[index] ?? ""));

  return {
    version: REPORT_DOCUMENT_VERSION,
    header: headerOf(profile),
    findings,
    losses: profile.final?.losses ?? [],
    cost: costOf(profile),
    notes: notesOf(profile, findings),
    functions: {
      name: intern(functions.name),
      module: intern(functions.module),
      kind: Array.from({ length: functions.count }, (_, index) =>
        FRAME_KINDS.indexOf(functions.kind[index] ?? "unknown"),
      ),
    },
    places: places === undefined ? null : placesOf(places, (text) => strings.id(text)),
    strings: strings.keys,
    tree: {
      parent: tree.parent.subarray(0, tree.count),
      func: tree.func.subarray(0, tree.count),
    },
    threads,
    processes: processes.keys.map((id) => {
      const row = profile.processes[id];
      return { pid: row?.pid ?? -1, comm: row?.comm ?? "(unknown process)", self: row?.self ?? false };
    }),
    syscalls: interners.syscalls.keys.map((number) => syscallName(profile.facts.host.arch, number)),
    sources,
    ...locks,
    sockets,
  };
}
