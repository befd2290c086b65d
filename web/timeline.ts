// Calls over the recording: one lane a program, one bar a call from its beginning to its end, coloured by where most of its
// time went.
import { mainPart } from "../src/analysis/socket-blame.js";
import type { CallSeen } from "../src/analysis/socket-calls.js";
import { el } from "./dom.js";
import { partsText } from "./split-bar.js";
import { clip, duration, visible } from "./text.js";

/** More lanes than this are one lane of the others. */
const MOST_LANES = 12;
const MARKS = 5;

export interface Lane {
  readonly name: string;
  readonly calls: readonly CallSeen[];
}

/** Lanes of programs, the one with most slow time first. */
export function lanesOf(calls: readonly CallSeen[]): Lane[] {
  const byName = new Map<string, CallSeen[]>();
  for (const call of calls) {
    const lane = byName.get(call.comm);
    if (lane === undefined) byName.set(call.comm, [call]);
    else lane.push(call);
  }
  const spent = (lane: Lane): number => lane.calls.reduce((sum, { durationNs }) => sum + durationNs, 0);
  const lanes = [...byName]
    .map(([name, calls]): Lane => ({ name, calls }))
    .sort((a, b) => spent(b) - spent(a));
  if (lanes.length <= MOST_LANES) return lanes;
  const rest = lanes.slice(MOST_LANES - 1);
  return [
    ...lanes.slice(0, MOST_LANES - 1),
    { name: `${rest.length} other programs`, calls: rest.flatMap(({ calls }) => calls) },
  ];
}

/** Place of a call on the line, in percent of the recording's length; within it whatever a damaged capture says. */
export function placeOf(
  { startNs, endNs }: Pick<CallSeen, "startNs" | "endNs">,
  lengthNs: number,
): { left: number; width: number } {
  const at = (value: number): number =>
    lengthNs > 0 ? Math.min(100, Math.max(0, (100 * value) / lengthNs)) : 0;
  const left = at(startNs);
  return { left, width: Math.max(0, at(endNs) - left) };
}

export class Timeline {
  readonly element = el("figure", { class: "timeline" });
  #bars: { call: CallSeen; bar: HTMLElement }[] = [];

  /** @param onCall gets the call that was clicked */
  constructor(
    readonly lengthNs: number,
    readonly onCall: (call: CallSeen) => void,
  ) {}

  show(calls: readonly CallSeen[]): void {
    this.#bars = [];
    this.element.hidden = calls.length === 0;
    this.element.replaceChildren(
      el("figcaption", {}, "When they were: each bar is a call, from its beginning to its end"),
      ...lanesOf(calls).map((lane) => this.#lane(lane)),
      el(
        "div",
        { class: "marks", "aria-hidden": "true" },
        ...Array.from({ length: MARKS + 1 }, (_, mark) =>
          el("span", {}, duration((this.lengthNs * mark) / MARKS)),
        ),
      ),
    );
  }

  markChosen(chosen: CallSeen | undefined): void {
    for (const { call, bar } of this.#bars) bar.classList.toggle("chosen", call === chosen);
  }

  #lane({ name, calls }: Lane): HTMLElement {
    const line = el("div", {
      class: "line",
      role: "img",
      "aria-label": `${calls.length} calls of ${visible(name)}; the table below lists them`,
    });
    for (const call of calls) {
      const bar = el("span", {
        class: `part ${mainPart(call) ?? "blocked"}`,
        title: `${call.call} of ${clip(visible(call.comm), 60)}, ${duration(call.durationNs)}: ${partsText(call)}`,
      });
      const { left, width } = placeOf(call, this.lengthNs);
      bar.style.left = `${left}%`;
      bar.style.width = `${width}%`;
      bar.addEventListener("click", () => this.onCall(call));
      this.#bars.push({ call, bar });
      line.append(bar);
    }
    return el("div", { class: "lane" }, el("span", { class: "lane-name" }, clip(visible(name), 24)), line);
  }
}
