// All rules over one profile: what is wrong, worst first. Pure: the same profile gives the same findings.
import type { Profile } from "../model/profile.js";
import { withoutLines } from "../model/without-lines.js";
import { type CpuTime, cpuTime } from "./cpu-time.js";
import { type Finding, SEVERITIES } from "./finding.js";
import { foreignBpf } from "./rules/foreign-bpf.js";
import { userLockFindings } from "./rules/futex.js";
import { kernelWork } from "./rules/kernel-work.js";
import { lockHeldAsleep } from "./rules/lock-held-asleep.js";
import { lockHeldRunning } from "./rules/lock-held-running.js";
import { lockFindings } from "./rules/locks.js";
import { losses, truncatedStacks } from "./rules/losses.js";
import { runQueue } from "./rules/run-queue.js";
import { sampleShortfall } from "./rules/sample-shortfall.js";
import { busyServers } from "./rules/sockets-busy-server.js";
import { closeWaits } from "./rules/sockets-close-wait.js";
import { connectFindings } from "./rules/sockets-connect.js";
import { contendedSocketCalls } from "./rules/sockets-contended.js";
import { growingSockets } from "./rules/sockets-growing.js";
import { lateReaders } from "./rules/sockets-late-reader.js";
import { listenOverflow } from "./rules/sockets-listen-overflow.js";
import { slowEnds } from "./rules/sockets-slow-end.js";
import { socketSpin } from "./rules/sockets-spin.js";
import { unfinishedSocketCalls } from "./rules/sockets-unfinished.js";
import { spinLocks } from "./rules/spin-locks.js";
import { stoppedProcesses } from "./rules/stopped.js";
import { uninterruptible } from "./rules/uninterruptible.js";

type Rule = (profile: Profile, cpu: CpuTime | undefined) => readonly Finding[];

const RULES: readonly Rule[] = [
  spinLocks,
  lockFindings,
  userLockFindings,
  lockHeldAsleep,
  lockHeldRunning,
  slowEnds,
  lateReaders,
  busyServers,
  connectFindings,
  listenOverflow,
  closeWaits,
  unfinishedSocketCalls,
  contendedSocketCalls,
  socketSpin,
  growingSockets,
  foreignBpf,
  kernelWork,
  runQueue,
  uninterruptible,
  stoppedProcesses,
  sampleShortfall,
  losses,
  truncatedStacks,
];

/** Findings by severity, then share (those without one last), then title. Empty for a healthy machine. */
export function analyze(whole: Profile): Finding[] {
  const { profile } = withoutLines(whole);
  const cpu = cpuTime(profile);
  const rank = (finding: Finding) => SEVERITIES.indexOf(finding.severity);
  return RULES.flatMap((rule) => rule(profile, cpu)).sort(
    (a, c) => rank(a) - rank(c) || (c.share ?? 0) - (a.share ?? 0) || (a.title < c.title ? -1 : 1),
  );
}
