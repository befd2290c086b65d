// How many user stacks are whole, and what cut the others short: one line of the summary.
import { USER_STACK_ENDS, type UserStackFacts } from "../capture/binding.js";
import { count, percent } from "./figures.js";

/** Causes that are told; the others are in --json. */
const CAUSES = 4;

/** Of walks by unwind tables, all sources together. @returns no line where there were none */
export function userStackLines(facts: UserStackFacts): string[] {
  const byEnd = new Map<number, number>();
  for (const { end, count: n } of facts.ends) byEnd.set(end, (byEnd.get(end) ?? 0) + n);
  const total = [...byEnd.values()].reduce((sum, n) => sum + n, 0);
  if (total === 0) return [];
  const whole = byEnd.get(0) ?? 0;
  if (whole === total) return [`User stacks: all ${count(total)} walked are whole.`];
  const causes = [...byEnd]
    .filter(([end, n]) => end !== 0 && n > 0)
    .sort((a, b) => b[1] - a[1])
    .slice(0, CAUSES)
    .map(([end, n]) => `${userStackEnd(end)} ${percent(n / total)}`);
  return [
    `User stacks: ${shareBelowOne(whole / total)} of ${count(total)} walked are whole; cut short: ${causes.join(", ")}.`,
  ];
}

/** Name of an end; a newer version may know more. */
export const userStackEnd = (end: number): string => USER_STACK_ENDS[end] ?? `end ${end}`;

// 99.96 % is not all of them
const shareBelowOne = (share: number): string => percent(Math.min(share, 0.999));
