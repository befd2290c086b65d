// Connections that this side opens: ends at which they fail, and ends at which they are established a second late.
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import type { Finding, Severity } from "../finding.js";
import { notSelf } from "../lock-summary.js";
import { ssCommand } from "../socket-advice.js";
import { connectsFrom, ownersText, type TcpSummary, timedConnects } from "../tcp-sum.js";
import { tcpSummaries } from "../tcp-summary.js";
import { graded, percent, shown, time } from "../text.js";
import { CONNECT_FAILING, CONNECT_SLOW } from "../thresholds.js";

/** Findings "connect-failing" and "connect-slow", of each the worst ends first. */
export function connectFindings(profile: Profile): Finding[] {
  const rows = tcpSummaries(profile, notSelf(profile)).filter(({ role }) => role === "remote");
  const failing = rows
    .map((row) => ({ row, severity: failingSeverity(row) }))
    .sort((a, b) => b.row.connectsFailed - a.row.connectsFailed)
    .flatMap(({ row, severity }) => (severity === undefined ? [] : [failingFinding(profile, row, severity)]));
  const slow = rows
    .map((row) => ({ row, late: connectsFrom(row, CONNECT_SLOW.fromNs) }))
    .filter(({ late }) => late >= CONNECT_SLOW.least)
    .sort((a, b) => b.late - a.late)
    .flatMap(({ row, late }) => {
      const severity = graded(late / timedConnects(row), CONNECT_SLOW);
      return severity === undefined ? [] : [slowFinding(profile, row, late, severity)];
    });
  return [...failing.slice(0, CONNECT_FAILING.maxFindings), ...slow.slice(0, CONNECT_SLOW.maxFindings)];
}

const number = (value: number): string => value.toLocaleString("en-US");
const failedShare = ({ connects, connectsFailed }: TcpSummary): number =>
  connectsFailed > 0 ? connectsFailed / (connects + connectsFailed) : 0;

function failingSeverity(row: TcpSummary): Severity | undefined {
  const reaches = ({ failed, share }: { failed: number; share: number }): boolean =>
    row.connectsFailed >= failed && failedShare(row) >= share;
  if (reaches(CONNECT_FAILING.critical)) return "critical";
  return reaches(CONNECT_FAILING.warning) || reaches(CONNECT_FAILING.fewest) ? "warning" : undefined;
}

/** Who opens connections to an end, for a sentence. */
const users = ({ owners }: TcpSummary): string =>
  owners.length === 0 ? "a program that is not known" : shown(ownersText(owners));

function failingFinding(profile: Profile, row: TcpSummary, severity: Severity): Finding {
  const { name, connects, connectsFailed } = row;
  const all = connects + connectsFailed;
  const ss = ssCommand(profile.endpoints[row.endpoint]);
  return {
    rule: "connect-failing",
    severity,
    title: `${number(connectsFailed)} of ${number(all)} connections of ${users(row)} to ${name} fail (${percent(failedShare(row))})`,
    detail: `${why(row)} Each failed attempt costs the request that waits for it a refusal or the whole timeout.`,
    share: ratio(failedShare(row)),
    culprit: name,
    contributors: [],
    next: [...there(profile, row), ...(ss === undefined ? [] : [`${ss}    # those that are established`])],
    tab: "sockets",
  };
}

/** What became of failed connections: a reset is a refusal, requests sent again were not answered. */
function why({ connectsFailed, resetsReceived, retransmits }: TcpSummary): string {
  if (resetsReceived >= connectsFailed / 2)
    return `They are refused (${number(resetsReceived)} resets came back): the machine is there and nothing listens on that port, or a firewall says so.`;
  if (retransmits >= connectsFailed / 2)
    return `Nobody answers (${number(retransmits)} segments had to be sent again): the machine is down, a firewall drops the requests, or the queue of the socket that listens there is full.`;
  return "They ended without an answer from the other side: given up by the program itself after its own timeout, or there is no route.";
}

function slowFinding(profile: Profile, row: TcpSummary, late: number, severity: Severity): Finding {
  const { name, connectP50Ns, connectP99Ns, connectMaxNs, retransmits } = row;
  const timed = timedConnects(row);
  const ss = ssCommand(profile.endpoints[row.endpoint]);
  const overflows = profile.final?.tcpCounters?.listenOverflows ?? 0;
  const here =
    overflows > 0
      ? ` On this machine ${number(overflows)} connections found such a queue full: if ${name} is here, that is why.`
      : "";
  return {
    rule: "connect-slow",
    severity,
    title: `${number(late)} of ${number(timed)} connections of ${users(row)} to ${name} are established a second late or later (p50 ${time(connectP50Ns)}, p99 ${time(connectP99Ns)})`,
    detail: `The longest took ${time(connectMaxNs)}. After a second the first packet is sent again (${number(retransmits)} segments were), so the one before was lost on the way or dropped at the other end, whose listening socket may have a full queue.${here} The program that connects is not to blame, nor is it its own time.`,
    share: ratio(late / timed),
    culprit: name,
    contributors: [],
    next: [
      ...there(profile, row),
      ...(ss === undefined ? [] : [`${ss}    # retrans: packets that are lost on the way`]),
    ],
    tab: "sockets",
  };
}

/** What to look at over there. */
function there(profile: Profile, { endpoint }: TcpSummary): string[] {
  const port = profile.endpoints[endpoint]?.port;
  if (port === undefined) return [];
  return [
    `ss -ltnp 'sport = :${port}'    # on that machine: who listens, Recv-Q connections wait, Send-Q may`,
    "nstat -az TcpExtListenOverflows    # on that machine: connections that found the queue full",
  ];
}
