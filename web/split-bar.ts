// A bar of three parts: how much of the time of calls was busy in the kernel, blocked, and ready to run without a CPU.
import { PART_WORDS, shareOf, type TimePart } from "../src/analysis/socket-blame.js";
import type { SocketTimes } from "../src/analysis/socket-sum.js";
import { el } from "./dom.js";
import { percent } from "./text.js";

const PARTS: readonly TimePart[] = ["busy", "blocked", "waiting"];

type PartTimes = Pick<SocketTimes, "busyNs" | "blockedNs" | "waitingNs">;

/** "busy in the kernel 62.0 %, blocked 38.0 %"; parts without time are left out. */
export const partsText = (times: PartTimes): string =>
  PARTS.filter((part) => shareOf(times, part) > 0)
    .map((part) => `${PART_WORDS[part]} ${percent(shareOf(times, part))}`)
    .join(", ") || "no time";

/** The drawing, with its text for who cannot see it. */
export function splitBar(times: PartTimes): HTMLElement {
  const text = partsText(times);
  return el(
    "span",
    { class: "split", role: "img", title: text, "aria-label": text },
    ...PARTS.map((part) => {
      const piece = el("span", { class: `part ${part}` });
      piece.style.width = `${100 * shareOf(times, part)}%`;
      return piece;
    }),
  );
}

/** What the colours mean. */
export const splitLegend = (): HTMLElement =>
  el(
    "ul",
    { class: "legend" },
    ...PARTS.map((part) => el("li", {}, el("span", { class: `swatch part ${part}` }), PART_WORDS[part])),
  );
