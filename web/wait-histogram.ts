// A histogram of waits or calls: one bar a bucket, two bars an octave, with counts on one axis and lengths on the other.
import { bucketBounds } from "../src/model/histogram.js";
import { el } from "./dom.js";
import { duration } from "./text.js";

/** More labels than this would run into each other. */
const MOST_LABELS = 8;

export interface HistogramBar {
  readonly lowNs: number;
  /** Infinity for the last bucket, which holds all longer waits. */
  readonly highNs: number;
  readonly waits: number;
}

/** Bars from the shortest to the longest bucket that holds anything, empty ones between them included. */
export function barsOf(buckets: ArrayLike<number>): HistogramBar[] {
  let first = 0;
  let last = buckets.length - 1;
  while (first <= last && !(buckets[first]! > 0)) first++;
  while (last >= first && !(buckets[last]! > 0)) last--;
  return Array.from({ length: last - first + 1 }, (_, index) => {
    const { low, high } = bucketBounds(first + index);
    return { lowNs: low, highNs: high, waits: buckets[first + index]! };
  });
}

/** What is counted: one, many, and the line above the drawing. */
export interface HistogramWords {
  readonly one: string;
  readonly many: string;
  readonly caption: string;
}

const WAITS: HistogramWords = {
  one: "wait",
  many: "waits",
  caption: "Number of waits by their length (two bars for each doubling)",
};

const countOf = (number: number, { one, many }: HistogramWords): string =>
  `${number.toLocaleString("en-US")} ${number === 1 ? one : many}`;

/** How long the waits of a bar took. */
const span = ({ lowNs, highNs }: HistogramBar): string =>
  Number.isFinite(highNs) ? `${duration(lowNs)} to ${duration(highNs)}` : `${duration(lowNs)} and longer`;

/** The drawing; a sentence where there are no waits. */
export function waitHistogram(buckets: ArrayLike<number>, words: HistogramWords = WAITS): HTMLElement {
  const count = (number: number): string => countOf(number, words);
  const bars = barsOf(buckets);
  const highest = bars.reduce((a, b) => (b.waits > a.waits ? b : a), { lowNs: 0, highNs: 0, waits: 0 });
  if (highest.waits === 0)
    return el("p", { class: "quiet" }, `How long its ${words.many} took is not known.`);
  const every = Math.ceil(bars.length / MOST_LABELS);
  const total = bars.reduce((sum, bar) => sum + bar.waits, 0);
  return el(
    "figure",
    { class: "histogram" },
    el("figcaption", {}, words.caption),
    el(
      "div",
      {
        class: "plot",
        role: "img",
        "aria-label": `Histogram of ${count(total)}, from ${duration(bars[0]!.lowNs)} on. Most, ${count(highest.waits)}, took ${span(highest)}.`,
      },
      el("div", { class: "y-axis" }, el("span", {}, count(highest.waits)), el("span", {}, "0")),
      el("div", { class: "bars" }, ...bars.map((bar) => barElement(bar, highest.waits, words))),
      el(
        "div",
        { class: "x-axis" },
        ...bars.map((bar, index) =>
          el("span", {}, index % every === 0 ? el("span", {}, duration(bar.lowNs)) : null),
        ),
      ),
    ),
  );
}

function barElement(bar: HistogramBar, highest: number, words: HistogramWords): HTMLElement {
  const fill = el("span", { class: bar.waits > 0 ? "bar" : undefined });
  fill.style.height = `${(100 * bar.waits) / highest}%`;
  return el("div", { title: `${span(bar)}: ${countOf(bar.waits, words)}` }, fill);
}
