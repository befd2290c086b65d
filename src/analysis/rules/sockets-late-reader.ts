// Programs that read answers late: these had come, and lay in the socket until the program came round to them. Neither the end
// that was asked nor the network is to blame for that time.
import type { Profile, WeightTable } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import type { CpuTime } from "../cpu-time.js";
import type { Finding, Severity } from "../finding.js";
import { notSelf } from "../lock-summary.js";
import { userFunctions } from "../program-functions.js";
import { isAsked, type ProgramAnswers, programAnswers } from "../socket-answers.js";
import { type EndpointSummary, programKey, turnsTogether } from "../socket-sum.js";
import { endpointSummaries } from "../socket-summary.js";
import { graded, percent, shown, time } from "../text.js";
import { LATE_READER } from "../thresholds.js";

/** What a program did while answers lay there; undefined where it was not recorded. Of all its processes that read late. */
interface Meanwhile {
  /** In the whole recording. */
  readonly cpuNs: number | undefined;
  /** Ready to run, without a CPU; in the whole recording. */
  readonly queuedNs: number | undefined;
  /** Time that passed meanwhile on the threads that read; 0 = not known, as of older captures. Both of the next are of it. */
  readonly passedNs: number;
  /** At least for so long they ran or waited for a CPU. */
  readonly awakeNs: number;
  /** At least for so long they slept. */
  readonly sleptNs: number;
  /** Blocked in calls on the ends that it asks, in the whole recording. */
  readonly blockedNs: number;
  /** Summed over connections, that answers lay there: several at once count several times. */
  readonly lateSumNs: number;
  /** What its CPU time went into, most first. */
  readonly functions: readonly { readonly name: string; readonly share: number }[];
}

type Cause = "computes" | "queued" | "awake" | "asleep" | "unknown";
const TITLES: Readonly<Record<Cause, string>> = {
  computes: "; it computes meanwhile",
  queued: "; it waits for a CPU meanwhile",
  awake: "; it computes or waits for a CPU meanwhile",
  asleep: "",
  unknown: "",
};

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
        rows.filter((row) => programKey(row) === programKey(program)),
      );
      return [{ lateSumNs, finding: finding(program, grade, did) }];
    })
    .sort((a, b) => b.lateSumNs - a.lateSumNs)
    .slice(0, LATE_READER.maxFindings)
    .map((each) => each.finding);
}

/** @param rows of one program */
function meanwhile(profile: Profile, cpu: CpuTime | undefined, rows: readonly EndpointSummary[]): Meanwhile {
  const late = new Set(rows.filter(({ lateSumNs }) => lateSumNs > 0).map(({ process }) => process));
  const sum = (of: (row: EndpointSummary) => number): number => rows.reduce((all, row) => all + of(row), 0);
  const own = (thread: number): boolean => late.has(profile.threads[thread]?.process ?? -1);
  const queues = (profile.final?.runQueue ?? []).filter(({ process }) => late.has(process));
  return {
    cpuNs: cpu === undefined ? undefined : weightOf(cpu.table, own),
    queuedNs: queues.length > 0 ? queues.reduce((all, { sumNs }) => all + sumNs, 0) : undefined,
    passedNs: sum((row) => row.latePassedNs),
    awakeNs: sum((row) => row.lateAwakeNs),
    sleptNs: sum((row) => row.lateSleptNs),
    blockedNs: sum((row) => (isAsked(row) && late.has(row.process) ? row.blockedNs : 0)),
    lateSumNs: sum((row) => row.lateSumNs),
    functions: cpu === undefined ? [] : userFunctions(profile, cpu, own),
  };
}

function weightOf(table: WeightTable, own: (thread: number) => boolean): number {
  let sum = 0;
  for (let row = 0; row < table.count; row++) if (own(table.thread[row]!)) sum += table.weightNs[row]!;
  return sum;
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
    title: `${name} reads answers late: they had come, and lay unread for ${mean} on average${TITLES[cause]}`,
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
 * What took the time, as far as it is known. Whether its threads ran is told of the time in which answers lay there: a
 * program that computes for two seconds of a minute was busy, although it slept for most of the minute. Which of running and
 * waiting for a CPU it was goes by what both were in the recording.
 */
function causeOf(name: string, did: Meanwhile): [Cause, string] {
  const { cpuNs, queuedNs, passedNs, awakeNs, sleptNs, blockedNs, lateSumNs } = did;
  const ranNs = (cpuNs ?? 0) + (queuedNs ?? 0);
  const slept = passedNs > 0 && sleptNs >= passedNs / 2;
  const passed = `of the ${time(passedNs)} that passed on the threads that read them`;
  if (passedNs > 0 && awakeNs >= passedNs / 2)
    return busy(name, did, `For ${time(awakeNs)} ${passed}, these did not sleep. `);
  if (passedNs === 0 && ranNs >= lateSumNs / 2) return busy(name, did, "");
  if (slept && ranNs < passedNs / 2)
    return [
      "asleep",
      blockedNs >= passedNs / 2
        ? `${name} was blocked in calls on sockets for ${time(blockedNs)}: it may well ask several ends and read their answers one after the other, which is no fault.`
        : `For ${time(sleptNs)} ${passed}, these slept, in another call or for a lock. The off-CPU tab shows where.`,
    ];
  if (slept)
    return [
      "unknown",
      `For ${time(sleptNs)} ${passed}, these slept; but others of ${name} ran: it ${ranText(did)}, all threads together. Whether the readers waited for those is not known.`,
    ];
  if (passedNs > 0)
    return [
      "unknown",
      `For ${time(awakeNs)} ${passed}, at least, these did not sleep, and for ${time(sleptNs)}, at least, they did: neither is half of it.`,
    ];
  const figures = ranNs > 0 ? `${name} ${ranText(did)}, all threads together. ` : "";
  return ["unknown", `${figures}What ${name} did meanwhile is not in this recording.`];
}

/** The program ran or waited for a CPU: which of the two, where that can make up half of what is known of both. */
function busy(name: string, did: Meanwhile, before: string): [Cause, string] {
  const { cpuNs, queuedNs, awakeNs } = did;
  if (cpuNs === undefined && queuedNs === undefined)
    return ["awake", `${before}Whether ${name} computed or waited for a CPU is not in this recording.`];
  const [cause, words]: [Cause, string] =
    (queuedNs ?? 0) >= (cpuNs ?? 0)
      ? ["queued", "it did not get to read"]
      : ["computes", "it was busy with other work"];
  const text = `${before}${name} ${ranText(did)}, all threads together`;
  if ((cpuNs ?? 0) + (queuedNs ?? 0) < awakeNs / 2) return ["awake", `${text}.`];
  return [cause, `${text}: ${words}.`];
}

/** What was recorded of both, the larger one first. */
function ranText({ cpuNs, queuedNs }: Meanwhile): string {
  const texts = [
    { ns: cpuNs, text: `used ${time(cpuNs ?? 0)} of CPU time in the recording` },
    { ns: queuedNs, text: `was ready to run and without a CPU for ${time(queuedNs ?? 0)}` },
  ];
  return texts
    .filter(({ ns }) => ns !== undefined)
    .sort((a, b) => (b.ns ?? 0) - (a.ns ?? 0))
    .map(({ text }) => text)
    .join(" and ");
}
