// Processes whose sockets only grow: they open more and more and close hardly any, for the whole recording. Where such a process
// also leaves connections in CLOSE-WAIT, the finding about those tells both.
import { errnoName } from "../../model/errno.js";
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import type { Finding } from "../finding.js";
import { type Growth, growths, leftOpen } from "../socket-growth.js";
import { percent, shown, time } from "../text.js";
import { SOCKET_GROWTH } from "../thresholds.js";

/** Findings "sockets-growing", the fastest growth first. */
export function growingSockets(profile: Profile): Finding[] {
  const toldThere = new Set(leftOpen(profile).map(({ process }) => process));
  return growths(profile)
    .filter(({ process }) => !toldThere.has(process))
    .map((growth) => finding(profile, growth));
}

function finding(profile: Profile, growth: Growth): Finding {
  const { process, opened, closed, more, counted, spanSeconds, risingShare, ended, grewNs } = growth;
  const row = profile.processes[process]!;
  const name = `${shown(row.comm)} (pid ${row.pid})`;
  const rate = (more / (grewNs / 1e9)).toFixed(1);
  const waiting = profile.final?.tcpCounters?.closeWaitAtEnd ?? 0;
  const closeWait =
    waiting > 0
      ? ` At the end ${waiting.toLocaleString("en-US")} connections of the machine were in CLOSE-WAIT: closed by the other side and not by this one.`
      : "";
  const failed = ended ? ranOut(profile, process) : 0;
  return {
    rule: "sockets-growing",
    severity: ended && failed === 0 ? "info" : "warning",
    title: `${name} opens sockets and does not close ${closed > opened * SOCKET_GROWTH.closedShare ? "all of " : ""}them: ${more.toLocaleString("en-US")} more in ${time(grewNs)}, ${rate} a second${ended ? ", and has ended" : ""}`,
    detail: `It opened ${opened.toLocaleString("en-US")} sockets and closed ${closed.toLocaleString("en-US")}${counted === "descriptors" ? ", its open descriptors became more" : ""}, and the number rose in ${percent(risingShare)} of all ${spanSeconds === 1 ? "seconds" : `spans of ${spanSeconds} s`}. ${sense(ended, failed)}${closeWait}`,
    share: ratio(more / Math.max(1, opened)),
    culprit: name,
    contributors: [],
    next: ended
      ? [
          'Where it should still run: look in its log for "Too many open files" (EMFILE), and with dmesg whether it was killed for its memory.',
          "Record it when it runs again: a leak grows until it ends, a client that was done had them all at work.",
        ]
      : [
          `ls /proc/${row.pid}/fd | wc -l; grep 'open files' /proc/${row.pid}/limits    # how many it has, and how many it may have`,
          `ss -tnp | grep 'pid=${row.pid},' | awk '{print $1, $5}' | sort | uniq -c | sort -rn | head    # states and other ends`,
          `ss -tnp state close-wait | grep 'pid=${row.pid},'    # the other side has closed these, the process has not`,
          "Record again later: a leak goes on, a warm-up does not.",
        ],
    tab: "sockets",
  };
}

/** How many calls of a process failed for want of descriptors or memory. */
function ranOut(profile: Profile, process: number): number {
  const errors = (profile.final?.callTotals ?? [])
    .filter((row) => profile.processes[row.process]?.id === process)
    .flatMap(({ byError }) => byError)
    .filter(({ errno }) => FOR_WANT.has(errnoName(errno)));
  return errors.reduce((sum, { count }) => sum + count, 0);
}

const FOR_WANT: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOMEM"]);

function sense(ended: boolean, failed: number): string {
  if (!ended)
    return "Either its load grows, or it forgets connections; then it will run out of descriptors (EMFILE) or memory.";
  if (failed > 0)
    return `${failed.toLocaleString("en-US")} of its calls failed for want of descriptors (EMFILE, ENFILE) or memory (ENOMEM), and it has ended: it forgot connections until there was no room for more.`;
  return "It has ended, and the kernel has closed them with it. No call of it failed for want of descriptors (EMFILE) or memory: a client whose load grew until it was done looks like that; so does a leak that was killed, or that was restarted in time.";
}
