// The profile in rows: what the summary prints and `--json` gives. Pure.

import { OFFCPU_STATES } from "../capture/binding.js";
import { calledTree } from "../model/called-tree.js";
import { percentile } from "../model/histogram.js";
import { ownCost } from "../model/own-cost.js";
import type { Profile } from "../model/profile.js";
import { sampleBalance } from "../model/sample-balance.js";
import { syscallName } from "../model/syscalls.js";
import { withoutLines } from "../model/without-lines.js";
import { digestFunctions } from "./digest-functions.js";
import { digestFutex, digestLocks } from "./digest-locks.js";
import { digestSockets } from "./digest-sockets.js";
import type {
  CostJson,
  CpuJson,
  FutexJson,
  LocksJson,
  OffCpuJson,
  RunQueueJson,
  SleeperJson,
  SocketsJson,
} from "./json.js";

export interface Digest {
  readonly cpu: CpuJson | null;
  readonly offcpu: OffCpuJson | null;
  readonly locks: LocksJson | null;
  readonly futex: FutexJson | null;
  readonly sockets: SocketsJson | null;
  readonly cost: CostJson | null;
}

/** Scheduler's own frames, in which every sleep ends: what called them says more. */
const SCHEDULER =
  /^(__schedule|schedule(_\w+)?|preempt_schedule\w*|io_schedule\w*|__cond_resched|finish_task_switch\S*|context_switch|__switch_to\w*)(\.|$)/;
const IDLE = OFFCPU_STATES.indexOf("idle");
const INTERRUPTIBLE = OFFCPU_STATES.indexOf("interruptible");
const PREEMPTED = OFFCPU_STATES.indexOf("preempted");
const DEAD = OFFCPU_STATES.indexOf("dead");

/**
 * @param limit rows of each list
 * @param whole the same for locks and sockets, of which `--json` has all that the recording holds
 */
export function digest(withLines: Profile, limit = 10, whole = limit): Digest {
  const { profile } = withoutLines(withLines);
  return {
    cpu: digestCpu(withLines, limit),
    offcpu: digestOffCpu(profile, limit),
    locks: digestLocks(profile, whole),
    futex: digestFutex(profile, whole),
    sockets: digestSockets(profile, whole),
    cost: digestCost(profile),
  };
}

/** Ids of processes that are lowflame itself: shown apart, never among the culprits. */
const isSelf = (profile: Profile, thread: number): boolean =>
  profile.processes[profile.threads[thread]?.process ?? -1]?.self === true;

function digestCpu(profile: Profile, limit: number): CpuJson | null {
  const table = profile.weights.find((weights) => weights.source === "cpu");
  if (!table) return null;
  let samples = 0;
  let weightNs = 0;
  let selfNs = 0;
  for (let row = 0; row < table.count; row++) {
    if (isSelf(profile, table.thread[row]!)) selfNs += table.weightNs[row]!;
    samples += table.samples[row]!;
    weightNs += table.weightNs[row]!;
  }
  const perCpu = profile.final ? sampleBalance(profile.final) : undefined;
  return {
    samples,
    weightNs,
    lowflameNs: selfNs,
    expectedSamples: perCpu ? sum(perCpu.map((row) => row.due)) : null,
    receivedSamples: perCpu ? sum(perCpu.map((row) => row.received)) : null,
    functions: digestFunctions(profile, table, (thread) => !isSelf(profile, thread), limit),
  };
}

function digestOffCpu(profile: Profile, limit: number): OffCpuJson | null {
  const table = profile.weights.find((weights) => weights.source === "offcpu");
  if (!table) return null;
  let samples = 0;
  let weightNs = 0;
  const rows = new Map<string, SleeperJson & { threads: Set<number> }>();
  for (let row = 0; row < table.count; row++) {
    const thread = table.thread[row]!;
    samples += table.samples[row]!;
    weightNs += table.weightNs[row]!;
    const process = profile.processes[profile.threads[thread]?.process ?? -1];
    const state = table.state[row]!;
    // A kernel thread that waits for work is no sleeper, whichever state it chose for that.
    const waitsForWork =
      // one that was preempted does not sleep, it waits for a CPU: that is told apart
      state === PREEMPTED ||
      state === IDLE ||
      state === DEAD ||
      (state === INTERRUPTIBLE && process?.kernelThread);
    if (process === undefined || process.self || waitsForWork) continue;
    const place = sleepingPlace(profile, table.node[row]!);
    const syscall = table.syscall[row]!;
    const key = `${process.id} ${state} ${syscall} ${place}`;
    const known = rows.get(key);
    const weight = table.weightNs[row]!;
    rows.set(key, {
      pid: process.pid,
      process: process.comm,
      state: OFFCPU_STATES[state] ?? "other",
      syscall: syscall < 0 ? null : syscallName(profile.facts.host.arch, syscall),
      place,
      weightNs: (known?.weightNs ?? 0) + weight,
      longestNs: Math.max(known?.longestNs ?? 0, table.maxNs[row]!),
      samples: (known?.samples ?? 0) + table.samples[row]!,
      threadCount: 0,
      threads: (known?.threads ?? new Set()).add(thread),
    });
  }
  const sleepers = [...rows.values()]
    .sort((a, b) => b.weightNs - a.weightNs)
    .slice(0, limit)
    .map(({ threads, ...sleeper }) => ({ ...sleeper, threadCount: threads.size }));
  return { samples, weightNs, sleepers, runQueue: digestRunQueue(profile, limit) };
}

/**
 * The function that a sleep is named after: nearest to its end and not the scheduler's own. Where a thread went to sleep
 * with nothing of the kernel between, the scheduler's outermost function still tells more (io_schedule). "" for an empty stack.
 */
function sleepingPlace(profile: Profile, node: number): string {
  const { parent, func } = calledTree(profile);
  let scheduler = "";
  for (let at = node; at > 0; at = parent[at]!) {
    const name = profile.functions.name[func[at]!] ?? "";
    if (name === "") continue;
    if (SCHEDULER.test(name)) scheduler = name;
    else return scheduler !== "" && profile.functions.kind[func[at]!] !== "kernel" ? scheduler : name;
  }
  return scheduler;
}

function digestRunQueue(profile: Profile, limit: number): readonly RunQueueJson[] {
  return [...(profile.final?.runQueue ?? [])]
    .filter((row) => row.count > 0 && profile.processes[row.process]?.self !== true)
    .sort((a, b) => b.sumNs - a.sumNs)
    .slice(0, limit)
    .map((row) => {
      const process = profile.processes[row.process];
      return {
        pid: process?.pid ?? null,
        process: process?.comm ?? (row.process < 0 ? "(other)" : "(unknown)"),
        waits: row.count,
        sumNs: row.sumNs,
        p50Ns: percentile(row, 0.5),
        p90Ns: percentile(row, 0.9),
        p99Ns: percentile(row, 0.99),
        maxNs: row.maxNs,
      };
    });
}

function digestCost(profile: Profile): CostJson | null {
  const cost = profile.final?.cost;
  const own = ownCost(profile);
  if (!cost || !own) return null;
  const measured = own.programsNs !== null;
  return {
    programsNs: own.programsNs,
    agentUserNs: cost.agentUserNs,
    agentSystemNs: cost.agentSystemNs,
    shareOfMachine: own.shareOfMachine,
    peakRssBytes: cost.peakRssBytes,
    kernelMemoryBytes: cost.kernelMemoryBytes,
    programs: cost.programs.map(({ name, runs, ns }) => ({
      name,
      runs: measured ? runs : null,
      ns: measured ? ns : null,
    })),
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
