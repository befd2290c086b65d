// Processes whose sockets only grow: they open more and more and close hardly any, for the whole recording. Where such a process
// also leaves connections in CLOSE-WAIT, the finding about those tells both.
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
  return {
    rule: "sockets-growing",
    severity: "warning",
    title: `${name} opens sockets and does not close ${closed > opened * SOCKET_GROWTH.closedShare ? "all of " : ""}them: ${more.toLocaleString("en-US")} more in ${time(grewNs)}, ${rate} a second${ended ? ", and has ended" : ""}`,
    detail: `It opened ${opened.toLocaleString("en-US")} sockets and closed ${closed.toLocaleString("en-US")}${counted === "descriptors" ? ", its open descriptors became more" : ""}, and the number rose in ${percent(risingShare)} of all ${spanSeconds === 1 ? "seconds" : `spans of ${spanSeconds} s`}. Either its load grows, or it forgets connections; ${ended ? "it has ended, as a process may that ran out of descriptors (EMFILE) or memory" : "then it will run out of descriptors (EMFILE) or memory"}.${closeWait}`,
    share: ratio(more / Math.max(1, opened)),
    culprit: name,
    contributors: [],
    next: ended
      ? [
          'Look in its log for "Too many open files" (EMFILE), and with dmesg whether it was killed for its memory.',
          "Record its successor: a leak comes again, a program that was done does not.",
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
