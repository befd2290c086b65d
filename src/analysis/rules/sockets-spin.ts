// Descriptors that a program asks over and over although there is nothing to be had: EAGAIN on nearly every call.
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import type { CpuTime } from "../cpu-time.js";
import type { Finding } from "../finding.js";
import { notSelf } from "../lock-summary.js";
import { descriptorCommand, ssCommand, straceCommand } from "../socket-advice.js";

import { callersOfSockets } from "../socket-cpu.js";
import { type SpinningDescriptor, spinningDescriptors } from "../socket-spin.js";
import { callerText, type SocketCaller } from "../socket-sum.js";
import { percent, shown } from "../text.js";
import { EAGAIN_SPIN } from "../thresholds.js";

/** Findings "eagain-spin", one a process, by its busiest descriptor. */
export function socketSpin(profile: Profile, cpu: CpuTime | undefined): Finding[] {
  const byProcess = new Map<number | SpinningDescriptor, SpinningDescriptor[]>();
  for (const row of spinningDescriptors(profile, notSelf(profile))) {
    const rows = byProcess.get(row.process) ?? [];
    rows.push(row);
    byProcess.set(row.process < 0 ? row : row.process, rows);
  }
  const all = [...byProcess.values()];
  return all.slice(0, EAGAIN_SPIN.maxFindings).map((rows, i) => {
    const left = i === EAGAIN_SPIN.maxFindings - 1 ? all.length - EAGAIN_SPIN.maxFindings : 0;
    return finding(profile, cpu, rows[0]!, rows.slice(1), left);
  });
}

const NAMED_OTHERS = 8;

/** Its other descriptors, and processes that have no finding of their own. */
function othersText(others: readonly SpinningDescriptor[], left: number): string {
  const fds = others.slice(0, NAMED_OTHERS).map(({ fd }) => fd);
  const more = others.length > NAMED_OTHERS ? ", ..." : "";
  const same =
    fds.length === 0 ? "" : ` The same on ${others.length} more (descriptor ${fds.join(", ")}${more}).`;
  return left === 0
    ? same
    : `${same} ${left} more ${left === 1 ? "process spins" : "processes spin"} as well: --json lists all.`;
}

const grouped = (value: number): string => Math.round(value).toLocaleString("en-US");

function finding(
  profile: Profile,
  cpu: CpuTime | undefined,
  row: SpinningDescriptor,
  others: readonly SpinningDescriptor[],
  left: number,
): Finding {
  const { pid, comm, fd, endpoint } = row;
  const name = pid === null ? "a process without a row" : `${shown(comm)} (pid ${pid})`;
  const { callers, text } = askedFrom(cpu, row);
  const ss = ssCommand(profile.endpoints[row.endpointId]);
  // Many threads that are woken up for one connection, of which one gets it.
  const herd = endpoint?.role === "listening" && row.again < row.count;
  const why = herd
    ? "Several threads or processes are woken up for each connection, and all but one ask in vain."
    : "The program calls again without waiting to be told that there is something to read or room to write, which takes a CPU and gives nothing.";
  return {
    rule: "eagain-spin",
    severity: "warning",
    title: `${name} spins on descriptor ${fd}${endpoint === null ? "" : ` (${endpoint.name})`}${others.length === 0 ? "" : ` and ${others.length} more`}: ${row.atTimes ? "at times " : ""}${percent(row.again / row.count)} of ${grouped(row.perSecond)} calls a second find nothing to do`,
    detail: `${row.atTimes ? "In its worst second some" : "Some"} ${grouped(row.again)} of ${grouped(row.count)} calls on this descriptor ended with EAGAIN. ${why}${text}${othersText(others, left)}`,
    share: ratio(row.again / row.count),
    culprit: name,
    contributors: callers.map((each) => ({ name: callerText(each), share: ratio(each.share) })),
    next: [
      ...(pid === null ? [] : [descriptorCommand(pid, fd), straceCommand(pid, "network,read,write")]),
      ...(ss === undefined ? [] : [ss]),
      herd
        ? "Let each worker have a listening socket of its own: reuseport in nginx, SO_REUSEPORT elsewhere; or EPOLLEXCLUSIVE."
        : "Read in the program what follows EAGAIN: it should go back to epoll_wait or poll, and not try again.",
    ],
    tab: "sockets",
  };
}

/**
 * Who asks: by stacks of calls on this very descriptor; where these name nobody, by the CPU samples in any socket call of the
 * process.
 */
function askedFrom(
  cpu: CpuTime | undefined,
  row: SpinningDescriptor,
): { callers: readonly SocketCaller[]; text: string } {
  const [first] = row.callers;
  if (first !== undefined) {
    const how =
      row.callers.length === 1
        ? ""
        : ` (${percent(first.share)} of the stacks that were taken of such calls)`;
    return { callers: row.callers, text: ` It is asked from ${callerText(first)}${how}.` };
  }
  const callers = cpu === undefined || row.process < 0 ? [] : callersOfSockets(cpu, row.process);
  const [most] = callers;
  if (most === undefined) return { callers, text: "" };
  return {
    callers,
    text: ` By the CPU samples its socket calls come from ${callerText(most)} (${percent(most.share)}).`,
  };
}
