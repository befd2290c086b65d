// The part of the summary about locks, kernel locks and user locks: the worst five of each. Pure.
import { OWNERS_KNOWN } from "../analysis/thresholds.js";
import { shortName } from "../model/short-name.js";
import { duration, percent, plural } from "./figures.js";
import type { FutexJson, LockJson, LocksJson, UserLockJson } from "./json.js";
import { type Palette, printable } from "./terminal.js";

const LOCK_ROWS = 5;
/** Width of the three columns of times. */
const INDENT = 31;

/** @returns lines without their ends, none wider than `width` characters where that can be */
export function lockLines(locks: LocksJson, palette: Palette, width: number): string[] {
  if (locks.locks.length === 0) return ["", "Kernel locks: nobody waited for one."];
  return [
    ...headLines("Kernel locks", locks, palette),
    ...locks.locks.slice(0, LOCK_ROWS).flatMap((row) => {
      const kind = row.kind === null || row.name.startsWith(row.kind) ? "" : `, ${row.kind}`;
      return rowLines(row, `${kind}, ${plural(row.waits, "wait")}`, width);
    }),
  ];
}

/** The same of user locks; condition variables and idle waits are only counted. */
export function userLockLines(futex: FutexJson, palette: Palette, width: number): string[] {
  const { conditions } = futex;
  const apart =
    conditions.lockCount === 0
      ? []
      : [
          palette.dim(
            `${futex.lockCount === 0 ? "Besides" : "Not in it"}: ${plural(conditions.waits, "wait")} for ${plural(conditions.lockCount, "condition variable")}, semaphores and other idle waits.`,
          ),
        ];
  if (futex.locks.length === 0) return ["", "User locks: nobody waited for one.", ...apart];
  return [
    ...headLines("User locks", futex, palette),
    ...futex.locks.slice(0, LOCK_ROWS).flatMap((row) => userLockLinesOf(row, width)),
    ...apart,
  ];
}

/** The name of a futex is long: what else is known of it stands in a line of its own. */
function userLockLinesOf(row: UserLockJson, width: number): string[] {
  const known = [
    ...(row.kind === "user lock" || row.kind === null ? [] : [row.kind.replace("user lock, ", "")]),
    ...(row.timeouts ? [plural(row.timeouts, "timeout")] : []),
    ...(row.waitersAtOnce > 1 ? [`${row.waitersAtOnce} threads or more at once`] : []),
  ];
  return rowLines(row, `, ${plural(row.waits, "wait")}`, width, known);
}

function headLines(title: string, locks: Omit<LocksJson, "locks">, palette: Palette): string[] {
  const all = `${plural(locks.waits, "wait")} for ${plural(locks.lockCount, "lock")}, ${duration(locks.sumNs)}`;
  const estimated = locks.exact ? "" : ", estimated from samples";
  const text = `${title}: ${locks.lockCount > LOCK_ROWS ? "the worst five of " : ""}${all}${estimated}`;
  return ["", palette.bold(text), palette.dim("    total       p99   longest  lock, kind, waits")];
}

function rowLines(row: LockJson, tail: string, width: number, known: readonly string[] = []): string[] {
  // A cut capture has no histogram: 0 stands for not known.
  const p99 = row.p99Ns > 0 ? duration(row.p99Ns) : "-";
  const times = [duration(row.sumNs), p99, duration(row.maxNs)].map((text) => text.padStart(9)).join(" ");
  const [caller] = row.callers;
  const [owner] = row.owners;
  const who = [
    ...(caller && caller.name !== "[unknown]"
      ? [`wanted in ${shortName(caller.name)} (${percent(caller.share)})`]
      : []),
    ...(owner && owner.share >= OWNERS_KNOWN.some ? [`held by ${owner.name} (${percent(owner.share)})`] : []),
  ];
  // What does not fit into one line takes two: cut in the middle it would name nobody.
  const line = who.join(", ");
  const lines = line.length <= width - INDENT ? [line] : who;
  const more = [...lines, known.join(", ")].filter((text) => text !== "");
  return [
    `${times}  ${printable(row.name, Math.max(20, width - INDENT - tail.length))}${tail}`,
    ...more.map((line) => `${" ".repeat(INDENT)}${printable(line, Math.max(20, width - INDENT))}`),
  ];
}
