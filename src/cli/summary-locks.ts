// The part of the summary about kernel locks: the worst five. Pure.
import { duration, percent, plural } from "./figures.js";
import type { LocksJson } from "./json.js";
import { type Palette, printable } from "./terminal.js";

const LOCK_ROWS = 5;

/** @returns lines without their ends, none wider than `width` characters where that can be */
export function lockLines(locks: LocksJson, palette: Palette, width: number): string[] {
  if (locks.locks.length === 0) return ["", "Kernel locks: nobody waited for one."];
  const rows = locks.locks.slice(0, LOCK_ROWS);
  const all = `${plural(locks.waits, "wait")} for ${plural(locks.lockCount, "lock")}, ${duration(locks.sumNs)}`;
  const estimated = locks.exact ? "" : ", estimated from samples";
  const title = `Kernel locks: ${rows.length < locks.lockCount ? "the worst five of " : ""}${all}${estimated}`;
  const lines = ["", palette.bold(title), palette.dim("    total       p99   longest  lock, kind, waits")];
  for (const row of rows) {
    // A cut capture has no histogram: 0 stands for not known.
    const p99 = row.p99Ns > 0 ? duration(row.p99Ns) : "-";
    const times = [duration(row.sumNs), p99, duration(row.maxNs)].map((text) => text.padStart(9)).join(" ");
    const kind = row.kind === null || row.name.startsWith(row.kind) ? "" : `, ${row.kind}`;
    const tail = `${kind}, ${plural(row.waits, "wait")}`;
    lines.push(`${times}  ${printable(row.name, Math.max(20, width - 31 - tail.length))}${tail}`);
    const [caller] = row.callers;
    const [owner] = row.owners;
    const who = [
      ...(caller ? [`wanted in ${caller.name} (${percent(caller.share)})`] : []),
      ...(owner ? [`held by ${owner.name} (${percent(owner.share)})`] : []),
    ].join(", ");
    if (who !== "") lines.push(`${" ".repeat(31)}${printable(who, Math.max(20, width - 31))}`);
  }
  return lines;
}
