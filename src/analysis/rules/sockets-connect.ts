// Connections that this side opens: ends that do not answer, ends at which they fail, and those at which they are established a second
// late.
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import type { Finding, Severity } from "../finding.js";
import { notSelf } from "../lock-summary.js";
import { inNetwork, ssCommand } from "../socket-advice.js";
import { connectsFrom, ownersText, type TcpSummary, timedConnects, unanswered } from "../tcp-sum.js";
import { tcpSummaries } from "../tcp-summary.js";
import { graded, percent, shown, time } from "../text.js";
import { CONNECT_FAILING, CONNECT_SLOW, UNFINISHED } from "../thresholds.js";

/** Findings "connect-unanswered", "connect-failing" and "connect-slow", of each the worst ends first. An end is silent or fails. */
export function connectFindings(profile: Profile): Finding[] {
  const rows = tcpSummaries(profile, notSelf(profile)).filter(({ role }) => role === "remote");
  const silent = rows
    .map((row) => ({ row, severity: silentSeverity(row) }))
    .filter(({ severity }) => severity !== undefined)
    .sort((a, b) => unanswered(b.row) - unanswered(a.row));
  const failing = rows
    .filter((row) => !silent.some((each) => each.row === row))
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
  return [
    ...silent
      .slice(0, CONNECT_FAILING.maxFindings)
      .map(({ row, severity }) => silentFinding(profile, row, severity!)),
    ...failing.slice(0, CONNECT_FAILING.maxFindings),
    ...slow.slice(0, CONNECT_SLOW.maxFindings),
  ];
}

const number = (value: number): string => value.toLocaleString("en-US");
const failedShare = ({ connects, connectsFailed }: TcpSummary): number =>
  connectsFailed > 0 ? connectsFailed / (connects + connectsFailed) : 0;

const failingSeverity = (row: TcpSummary): Severity | undefined =>
  severityOf(row.connectsFailed, failedShare(row));

function severityOf(failed: number, share: number): Severity | undefined {
  const reaches = (limit: { failed: number; share: number }): boolean =>
    failed >= limit.failed && share >= limit.share;
  if (reaches(CONNECT_FAILING.critical)) return "critical";
  return reaches(CONNECT_FAILING.warning) || reaches(CONNECT_FAILING.fewest) ? "warning" : undefined;
}

/** All that were begun and have an end, or should have one by now. */
const tried = ({ connects, connectsFailed, connectingUnanswered }: TcpSummary): number =>
  connects + connectsFailed + connectingUnanswered;

/** One or two that are the only ones are worth knowing once the oldest has waited longer than any healthy answer takes. */
function silentSeverity(row: TcpSummary): Severity | undefined {
  const share = unanswered(row) / Math.max(1, tried(row));
  const severity = severityOf(unanswered(row), share);
  if (severity !== undefined) return severity;
  const old = row.connectingUnanswered > 0 && row.connectingMaxNs >= UNFINISHED.warningNs;
  return old && share >= CONNECT_FAILING.fewest.share ? "info" : undefined;
}

function silentFinding(profile: Profile, row: TcpSummary, severity: Severity): Finding {
  const { name, connects, connectsUnanswered, connectingUnanswered, connectingMaxNs } = row;
  const again = Math.max(row.retransmits, row.connectingSentAgain);
  const waiting =
    connectingUnanswered > 0
      ? `${connectsText(connectingUnanswered)} waiting for up to ${time(connectingMaxNs)}`
      : "";
  const ended = connectsUnanswered > 0 ? `${number(connectsUnanswered)} were given up` : "";
  const ss = ssCommand(profile.endpoints[row.endpoint]);
  const established =
    connects === 0 ? "None was established in the recording" : `${number(connects)} were established`;
  return {
    rule: "connect-unanswered",
    severity,
    title: `${name} does not answer connection requests of ${users(row)}: ${[waiting, ended].filter((part) => part !== "").join(", ")}`,
    detail: `${established}, and requests were sent again ${number(again)} times: the machine there is down, a firewall or the way swallows packets, or the queue of the socket that listens there is full.${elsewhere(profile, row)} A request that is being answered meanwhile waits until the program gives up; where connects do not block, no call shows it and no time of an answer has it.`,
    share: ratio(unanswered(row) / Math.max(1, tried(row))),
    culprit: name,
    contributors: [],
    next: [
      ...(ss === undefined
        ? []
        : [`${ss.replace(" dst ", " -o state syn-sent dst ")}    # requests on their way, with the timer`]),
      ...there(profile, row),
      "See on that machine whether the requests come (tcpdump 'tcp[tcpflags] & tcp-syn != 0'): if not, a firewall or the way drops them.",
      "Take it out of the pool, or let the program give up sooner (nginx: proxy_connect_timeout, haproxy: timeout connect).",
    ],
    tab: "sockets",
  };
}

const connectsText = (count: number): string =>
  count === 1 ? "1 connect has been" : `${number(count)} connects have been`;

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
    detail: `${why(row)}${elsewhere(profile, row)} Each failed attempt costs the request that waits for it a refusal or the whole timeout.`,
    share: ratio(failedShare(row)),
    culprit: name,
    contributors: [],
    next: [...there(profile, row), ...(ss === undefined ? [] : [`${ss}    # those that are established`])],
    tab: "sockets",
  };
}

/** Whose network it is, where the same address means another end here. */
function elsewhere(profile: Profile, { endpoint }: TcpSummary): string {
  const network = profile.endpoints[endpoint]?.network ?? 0;
  return network > 0
    ? ` It is tried from network namespace ${network}, such as a container's: the same address is another end elsewhere.`
    : "";
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
  const end = profile.endpoints[endpoint];
  if (end === undefined) return [];
  const { port } = end;
  // a loopback address is in the same network namespace, whoever asks
  const where = /^(?:127\.|::1$)/.test(end.address) ? inNetwork(end.network) : "";
  return [
    `${where}ss -ltnp 'sport = :${port}'    # on that machine: who listens, Recv-Q connections wait, Send-Q may`,
    `${where}nstat -az TcpExtListenOverflows    # on that machine: connections that found the queue full`,
  ];
}
