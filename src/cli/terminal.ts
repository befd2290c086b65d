// Where the command line talks to: two streams, what may be coloured on them, and readers that go away early.
import type { Writable } from "node:stream";
import pico from "picocolors";
import { escaped } from "../analysis/text.js";

/** A stream that may be a terminal. */
export type TextStream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

export interface Terminal {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface Palette {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly green: (text: string) => string;
}

export const PLAIN: Palette = pico.createColors(false);

/** Colours for one stream: NO_COLOR (no-color.org) wins, then FORCE_COLOR, then only a terminal that can. */
export function paletteFor(stream: TextStream, env: Terminal["env"]): Palette {
  return pico.createColors(wantsColour(stream, env));
}

function wantsColour(stream: TextStream, env: Terminal["env"]): boolean {
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== "") return env.FORCE_COLOR !== "0";
  return stream.isTTY === true && env.TERM !== "dumb";
}

/**
 * Keeps the process alive when a reader goes away (`| head`) or the terminal does (SIGHUP): the files that are being
 * written matter more than the text. Other errors of the streams are real and still thrown.
 */
export function tolerateClosedStreams(terminal: Pick<Terminal, "stdout" | "stderr">): void {
  for (const stream of [terminal.stdout, terminal.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE" && error.code !== "EIO" && error.code !== "ERR_STREAM_DESTROYED")
        throw error;
    });
  }
}

/**
 * Makes text from outside (process names, symbols, paths) safe for a terminal: control characters and the marks that
 * reorder text are shown as \xNN or \u{NNNN}; what is longer than `limit` characters is cut in its middle.
 */
export function printable(text: string, limit = 200): string {
  const shown = escaped(text);
  if (shown.length <= limit) return shown;
  const half = Math.floor((limit - 1) / 2);
  return `${shown.slice(0, half)}…${shown.slice(-half)}`;
}

/** The first of several forms of a line that is short enough, the last where none is; made safe as by `printable`. */
export function firstThatFits(forms: readonly string[], width: number): string {
  const safe = forms.map((form) => printable(form, Number.POSITIVE_INFINITY));
  return safe.find((form) => form.length <= width) ?? safe.at(-1)!;
}

/** Width of a terminal in characters; 100 where there is none. */
export const widthOf = (stream: TextStream): number =>
  stream.isTTY && stream.columns ? Math.max(40, stream.columns) : 100;

/** How a failure is told: a sentence and what to do, made safe, since it may repeat a file name. */
export function problemText(problem: { readonly message: string; readonly hint: string }): string {
  const hint = problem.hint ? `  ${printable(problem.hint, 4_096)}\n` : "";
  return `lowflame: ${printable(problem.message, 4_096)}\n${hint}`;
}
