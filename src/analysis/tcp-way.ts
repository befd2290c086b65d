// Whether the way to an end is slow or the program there: a connection is established by the kernel at the other end, without
// its program, so the time to connect is that of the way (and of the queue of the socket that listens there).
import type { Turns } from "./socket-sum.js";
import { type TcpSummary, timedConnects } from "./tcp-sum.js";
import { time } from "./text.js";
import { WAY } from "./thresholds.js";

export interface WayThere {
  /** What is slow; undefined where it cannot be told. */
  readonly blame?: "program" | "way";
  /** For a title, to be put behind it; "" where it cannot be told. */
  readonly short: string;
  /** Whole sentences with the figures; "" where there are none. */
  readonly text: string;
}

/**
 * @param end answers of an end that was found to be slow
 * @param tail whether it is slow once in a hundred answers only
 * @param sure whether the program there is slow where the way is not; else it may be meant to wait, or waits itself
 */
export function wayThere(end: Turns, tcp: TcpSummary | undefined, tail: boolean, sure: boolean): WayThere {
  if (tcp === undefined) return { short: "", text: "" };
  const again = `${tcp.retransmits.toLocaleString("en-US")} ${tcp.retransmits === 1 ? "segment" : "segments"} had to be sent again`;
  const lost =
    tcp.retransmits >= WAY.minRetransmits && tcp.retransmits >= end.turns * WAY.retransmitsAnAnswer.many;
  const timed = timedConnects(tcp);
  if (timed < WAY.minConnects)
    return lost
      ? {
          blame: "way",
          short: `; the way there loses packets (${again})`,
          text: `${again}: the way there loses packets. How long it takes is not known, since hardly any connection was opened during the recording.`,
        }
      : {
          short: "",
          text: `Whether it is the other side or the way there is not known, since hardly any connection to it was opened during the recording; ${again}.`,
        };
  const [connect, answer] = tail ? [tcp.connectP99Ns, end.turnP99Ns] : [tcp.connectP50Ns, end.turnP50Ns];
  const seen = `To connect takes ${time(tcp.connectP50Ns)} (p99 ${time(tcp.connectP99Ns)}, ${timed.toLocaleString("en-US")} connections, of whichever program), and ${again}`;
  if (lost || connect >= answer * WAY.connectShare.slow)
    return {
      blame: "way",
      short: `; the way there is slow (connects in ${time(connect)}, ${again})`,
      text: `${seen}: the way there is slow or loses packets, or the queue of the socket that listens there is full. The program there may be quick.`,
    };
  if (
    connect <= answer * WAY.connectShare.quick &&
    tcp.retransmits <= end.turns * WAY.retransmitsAnAnswer.few
  )
    return {
      blame: "program",
      short: `; the way there is quick (connects in ${time(connect)}), so the program there ${sure ? "is slow" : "takes the time"}`,
      text: `${seen}: the kernel at the other end answers at once, so the program there ${sure ? "is slow" : "takes the time"} and the way is not.`,
    };
  return { short: "", text: `${seen}. That leaves open whether the other side is slow or the way there.` };
}
