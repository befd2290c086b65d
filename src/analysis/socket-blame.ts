// Where the time of socket calls goes: the parts, their names, their shares.
import type { SocketTimes } from "./socket-sum.js";

export type TimePart = "busy" | "blocked" | "waiting";

/** What each part of a call's time is called. */
export const PART_WORDS: Readonly<Record<TimePart, string>> = {
  busy: "busy in the kernel",
  blocked: "blocked",
  waiting: "ready to run, without a CPU",
};

type Parts = Pick<SocketTimes, "busyNs" | "blockedNs" | "waitingNs">;

export const shareOf = ({ busyNs, blockedNs, waitingNs }: Parts, part: TimePart): number => {
  const total = busyNs + blockedNs + waitingNs;
  return total > 0 ? { busy: busyNs, blocked: blockedNs, waiting: waitingNs }[part] / total : 0;
};

/** The largest part; null where no time was spent. */
export function mainPart({ busyNs, blockedNs, waitingNs }: Parts): TimePart | null {
  if (busyNs + blockedNs + waitingNs <= 0) return null;
  if (busyNs >= blockedNs && busyNs >= waitingNs) return "busy";
  return blockedNs >= waitingNs ? "blocked" : "waiting";
}
