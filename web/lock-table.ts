// The table of kernel locks: one row a lock, to be sorted by any column and to choose one from.
import type { ReportLock } from "../src/export/html/document.js";
import { type Cell, DataTable } from "./data-table.js";
import { percent, plainNumber } from "./text.js";

const WAITERS_SHOWN = 3;
const OWNERS_SHOWN = 2;

/** The first few, and how many more there are. */
function fewOf<Row>(rows: readonly Row[], most: number, text: (row: Row) => string): string {
  const rest = rows.length - most;
  return rows.slice(0, most).map(text).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

/** Cells of a lock's row; times in ns. */
export function lockCells(lock: ReportLock): Cell[] {
  return [
    lock.name,
    lock.kind,
    lock.waits,
    lock.sumNs,
    lock.p50Ns,
    lock.p99Ns,
    lock.maxNs,
    fewOf(lock.waiters, WAITERS_SHOWN, ({ name, waits }) => `${name} ${plainNumber(waits)}`),
    fewOf(lock.owners, OWNERS_SHOWN, ({ name, share }) => `${name} ${percent(share)}`),
  ];
}

/** The table; `onRow` gets the index of the lock that was clicked, `isChosen` says which one is. */
export class LockTable {
  readonly #table: DataTable;

  constructor(
    locks: readonly ReportLock[],
    onRow: (lock: number) => void,
    isChosen: (lock: number) => boolean,
  ) {
    const ms = (cell: Cell): string => plainNumber(Number(cell) / 1e6);
    const us = (cell: Cell): string => plainNumber(Math.round(Number(cell) / 100) / 10);
    const rows = locks.map(lockCells);
    const indexOf = new Map(rows.map((row, index): [readonly Cell[], number] => [row, index]));
    this.#table = new DataTable({
      caption:
        "Kernel locks that threads waited for (counts and sums are exact, percentiles interpolated in a histogram, " +
        "owners known from samples)",
      columns: [
        { title: "Lock", numeric: false },
        { title: "Kind", numeric: false },
        { title: "Waits", numeric: true },
        { title: "Total, ms", numeric: true, format: ms },
        { title: "p50, µs", numeric: true, format: us },
        { title: "p99, µs", numeric: true, format: us },
        { title: "Longest, µs", numeric: true, format: us },
        { title: "Waiters, waits", numeric: false },
        { title: "Owners, share", numeric: false },
      ],
      sortBy: 3,
      portion: 20,
      onRow: (row) => onRow(indexOf.get(row)!),
      isChosen: (row) => isChosen(indexOf.get(row)!),
      rowHint: "Show its waits, and only them in the graphs",
      empty: "No thread waited for a kernel lock.",
    });
    this.#table.setRows(rows);
  }

  get element(): HTMLElement {
    return this.#table.element;
  }

  /** To be called when another lock is chosen. */
  markChosen(): void {
    this.#table.markChosen();
  }
}
