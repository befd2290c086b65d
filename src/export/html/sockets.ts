// The sockets of a report: rows of calls, other ends and TCP connections from the exact totals, slow and unfinished calls one
// by one, and the CPU samples that fell into socket calls.
import { type CallSeen, slowCalls, unfinishedCalls } from "../../analysis/socket-calls.js";
import { socketCallNodes } from "../../analysis/socket-cpu.js";
import { spinningDescriptors } from "../../analysis/socket-spin.js";
import { callSummaries, endpointSummaries, socketsRecorded } from "../../analysis/socket-summary.js";
import { closeWaitRows, connectingRows, listenQueueRows, tcpSummaries } from "../../analysis/tcp-summary.js";
import type { Profile } from "../../model/profile.js";
import type { ReportSockets, ReportSource } from "./document.js";

/** More rows than anybody reads would only make the file big: a row takes about a kilobyte before it is packed. */
const MOST_ROWS = 5_000;
/** Slow calls are drawn one by one. */
const MOST_SLOW = 2_000;

/**
 * @param cpu the source of CPU samples as the report has it
 * @returns null where sockets were not recorded
 */
export function socketsOf(profile: Profile, cpu: ReportSource | undefined): ReportSockets | null {
  if (!socketsRecorded(profile)) return null;
  const endpoints = endpointSummaries(profile);
  const tcp = tcpSummaries(profile);
  const slow = slowCalls(profile);
  return {
    complete: profile.final !== null,
    calls: callSummaries(profile).slice(0, MOST_ROWS),
    endpoints: endpoints.slice(0, MOST_ROWS),
    endpointsLeftOut: Math.max(0, endpoints.length - MOST_ROWS),
    tcp: tcp.slice(0, MOST_ROWS),
    tcpLeftOut: Math.max(0, tcp.length - MOST_ROWS),
    connecting: connectingRows(profile).slice(0, MOST_ROWS),
    closeWaits: closeWaitRows(profile).slice(0, MOST_ROWS),
    listenQueues: listenQueueRows(profile).slice(0, MOST_ROWS),
    tcpCounters: profile.final?.tcpCounters ?? null,
    spinning: spinningDescriptors(profile),
    slow: slow.slice(0, MOST_SLOW),
    slowLeftOut: Math.max(0, slow.length - MOST_SLOW),
    unfinished: unfinished(profile),
    cpu: cpu === undefined ? null : insideOfCalls(profile, cpu),
  };
}

/** Those that are not how a program idles first. */
function unfinished(profile: Profile): CallSeen[] {
  const all = unfinishedCalls(profile);
  return [...all.filter(({ waiting }) => !waiting), ...all.filter(({ waiting }) => waiting)].slice(
    0,
    MOST_SLOW,
  );
}

/** The rows of the source whose stack goes through a socket call. */
function insideOfCalls(profile: Profile, cpu: ReportSource): ReportSource {
  const inside = socketCallNodes(profile);
  const rows: number[] = [];
  for (let row = 0; row < cpu.node.length; row++) if (inside[cpu.node[row]!] !== 0) rows.push(row);
  const column = (values: ArrayLike<number>): number[] => rows.map((row) => values[row]!);
  return {
    ...cpu,
    title: "Busy in socket calls",
    thread: column(cpu.thread),
    node: column(cpu.node),
    weight: column(cpu.weight),
    state: column(cpu.state),
    syscall: column(cpu.syscall),
    tables: [],
  };
}
