// How numbers and names are put into findings: one line, a fixed number of digits, nothing that breaks a terminal.
import type { Severity } from "./finding.js";

/** 0.3119 -> "31.2 %". */
export function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** Nanoseconds with a unit that leaves one to three digits before the point: 1234567 -> "1.2 ms". */
export function time(ns: number): string {
  const units: readonly [number, string][] = [
    [1e9, "s"],
    [1e6, "ms"],
    [1e3, "us"],
  ];
  for (const [size, unit] of units) if (ns >= size) return `${(ns / size).toFixed(1)} ${unit}`;
  return `${Math.round(ns)} ns`;
}

/** Text from outside without anything that acts on a terminal: control characters and the marks that reorder text as \xNN or \u{NNNN}. */
export function escaped(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

const MAX_SHOWN = 100;
const CUT = "...";

/** A name from the machine (process, symbol, program) on one line of at most 100 characters. */
export function shown(name: string): string {
  const line = escaped(name);
  return line.length > MAX_SHOWN ? line.slice(0, MAX_SHOWN - CUT.length) + CUT : line;
}

/** What finds a function in the page by its name as `shown` wrote it: exactly that one, or where it was cut its beginning. */
export const searchFor = (name: string): string =>
  name.length === MAX_SHOWN && name.endsWith(CUT) ? name.slice(0, -CUT.length) : `=${name}`;

/** Severity of a number, undefined when it is below both thresholds. */
export function graded(value: number, limits: { warning: number; critical: number }): Severity | undefined {
  if (value >= limits.critical) return "critical";
  return value >= limits.warning ? "warning" : undefined;
}
