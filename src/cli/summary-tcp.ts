// The part of the summary about TCP connections: only what went wrong. Nothing where nothing did. Pure.
import { isToldQueue } from "../analysis/tcp-sum.js";
import { count, duration, plural } from "./figures.js";
import type { CloseWaitJson, ListenQueueJson, SocketsJson, TcpJson } from "./json.js";
import { firstThatFits, type Palette, printable } from "./terminal.js";

const ROWS = 5;
const QUEUES = 3;
/** Longer than the name of any end of TCP connections: only what is none is cut. */
const LONGEST_NAME = 80;

/** @returns lines without their ends, none wider than `width` characters where that can be */
export function tcpLines(sockets: SocketsJson, palette: Palette, width: number): string[] {
  const { tcp, closeWaits, listenQueues, tcpCounters } = sockets;
  const rows = tcp.map((row) => ({ row, wrong: wrongWith(row) })).filter(({ wrong }) => wrong.length > 0);
  const lines = rows.slice(0, ROWS).map(({ row, wrong }) => lineOf(row, wrong, width));
  if (rows.length > ROWS) lines.push(`  and ${count(rows.length - ROWS)} other ends`);
  if (tcpCounters !== null && tcpCounters.listenOverflows > 0)
    lines.push(
      `  ${plural(tcpCounters.listenOverflows, "connection")} found the queue of a listening socket full, ${plural(tcpCounters.listenDrops, "request")} dropped`,
    );
  const told = listenQueues.filter(({ connections }) =>
    isToldQueue(connections, tcpCounters?.listenOverflows ?? 0),
  );
  for (const row of told.slice(0, QUEUES)) lines.push(queueLine(row, width));
  for (const row of closeWaits.slice(0, ROWS)) lines.push(closeWaitLine(row, width));
  return lines.length === 0 ? [] : [palette.bold("TCP connections, what went wrong"), ...lines];
}

function wrongWith(row: TcpJson): string[] {
  const { connects, connectsFailed, connectsUnanswered, connecting, connectingUnanswered } = row;
  const { resetsSent, resetsReceived, retransmits, queueMax, queueLimit } = row;
  const waiting = connecting === 1 ? "1 connect has" : `${count(connecting)} connects have`;
  return [
    ...(connectingUnanswered > 0
      ? [`${waiting} been waiting for up to ${duration(row.connectingMaxNs)}`]
      : []),
    ...(connectsFailed > 0
      ? [
          `${count(connectsFailed)} of ${plural(connects + connectsFailed, "connect")} failed${connectsUnanswered > 0 ? `, ${count(connectsUnanswered)} without an answer` : ""}`,
        ]
      : []),
    ...(resetsReceived > 0 ? [`${plural(resetsReceived, "reset")} received`] : []),
    ...(resetsSent > 0 ? [`${plural(resetsSent, "reset")} sent`] : []),
    ...(retransmits > 0 ? [`${plural(retransmits, "segment")} sent again`] : []),
    ...(queueLimit > 0 && queueMax >= queueLimit
      ? [`queue full, ${count(queueMax)} of ${count(queueLimit)}`]
      : []),
  ];
}

/** What goes with a name is left out before the name is cut: without it and its port a line says nothing. */
function lineOf(row: TcpJson, wrong: readonly string[], width: number): string {
  const slow = row.connects > 0 && row.connectP99Ns > 0 ? `, connects in ${duration(row.connectP50Ns)}` : "";
  const users = row.usedBy.map(({ process }) => `, ${process}`).join("");
  const head = `  ${name(row.name)}`;
  const tail = `: ${wrong.join(", ")}`;
  return firstThatFits([`${head}${users}${tail}${slow}`, `${head}${users}${tail}`, `${head}${tail}`], width);
}

function queueLine({ pid, process, end, connections }: ListenQueueJson, width: number): string {
  const waited = `  ${plural(connections, "connection")} still waited to be accepted`;
  const tail = `, ${name(end)}`;
  return firstThatFits([`${waited} by ${owner(pid, process)}${tail}`, `${waited}${tail}`], width);
}

function closeWaitLine({ pid, process, end, connections, descriptor }: CloseWaitJson, width: number): string {
  const one = descriptor === null ? "" : `, descriptor ${descriptor}`;
  const head = `  ${plural(connections, "connection")} in CLOSE-WAIT all the time, `;
  const text = `${head}of ${owner(pid, process)} at ${name(end)}`;
  return firstThatFits([`${text}${one}`, text, `${head}at ${name(end)}`], width);
}

const name = (end: string): string => printable(end, LONGEST_NAME);
const owner = (pid: number | null, process: string): string =>
  pid === null ? process : `${process}[${pid}]`;
