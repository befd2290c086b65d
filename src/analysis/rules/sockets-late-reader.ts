// Programs that read answers late: these had come, and lay in the socket until the program came round to them. Neither the end
// that was asked nor the network is to blame for that time.
import { calledTree } from "../../model/called-tree.js";
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import { type CpuTime, functionsWhere, innermost, Tally } from "../cpu-time.js";
import type { Finding, Severity } from "../finding.js";
import { notSelf } from "../lock-summary.js";
import { type ProgramAnswers, programAnswers } from "../socket-answers.js";
import { endpointsByProgram, turnsTogether } from "../socket-sum.js";
import { endpointSummaries } from "../socket-summary.js";
import { graded, percent, shown, time } from "../text.js";
import { LATE_READER } from "../thresholds.js";

/** What a program did while answers lay there; undefined where it was not recorded. */
interface Meanwhile {
  readonly cpuNs: number | undefined;
  /** Ready to run, without a CPU. */
  readonly queuedNs: number | undefined;
  /** Blocked in calls on sockets, for others than those that answered. */
  readonly blockedNs: number;
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
      const blockedNs = endpointsByProgram(rows)
        .filter(({ comm, self }) => comm === program.comm && !self)
        .reduce((sum, row) => sum + row.blockedNs, 0);
      return [{ lateSumNs, finding: finding(program, grade, meanwhile(profile, cpu, program, blockedNs)) }];
    })
    .sort((a, b) => b.lateSumNs - a.lateSumNs)
    .slice(0, LATE_READER.maxFindings)
    .map((each) => each.finding);
}

function meanwhile(
  profile: Profile,
  cpu: CpuTime | undefined,
  { comm }: ProgramAnswers,
  blockedNs: number,
): Meanwhile {
  const own = (process: number): boolean => profile.processes[process]?.comm === comm;
  const queues = (profile.final?.runQueue ?? []).filter(({ process }) => own(process));
  const queuedNs = queues.length > 0 ? queues.reduce((sum, { sumNs }) => sum + sumNs, 0) : undefined;
  if (cpu === undefined) return { cpuNs: undefined, queuedNs, blockedNs, functions: [] };
  const user = innermost(
    profile,
    functionsWhere(profile, (_, kind) => kind !== "kernel"),
  );
  const spent = new Tally();
  for (let row = 0; row < cpu.table.count; row++) {
    if (!own(profile.threads[cpu.table.thread[row]!]?.process ?? -1)) continue;
    const node = user[cpu.table.node[row]!]!;
    const name = node === 0 ? "[kernel]" : profile.functions.name[calledTree(profile).func[node]!]!;
    spent.add(shown(name), cpu.table.weightNs[row]!);
  }
  const functions = spent.top(5).map(({ name, amount }) => ({ name, share: amount / spent.total }));
  return { cpuNs: spent.total, queuedNs, blockedNs, functions };
}

function finding(program: ProgramAnswers, grade: Severity, did: Meanwhile): Finding {
  const name = shown(program.comm);
  const all = turnsTogether(program.asked);
  const byLate = program.asked.toSorted((a, b) => b.lateSumNs - a.lateSumNs);
  const [first] = byLate;
  const mean = time(all.lateSumNs / all.lateReads);
  const [cause, words] = causeOf(name, all.lateSumNs, did);
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

/** What took the time, as far as it is known: each must be able to make up half of it. */
function causeOf(
  name: string,
  lateNs: number,
  { cpuNs, queuedNs, blockedNs }: Meanwhile,
): ["computes" | "queued" | "asleep" | "unknown", string] {
  const most = lateNs / 2;
  if (queuedNs !== undefined && queuedNs >= most && queuedNs >= (cpuNs ?? 0))
    return [
      "queued",
      `${name} was ready to run and without a CPU for ${time(queuedNs)} of the recording, all threads together: it did not get to read.`,
    ];
  if (cpuNs !== undefined && cpuNs >= most)
    return [
      "computes",
      `${name} used ${time(cpuNs)} of CPU time in the recording, all threads together: it was busy with other work.`,
    ];
  if (blockedNs >= most)
    return [
      "asleep",
      `${name} was blocked in calls on sockets for ${time(blockedNs)}: it may well ask several ends and read their answers one after the other, which is no fault.`,
    ];
  if (cpuNs !== undefined && queuedNs !== undefined)
    return [
      "asleep",
      `${name} was neither on a CPU nor ready to run for so long: it slept, in another call or for a lock. The off-CPU tab shows where.`,
    ];
  return ["unknown", `What ${name} did meanwhile is not in this recording.`];
}
