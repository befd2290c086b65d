// How many user stacks are whole, and what cut the others short: two lines of the summary.
import { type CutProgram, type UserStackCounts, userStackEnd } from "../model/user-stacks.js";
import { count, percent } from "./figures.js";
import { printable } from "./terminal.js";

/** Causes that are told; the others are in --json. */
const CAUSES = 4;

/** Of all sources together. @returns no line where there were none */
export function userStackLines({ total, truncated, ends, cutPrograms }: UserStackCounts): string[] {
  if (total === 0) return [];
  if (truncated === 0) return [`User stacks: all ${count(total)} are whole.`];
  const byEnd = new Map<number, number>();
  for (const { end, count: n } of ends) if (end !== 0) byEnd.set(end, (byEnd.get(end) ?? 0) + n);
  const sorted = [...byEnd].sort((a, b) => b[1] - a[1]);
  const others = sorted.slice(CAUSES).reduce((sum, [, n]) => sum + n, 0);
  const causes = sorted.slice(0, CAUSES).map(([end, n]) => `${userStackEnd(end)} ${percent(n / total)}`);
  if (others > 0) causes.push(`other causes ${percent(others / total)}`);
  return [
    `User stacks: ${shareBelowOne(1 - truncated / total)} of ${count(total)} are whole; cut short: ${causes.join(", ")}.`,
    ...cutProgramLine(cutPrograms),
  ];
}

/** Whose they are: programs by number of cut stacks, each with its reasons. */
function cutProgramLine(rows: readonly CutProgram[]): string[] {
  const byProgram = new Map<string, string[]>();
  for (const { name, pid, end, count: n } of rows) {
    const program = `${printable(name)}${pid === 0 ? "" : `[${pid}]`}`;
    byProgram.set(program, [...(byProgram.get(program) ?? []), `${userStackEnd(end)} ${count(n)}`]);
  }
  const programs = [...byProgram].map(([program, reasons]) => `${program} (${reasons.join(", ")})`);
  return programs.length === 0 ? [] : [`  Most of those cut short are of ${programs.join(", ")}.`];
}

// 99.96 % is not all of them
const shareBelowOne = (share: number): string => percent(Math.min(share, 0.999));
