// What is shown while a recording runs: a bar on a terminal, one line every few seconds elsewhere, nothing with -q.
import cliProgress from "cli-progress";
import type { LiveCounts } from "../capture/binding.js";
import { count, duration } from "./figures.js";
import { type TextStream, widthOf } from "./terminal.js";

const BAR_INTERVAL_MS = 100;
const LINE_INTERVAL_MS = 5_000;

export type ProgressStyle = "bar" | "lines" | "none";

export interface ProgressOptions {
  readonly stream: TextStream;
  readonly style: ProgressStyle;
  /** Undefined when the end is not known (a command runs). */
  readonly totalMs: number | undefined;
  readonly counts: () => LiveCounts;
}

export interface Progress {
  /** Ends the drawing; the cursor is back. May be called again. */
  stop(): void;
}

/** Shows progress from now on, until `stop`. */
export function showProgress(options: ProgressOptions): Progress {
  if (options.style === "none") return { stop: () => {} };
  const started = performance.now();
  return options.style === "bar" && options.totalMs !== undefined
    ? drawBar(options, options.totalMs, started)
    : writeLines(options, started);
}

/** The text beside the bar and in the lines. */
export function progressText(elapsedMs: number, totalMs: number | undefined, counts: LiveCounts): string {
  const seconds = (value: number) => `${Math.floor(value / 1_000)} s`;
  const left = totalMs === undefined ? undefined : Math.max(0, totalMs - elapsedMs);
  const time =
    left === undefined || totalMs === undefined
      ? `${seconds(elapsedMs)} recorded`
      : left === 0
        ? "finishing"
        : `${duration(Math.ceil(left / 1_000) * 1e9)
            .replace(".00", "")
            .replace(".0", "")} left`;
  const lost = counts.lost > 0 ? `, ${count(counts.lost)} lost` : "";
  return `${time}, ${count(counts.samples)} samples, ${count(counts.stacks)} stacks${lost}`;
}

function drawBar(options: ProgressOptions, totalMs: number, started: number): Progress {
  const bar = new cliProgress.SingleBar({
    stream: options.stream as NodeJS.WriteStream,
    format: "recording [{bar}] {text}",
    barsize: Math.max(10, Math.min(30, widthOf(options.stream) - 60)),
    barCompleteChar: "=",
    barIncompleteChar: " ",
    hideCursor: true,
    clearOnComplete: true,
    linewrap: false,
    // Our own signal handling stops the bar: two handlers would fight over the first Ctrl-C.
    gracefulExit: false,
  });
  const draw = () => {
    const elapsed = performance.now() - started;
    bar.update(Math.min(totalMs, elapsed), { text: progressText(elapsed, totalMs, options.counts()) });
  };
  bar.start(totalMs, 0, { text: progressText(0, totalMs, options.counts()) });
  const timer = setInterval(draw, BAR_INTERVAL_MS);
  return {
    stop: () => {
      clearInterval(timer);
      bar.stop();
    },
  };
}

function writeLines(options: ProgressOptions, started: number): Progress {
  const timer = setInterval(() => {
    const text = progressText(performance.now() - started, options.totalMs, options.counts());
    options.stream.write(`lowflame: ${text}\n`);
  }, LINE_INTERVAL_MS);
  return { stop: () => clearInterval(timer) };
}
