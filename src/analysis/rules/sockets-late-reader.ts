// Programs that read answers late: these had come, and lay in the socket until the program came round to them. Neither the end
// that was asked nor the network is to blame for that time.
import { calledTree } from "../../model/called-tree.js";
import type { Profile, WeightTable } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import { type CpuTime, functionsWhere, innermost, Tally } from "../cpu-time.js";
import type { Finding, Severity } from "../finding.js";
import { notSelf } from "../lock-summary.js";
import { type ProgramAnswers, programAnswers } from "../socket-answers.js";
import { type EndpointSummary, turnsTogether } from "../socket-sum.js";
import { endpointSummaries } from "../socket-summary.js";
import { graded, percent, shown, time } from "../text.js";
import { LATE_READER } from "../thresholds.js";

/** What a program did while answers lay there; undefined where it was not recorded. Of all its processes that read late. */
interface Meanwhile {
  readonly cpuNs: number | undefined;
  /** Ready to run, without a CPU. */
  readonly queuedNs: number | undefined;
  /** Of both, what the busiest thread of each process had; its process's wait for a CPU by its share of the CPU time. */
  readonly busiestNs: number;
  /** What these threads slept. */
  readonly sleptNs: number | undefined;
  /** Blocked in calls on sockets, for others than those that answered. */
  readonly blockedNs: number;
  /** Summed over connections, that answers lay there: several at once count several times. */
  readonly lateSumNs: number;
  /** The most time that can have passed meanwhile on one thread of each process. */
  readonly elapsedNs: number;
  /** What its CPU time went into, most first. */
  readonly functions: readonly { readonly name: string; readonly share: number }[];
}

/** Findings "late-reader", the longest time first. */
export function lateReaders(profile: Profile, cpu: CpuTime | undefined): Finding[] {
  const counts = notSelf(profile);
  const rows = endpointSummaries(profile, counts);
  return programAnswers(rows)
    .filter(({ self }) => !self)
    .flatMap((program) => {
      const { lateReads, lateSumNs, wholeSumNs } = turnsTogether(program.asked);
      if (lateReads < LATE_READER.least || lateSumNs < (lateSumNs + wholeSumNs) * LATE_READER.share)
        return [];
      const grade = graded(lateSumNs / lateReads, LATE_READER.meanNs);
      if (grade === undefined) return [];
      const did = meanwhile(
        profile,
        cpu,
        rows.filter(({ comm, self }) => comm === program.comm && !self),
      );
      return [{ lateSumNs, finding: finding(program, grade, did) }];
    })
    .sort((a, b) => b.lateSumNs - a.lateSumNs)
    .slice(0, LATE_READER.maxFindings)
    .map((each) => each.finding);
}

/** @param rows of one program */
function meanwhile(profile: Profile, cpu: CpuTime | undefined, rows: readonly EndpointSummary[]): Meanwhile {
  const late = new Map<number, number>();
  for (const { process, lateSumNs } of rows)
    if (lateSumNs > 0) late.set(process, (late.get(process) ?? 0) + lateSumNs);
  const all = (by: (process: number) => number): number =>
    [...late.keys()].reduce((sum, each) => sum + by(each), 0);
  const processOf = (thread: number): number => profile.threads[thread]?.process ?? -1;
  const queues = (profile.final?.runQueue ?? []).filter(({ process }) => late.has(process));
  const queueOf = (process: number): number =>
    queues.filter((row) => row.process === process).reduce((sum, { sumNs }) => sum + sumNs, 0);
  const ran = byThread(cpu?.table, processOf, late);
  const offcpu = profile.weights.find(({ source }) => source === "offcpu");
  const slept = byThread(offcpu, processOf, late);
  const threadsOf = (times: ReadonlyMap<number, number>, process: number): [number, number][] =>
    [...times].filter(([thread]) => processOf(thread) === process).sort((a, b) => b[1] - a[1]);
  const cpuOf = (process: number): number => threadsOf(ran, process).reduce((sum, [, time]) => sum + time, 0);
  return {
    cpuNs: cpu === undefined ? undefined : all(cpuOf),
    queuedNs: queues.length > 0 ? all(queueOf) : undefined,
    busiestNs: all((process) => {
      const [, most] = threadsOf(ran, process)[0] ?? [0, 0];
      return most > 0 ? most + queueOf(process) * (most / cpuOf(process)) : queueOf(process);
    }),
    sleptNs:
      offcpu === undefined
        ? undefined
        : all((process) => {
            const busiest = threadsOf(ran, process)[0];
            return busiest === undefined
              ? (threadsOf(slept, process)[0]?.[1] ?? 0)
              : (slept.get(busiest[0]) ?? 0);
          }),
    blockedNs: rows.reduce((sum, row) => sum + row.blockedNs, 0),
    lateSumNs: all((process) => late.get(process)!),
    elapsedNs: all((process) => Math.min(late.get(process)!, profile.durationNs)),
    functions: cpu === undefined ? [] : functionsOf(profile, cpu, (thread) => late.has(processOf(thread))),
  };
}

/** Weight of each thread of the processes in `late`. */
function byThread(
  table: WeightTable | undefined,
  processOf: (thread: number) => number,
  late: ReadonlyMap<number, number>,
): Map<number, number> {
  const sums = new Map<number, number>();
  for (let row = 0; table !== undefined && row < table.count; row++) {
    const thread = table.thread[row]!;
    if (late.has(processOf(thread))) sums.set(thread, (sums.get(thread) ?? 0) + table.weightNs[row]!);
  }
  return sums;
}

function functionsOf(
  profile: Profile,
  cpu: CpuTime,
  own: (thread: number) => boolean,
): Meanwhile["functions"] {
  const user = innermost(
    profile,
    functionsWhere(profile, (_, kind) => kind !== "kernel"),
  );
  const spent = new Tally();
  for (let row = 0; row < cpu.table.count; row++) {
    if (!own(cpu.table.thread[row]!)) continue;
    const node = user[cpu.table.node[row]!]!;
    const name = node === 0 ? "[kernel]" : profile.functions.name[calledTree(profile).func[node]!]!;
    spent.add(shown(name), cpu.table.weightNs[row]!);
  }
  return spent.top(5).map(({ name, amount }) => ({ name, share: amount / spent.total }));
}

function finding(program: ProgramAnswers, grade: Severity, did: Meanwhile): Finding {
  const name = shown(program.comm);
  const all = turnsTogether(program.asked);
  const byLate = program.asked.toSorted((a, b) => b.lateSumNs - a.lateSumNs);
  const [first] = byLate;
  const mean = time(all.lateSumNs / all.lateReads);
  const [cause, words] = causeOf(name, did);
  return {
    rule: "late-reader",
    severity: cause === "asleep" ? "info" : grade,
    title: `${name} reads answers late: they had come, and lay unread for ${mean} on average${{ computes: "; it computes meanwhile", queued: "; it waits for a CPU meanwhile", asleep: "", unknown: "" }[cause]}`,
    detail: `${all.lateReads.toLocaleString("en-US")} times bytes of an answer lay in the socket of ${name}, ${time(all.lateSumNs)} in all and ${time(all.lateMaxNs)} at most: ${percent(all.lateSumNs / (all.lateSumNs + all.wholeSumNs))} of the time from its questions to the end of their answers. The ends that it asks had answered${first === undefined ? "" : ` (${first.name} after ${time(first.turnP50Ns)})`}, so neither they nor the network is the cause of that. ${words}`,
    share: ratio(all.lateSumNs / (all.lateSumNs + all.wholeSumNs)),
    culprit: name,
    contributors: [
      ...did.functions.map((each) => ({ name: `${each.name} (CPU time)`, share: ratio(each.share) })),
      ...byLate.slice(0, 4).map((each) => ({
        name: `answers of ${each.name} unread`,
        share: ratio(each.lateSumNs / all.lateSumNs),
      })),
    ],
    next: [
      ...(did.cpuNs === undefined || did.queuedNs === undefined
        ? ["lowflame record --what cpu,offcpu,sockets    # what it does meanwhile"]
        : []),
      cause === "queued"
        ? "cat /proc/pressure/cpu    # more CPUs, fewer threads, or a cgroup's quota"
        : "Take long work off the threads that serve sockets: into other threads, or in pieces between which they read.",
    ],
    tab: "sockets",
  };
}

/**
 * What took the time, as far as it is known: each must be able to make up half of it. Answers that lay there at once had one and
 * the same time, so what one thread did is compared with the time that can have passed, not with their sum.
 */
function causeOf(name: string, did: Meanwhile): ["computes" | "queued" | "asleep" | "unknown", string] {
  const { cpuNs, queuedNs, busiestNs, sleptNs, blockedNs, lateSumNs, elapsedNs } = did;
  const half = elapsedNs / 2;
  const ran = `used ${time(cpuNs ?? 0)} of CPU time in the recording`;
  const waited = `was ready to run and without a CPU for ${time(queuedNs ?? 0)}`;
  if ((cpuNs ?? 0) + (queuedNs ?? 0) >= lateSumNs / 2 || (busiestNs > 0 && busiestNs >= half)) {
    const also = (what: string, ns: number | undefined): string => (ns === undefined ? "" : ` and ${what}`);
    return (queuedNs ?? 0) >= (cpuNs ?? 0)
      ? ["queued", `${name} ${waited}${also(ran, cpuNs)}, all threads together: it did not get to read.`]
      : [
          "computes",
          `${name} ${ran}${also(waited, queuedNs)}, all threads together: it was busy with other work.`,
        ];
  }
  if (blockedNs >= half)
    return [
      "asleep",
      `${name} was blocked in calls on sockets for ${time(blockedNs)}: it may well ask several ends and read their answers one after the other, which is no fault.`,
    ];
  if (sleptNs !== undefined && sleptNs >= half)
    return [
      "asleep",
      `${name} was neither on a CPU nor ready to run for so long: its busiest thread slept for ${time(sleptNs)}, in another call or for a lock. The off-CPU tab shows where.`,
    ];
  if (cpuNs !== undefined && queuedNs !== undefined)
    return [
      "unknown",
      `${name} ${ran} and ${waited}; neither that nor what it slept makes up half of the time.`,
    ];
  return ["unknown", `What ${name} did meanwhile is not in this recording.`];
}
