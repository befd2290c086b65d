// The program at the other end of a connection, where it is on this machine and was recorded: what it did while it was waited
// for. One that was idle was not slow itself: it waited for something.
import { ENDPOINT_ROLES, type EndpointRow } from "../capture/binding.js";
import type { Profile } from "../model/profile.js";
import type { CpuTime } from "./cpu-time.js";
import type { ProgramAnswers } from "./socket-answers.js";
import { socketOwner } from "./socket-summary.js";
import { ownersText } from "./tcp-sum.js";
import { shown, time } from "./text.js";
import { SLOW_END, UNSEEN_WAIT } from "./thresholds.js";

export interface ServerDid {
  /** "redis-server (pid 12)". */
  readonly who: string;
  readonly processes: ReadonlySet<number>;
  /** Of all its threads, in the recording; undefined where it was not recorded. */
  readonly cpuNs: number | undefined;
  /** Ready to run, without a CPU. */
  readonly queuedNs: number | undefined;
  /** Whether it can have computed, or waited for a CPU, for a small part of the answers' time only. False where that is not known. */
  readonly idle: boolean;
}

const SERVES: Readonly<Record<string, string>> = { remote: "accepted", path: "served path" };

/**
 * Undefined where nobody is known to serve there: on another machine, or none of it was recorded.
 * @param endpoint id of an end that was asked
 * @param waitedNs sum of its answers' times, which several connections may have had at once
 */
export function serverAt(
  profile: Profile,
  cpu: CpuTime | undefined,
  endpoint: number,
  waitedNs: number,
): ServerDid | undefined {
  const asked = profile.endpoints[endpoint];
  if (asked === undefined) return undefined;
  const role = SERVES[ENDPOINT_ROLES[asked.role] ?? "none"];
  const isOther = (row: EndpointRow | undefined): boolean =>
    row !== undefined &&
    ENDPOINT_ROLES[row.role] === role &&
    row.family === asked.family &&
    row.protocol === asked.protocol &&
    row.port === asked.port &&
    row.network === asked.network &&
    row.address === asked.address;
  // who only accepts there, or has a descriptor of it left from a fork, answers nobody
  const rows = (profile.final?.endpointTotals ?? []).filter(
    (row) => row.bytesIn + row.bytesOut > 0 && isOther(profile.endpoints[row.endpoint]),
  );
  const processes = new Set(rows.map(({ process }) => process).filter((process) => process >= 0));
  const [first] = processes;
  if (first === undefined) return undefined;
  const owner = socketOwner(profile, first);
  const cpuNs = cpu === undefined ? undefined : cpuOf(cpu, profile, processes);
  const queuedNs = profile.facts.sources.includes("offcpu") ? queuedOf(profile, processes) : undefined;
  const most = Math.min(waitedNs, profile.durationNs) * SLOW_END.idleShare;
  return {
    ...{ who: shown(ownersText([{ ...owner, processes: processes.size }])), processes, cpuNs, queuedNs },
    idle: cpuNs !== undefined && cpuNs + (queuedNs ?? 0) <= most,
  };
}

/** CPU time and waits for a CPU of some processes in the recording, ns; undefined where CPU time was not recorded. */
export function workOf(
  profile: Profile,
  cpu: CpuTime | undefined,
  processes: ReadonlySet<number>,
): number | undefined {
  return cpu === undefined ? undefined : cpuOf(cpu, profile, processes) + queuedOf(profile, processes);
}

/**
 * Whether a program that answers worked so little that it must have waited, too, for most of what of its own answers' time is not
 * seen as waiting: behind connections with many questions at once (HTTP/2), where answers look short; for a disk; for a lock.
 */
export function waitsUnseen(profile: Profile, cpu: CpuTime | undefined, program: ProgramAnswers): boolean {
  const { served, upstreamShare, processes } = program;
  const work = workOf(profile, cpu, processes);
  if (work === undefined || served === null || upstreamShare === null) return false;
  const unseen = served.turnSumNs * (1 - upstreamShare);
  return work < Math.min(unseen, profile.durationNs) * UNSEEN_WAIT.workShare;
}

/** What a server did, for a sentence behind its name: "used 1.2 s of CPU time and …". */
export function didText({ cpuNs, queuedNs }: ServerDid): string {
  const queued = queuedNs === undefined ? "" : ` and was ready to run without a CPU for ${time(queuedNs)}`;
  return cpuNs === undefined ? "" : `used ${time(cpuNs)} of CPU time in the recording${queued}`;
}

function cpuOf({ table }: CpuTime, profile: Profile, processes: ReadonlySet<number>): number {
  let sum = 0;
  for (let row = 0; row < table.count; row++)
    if (processes.has(profile.threads[table.thread[row]!]?.process ?? -1)) sum += table.weightNs[row]!;
  return sum;
}

const queuedOf = (profile: Profile, processes: ReadonlySet<number>): number =>
  (profile.final?.runQueue ?? [])
    .filter(({ process }) => processes.has(process))
    .reduce((sum, { sumNs }) => sum + sumNs, 0);
