// A program that computes so much for each of its answers that its threads have no time left: its clients wait for it, and
// neither for an end that it asks nor for the network.
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import { ownAnswers } from "../answer-text.js";
import type { CpuTime } from "../cpu-time.js";
import type { Finding } from "../finding.js";
import { notSelf } from "../lock-summary.js";
import { userFunctions } from "../program-functions.js";
import { type ProgramAnswers, programAnswers } from "../socket-answers.js";
import type { Turns } from "../socket-sum.js";
import { endpointSummaries } from "../socket-summary.js";
import { tcpSummaries } from "../tcp-summary.js";
import { percent, searchFor, shown, time } from "../text.js";
import { BUSY_SERVER } from "../thresholds.js";

/** What the threads of a program did, ns. */
interface Work {
  readonly cpuNs: number;
  /** Of it, in its own code and libraries: what the kernel does for it, such as copying a large answer, is no computing. */
  readonly userNs: number;
  /** Ready to run, without a CPU; 0 where that was not recorded. */
  readonly queuedNs: number;
  /** Threads without time left, and what those did. */
  readonly full: ReadonlySet<number>;
  readonly fullNs: number;
}

/** Findings "busy-server", the one that computes most first. */
export function busyServers(profile: Profile, cpu: CpuTime | undefined): Finding[] {
  if (cpu === undefined || !profile.facts.sources.includes("sockets") || profile.durationNs <= 0) return [];
  const counts = notSelf(profile);
  const tickNs = profile.final?.tcpCounters?.tickNs;
  const rows = endpointSummaries(profile, counts);
  return programAnswers(rows, tcpSummaries(profile, counts), [], tickNs)
    .flatMap((program) => {
      const { served } = program;
      if (program.self || served === null || served.turns < BUSY_SERVER.minAnswers) return [];
      const work = workOf(profile, cpu, program.processes);
      return isBusy(served, work) ? [{ work, finding: finding(profile, cpu, program, served, work) }] : [];
    })
    .sort((a, b) => b.work.cpuNs - a.work.cpuNs)
    .slice(0, BUSY_SERVER.maxFindings)
    .map((each) => each.finding);
}

/** Waiting for a CPU is known of a process: its threads share it as they share its CPU time. */
function workOf(profile: Profile, { table }: CpuTime, processes: ReadonlySet<number>): Work {
  const ran = new Map<number, number>();
  const byProcess = new Map<number, number>();
  const { tree, functions } = profile;
  let cpuNs = 0;
  let userNs = 0;
  for (let row = 0; row < table.count; row++) {
    const thread = table.thread[row]!;
    const process = profile.threads[thread]?.process ?? -1;
    if (!processes.has(process)) continue;
    const ns = table.weightNs[row]!;
    ran.set(thread, (ran.get(thread) ?? 0) + ns);
    byProcess.set(process, (byProcess.get(process) ?? 0) + ns);
    cpuNs += ns;
    const leaf = functions.kind[tree.func[table.node[row]!]!];
    if (leaf !== "kernel" && leaf !== "bpf") userNs += ns;
  }
  const queues = new Map<number, number>();
  for (const { process, sumNs } of profile.final?.runQueue ?? [])
    if (processes.has(process)) queues.set(process, (queues.get(process) ?? 0) + sumNs);
  const full = new Set<number>();
  let fullNs = 0;
  for (const [thread, ns] of ran) {
    const process = profile.threads[thread]!.process;
    const queued = ((queues.get(process) ?? 0) * ns) / Math.max(1, byProcess.get(process) ?? 0);
    if (ns + queued < BUSY_SERVER.share * profile.durationNs) continue;
    full.add(thread);
    fullNs += ns;
  }
  return { cpuNs, userNs, queuedNs: [...queues.values()].reduce((sum, ns) => sum + ns, 0), full, fullNs };
}

/**
 * Whether most of its CPU time is of threads that have none left, and is for its answers: a program that computes something else
 * has none under way for most of that time.
 */
function isBusy(served: Turns, { cpuNs, userNs, fullNs }: Work): boolean {
  return (
    fullNs * 2 >= cpuNs &&
    userNs >= BUSY_SERVER.perAnswerNs * served.turns &&
    served.turnP50Ns >= BUSY_SERVER.p50Ns &&
    served.turnSumNs >= BUSY_SERVER.answering * cpuNs
  );
}

function finding(
  profile: Profile,
  cpu: CpuTime,
  program: ProgramAnswers,
  served: Turns,
  { cpuNs, userNs, queuedNs, full, fullNs }: Work,
): Finding {
  const name = shown(program.comm);
  const functions = userFunctions(profile, cpu, (thread) => full.has(thread));
  const each = time(userNs / served.turns);
  const who = full.size === 1 ? "a thread" : `${full.size} threads`;
  const own = ownAnswers(program);
  const answers =
    own === "" ? ` It answers after ${time(served.turnP50Ns)} (p99 ${time(served.turnP99Ns)}).` : own;
  const queued =
    queuedNs > cpuNs
      ? " It waits for a CPU longer than it has one: who else runs there is in the CPU tab."
      : "";
  const most = functions.slice(0, 3).map(({ name: what, share }) => `${what} ${percent(share)}`);
  return {
    rule: "busy-server",
    severity: "warning",
    title: `${name} has no time left for its clients: it computes ${each} for each answer, and ${who} of it ${full.size === 1 ? "does" : "do"} so, or wait${full.size === 1 ? "s" : ""} for a CPU, nearly all the time`,
    detail: `${name} gave ${served.turns.toLocaleString("en-US")} answers and used ${time(cpuNs)} of CPU time${queuedNs > 0 ? `, and was ready to run without a CPU for ${time(queuedNs)}` : ""}.${answers} What has come meanwhile waits until it is read, in no answer's time.${queued} Its CPU time goes into ${most.join(", ")}.`,
    share: ratio(Math.min(1, fullNs / (full.size * profile.durationNs))),
    culprit: name,
    contributors: functions.map((part) => ({ name: part.name, share: ratio(part.share) })),
    next: [
      "Less work for each answer: the CPU tab shows what it is, and in which functions.",
      queuedNs > cpuNs
        ? "cat /proc/pressure/cpu    # more CPUs, or fewer programs on these"
        : "More workers, on CPUs that have time: mpstat -P ALL 1",
    ],
    tab: "cpu",
    ...(functions[0] === undefined ? {} : { search: searchFor(functions[0].name) }),
  };
}
