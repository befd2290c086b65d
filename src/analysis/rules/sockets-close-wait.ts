// Connections that the other side closed and the process never does: in CLOSE-WAIT for the whole recording.
import type { CloseWaitRow } from "../../capture/binding.js";
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import { endpointNames } from "../endpoint-names.js";
import type { Finding } from "../finding.js";
import { descriptorCommand } from "../socket-advice.js";
import { type Growth, growths, type LeftOpen, leftOpen } from "../socket-growth.js";
import { shown, time } from "../text.js";
import { CLOSE_WAIT } from "../thresholds.js";

/** Findings "close-wait", most connections first. */
export function closeWaits(profile: Profile): Finding[] {
  const found = leftOpen(profile).slice(0, CLOSE_WAIT.maxFindings);
  if (found.length === 0) return [];
  const growing = new Map(growths(profile).map((growth) => [growth.process, growth]));
  return found.map((left) => finding(profile, left, growing.get(left.process)));
}

const number = (value: number): string => value.toLocaleString("en-US");

/** @param grown how its open sockets grew for the whole recording; undefined where they did not grow all the time */
function finding(profile: Profile, { process, count, rows }: LeftOpen, grown: Growth | undefined): Finding {
  const nameOf = endpointNames(profile);
  const row = profile.processes[process];
  const who = row === undefined ? undefined : `${shown(row.comm)} (pid ${row.pid})`;
  const most = rows[0]!;
  const where = nameOf(most.endpoint);
  const lasted = time(profile.durationNs);
  const atEnd = profile.final?.tcpCounters?.closeWaitAtEnd ?? 0;
  const growth =
    grown !== undefined
      ? ` Its open sockets grow as well, by ${number(grown.more)} in ${time(grown.grewNs)}: it will run out of descriptors (EMFILE) or memory.`
      : " Each keeps a descriptor and memory; if it goes on, descriptors run out (EMFILE).";
  const young =
    atEnd > count ? ` At the end ${number(atEnd)} connections of the machine were in this state.` : "";
  const descriptor = most.fd >= 0 ? `, one of them is descriptor ${most.fd}` : "";
  return {
    rule: "close-wait",
    severity: count >= CLOSE_WAIT.warning || grown !== undefined ? "warning" : "info",
    title:
      who === undefined
        ? `${number(count)} connections that the other side has closed stay open (CLOSE-WAIT) for the whole ${lasted}, and no process was found that has them`
        : `${who} does not close ${number(count)} connections that the other side has closed (CLOSE-WAIT), for the whole ${lasted}`,
    detail: `They were in CLOSE-WAIT when the recording began and when it ended, most of them at ${where.name} (${number(most.count)}${descriptor}). ${who === undefined ? "Often such connections wait in the queue of a listening socket whose program does not accept them." : "The other side said goodbye, and the program has neither read that nor closed; or it is itself stuck and does not come round to it."}${growth}${young}`,
    culprit: who ?? where.name,
    contributors: rows.slice(0, 8).map((each) => contributor(each, nameOf(each.endpoint).name, count)),
    next: [
      ...(row === undefined
        ? [
            "ss -tnp state close-wait",
            "ss -ltnp | awk 'NR == 1 || $2 >= $3'    # queues of listening sockets that are full",
          ]
        : [`ss -tnp state close-wait | grep 'pid=${row.pid},'    # who the other sides are`]),
      ...(row !== undefined && most.fd >= 0 ? [descriptorCommand(row.pid, most.fd)] : []),
      "Read in the program what follows when read or recv returns 0, and each early return after an error: it must close the descriptor there.",
      where.role === "remote"
        ? "If they are idle connections of a pool: let the pool drop them before the server does (its idle timeout shorter than the server's keep-alive), and test them before use."
        : "Set timeouts for connections on which nothing happens: keepalive_timeout in nginx, timeout client and timeout http-keep-alive in haproxy, timeout in redis.",
    ],
    tab: "sockets",
  };
}

const contributor = (
  { count }: CloseWaitRow,
  name: string,
  all: number,
): Finding["contributors"][number] => ({
  name: `${name}: ${number(count)}`,
  share: ratio(count / all),
});
