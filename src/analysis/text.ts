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

/** A name from the machine (process, symbol, program) on one line of at most 100 characters. */
export function shown(name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a name may hold terminal escapes; they must not get out.
  const line = name.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, "?");
  return line.length > 100 ? `${line.slice(0, 97)}...` : line;
}

/** Severity of a number, undefined when it is below both thresholds. */
export function graded(value: number, limits: { warning: number; critical: number }): Severity | undefined {
  if (value >= limits.critical) return "critical";
  return value >= limits.warning ? "warning" : undefined;
}
