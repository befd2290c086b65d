// Processes that were stopped, by a signal or by whoever traces them: they do nothing meanwhile, and look as if they slept.
import { OFFCPU_STATES } from "../../capture/binding.js";
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import type { Finding } from "../finding.js";
import { percent, shown, time } from "../text.js";
import { STOPPED } from "../thresholds.js";

const IS_STOPPED = OFFCPU_STATES.indexOf("stopped");

interface Stopped {
  readonly process: number;
  readonly count: number;
  readonly sumNs: number;
  readonly maxNs: number;
}

/** Findings "stopped-process", from exact totals: the longest sum first. */
export function stoppedProcesses(profile: Profile): Finding[] {
  if (profile.durationNs <= 0) return [];
  return (profile.final?.offcpuTotals ?? [])
    .filter(({ state, process, sumNs }) => {
      const owner = profile.processes[process];
      return state === IS_STOPPED && sumNs >= STOPPED.sumNs && owner !== undefined && !owner.self;
    })
    .sort((a, b) => b.sumNs - a.sumNs)
    .slice(0, STOPPED.maxFindings)
    .map((row) => finding(profile, row));
}

function finding(profile: Profile, { process, count, sumNs, maxNs }: Stopped): Finding {
  const { pid, comm } = profile.processes[process]!;
  const name = `${shown(comm)} (pid ${pid})`;
  const whole = maxNs >= STOPPED.wholeShare * profile.durationNs;
  const threads = Math.max(1, profile.threads.filter((thread) => thread?.process === process).length);
  const share = Math.min(1, sumNs / (threads * profile.durationNs));
  const queued = (profile.final?.listenQueues ?? [])
    .filter((queue) => queue.process === process)
    .reduce((sum, { length }) => sum + length, 0);
  const waits = queued > 0 ? ` ${queued} connections wait at the end for it to accept them.` : "";
  const how = whole
    ? "for all of the recording"
    : `for ${percent(share)} of its time: ${count.toLocaleString("en-US")} times, ${time(maxNs)} at most`;
  return {
    rule: "stopped-process",
    severity: whole && queued === 0 ? "info" : "warning",
    title: `${name} was stopped, by a signal or a tracer, ${how}`,
    detail: `A stopped process does nothing, whatever comes: no thread of it runs until it is continued.${waits} ${whole ? "A job that a shell has put aside (Ctrl-Z) looks like this, and is no fault." : "Many short stops are a tracer's (strace, gdb), which stops the process at each event; few long ones are signals (SIGSTOP), a debugger, or a tool that takes a snapshot of it."}`,
    share: ratio(share),
    culprit: name,
    contributors: [],
    next: [
      `grep -E '^(State|TracerPid)' /proc/${pid}/status    # t: by the tracer TracerPid; T: by a signal`,
      `kill -CONT ${pid}    # where a signal stopped it and nobody needs it to stand still`,
    ],
    tab: "offcpu",
  };
}
