// A table of locks: one row a lock, to be sorted by any column and to choose one from.
import type { ReportLock } from "../src/export/html/document.js";
import { type Cell, type Column, DataTable } from "./data-table.js";
import { duration, percent, plainNumber } from "./text.js";

const WAITERS_SHOWN = 3;
const OWNERS_SHOWN = 2;

/** The first few, and how many more there are. */
function fewOf<Row>(rows: readonly Row[], most: number, text: (row: Row) => string): string {
  const rest = rows.length - most;
  return rows.slice(0, most).map(text).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

interface LockColumn extends Column {
  cell(lock: ReportLock): Cell;
}

const ms = (cell: Cell): string => plainNumber(Number(cell) / 1e6);
const us = (cell: Cell): string => plainNumber(Math.round(Number(cell) / 100) / 10);
/** 0 stands for not known: a lock of which no wait was sampled. */
const known = (cell: Cell): string => (cell === 0 ? "–" : plainNumber(Number(cell)));

const NAME: LockColumn = { title: "Lock", numeric: false, cell: ({ name }) => name };
const KIND: LockColumn = { title: "Kind", numeric: false, cell: ({ kind }) => kind };
const TIMES: readonly LockColumn[] = [
  { title: "Waits", numeric: true, cell: ({ waits }) => waits },
  { title: "Total, ms", numeric: true, format: ms, cell: ({ sumNs }) => sumNs },
  { title: "p50, µs", numeric: true, format: us, cell: ({ p50Ns }) => p50Ns },
  { title: "p99, µs", numeric: true, format: us, cell: ({ p99Ns }) => p99Ns },
  { title: "Longest, µs", numeric: true, format: us, cell: ({ maxNs }) => maxNs },
];
/** The same in units of their own: a wait for a futex may take a microsecond or an hour. */
const DURATIONS: readonly LockColumn[] = TIMES.map((column) =>
  column.format
    ? { ...column, title: column.title.split(",")[0]!, format: (cell) => duration(Number(cell)) }
    : column,
);
const WAITERS: LockColumn = {
  title: "Waiters, waits",
  numeric: false,
  cell: ({ waiters }) => fewOf(waiters, WAITERS_SHOWN, ({ name, waits }) => `${name} ${plainNumber(waits)}`),
};
const OWNERS: LockColumn = {
  title: "Owners, share",
  numeric: false,
  cell: ({ owners }) => fewOf(owners, OWNERS_SHOWN, ({ name, share }) => `${name} ${percent(share)}`),
};
/** The table is of user locks: only what sets one apart is said. */
const FUTEX_KIND: LockColumn = {
  ...KIND,
  cell: ({ kind }) => kind.replace(/^user lock(?:, )?/, "").replace("priority inheritance", "PI") || "lock",
};
/** An address tells nothing: who wants it does. */
const CALLER: LockColumn = {
  title: "Waited for in",
  numeric: false,
  cell: ({ callers }) => (callers[0]?.name === "[unknown]" ? "" : (callers[0]?.name ?? "")),
};
const FUTEX: readonly LockColumn[] = [
  { title: "Timeouts", numeric: true, cell: ({ timeouts }) => timeouts ?? "" },
  { title: "Threads", numeric: true, format: known, cell: ({ threads }) => threads },
  { title: "At once", numeric: true, format: known, cell: ({ atOnce }) => atOnce ?? 0 },
];

/** Who waits is in the name of a futex; who holds it comes next to where it is wanted. */
const HELD_BY: LockColumn = {
  title: "Held by",
  numeric: false,
  cell: ({ owners }) => fewOf(owners, 1, ({ name, share }) => `${name} ${percent(share)}`),
};

/** Columns by what the table is of. */
export const LOCK_COLUMNS = {
  locks: [NAME, KIND, ...TIMES, WAITERS, OWNERS],
  futex: [NAME, FUTEX_KIND, CALLER, HELD_BY, ...DURATIONS, ...FUTEX],
  conditions: [NAME, CALLER, ...DURATIONS, ...FUTEX],
} as const satisfies Record<string, readonly LockColumn[]>;
export type LockColumns = keyof typeof LOCK_COLUMNS;

/** Cells of a lock's row; times in ns. */
export const lockCells = (lock: ReportLock, columns: LockColumns = "locks"): Cell[] =>
  LOCK_COLUMNS[columns].map((column) => column.cell(lock));

export interface LockTableOptions {
  readonly columns: LockColumns;
  readonly caption: string;
  readonly empty: string;
  /** Gets the lock that was clicked. */
  readonly onRow: (lock: ReportLock) => void;
  readonly isChosen: (lock: ReportLock) => boolean;
}

/** The table. */
export class LockTable {
  readonly #table: DataTable;

  constructor(locks: readonly ReportLock[], { columns, caption, empty, onRow, isChosen }: LockTableOptions) {
    const rows = locks.map((lock) => lockCells(lock, columns));
    const lockOf = new Map(rows.map((row, index): [readonly Cell[], ReportLock] => [row, locks[index]!]));
    this.#table = new DataTable({
      caption,
      columns: LOCK_COLUMNS[columns],
      sortBy: LOCK_COLUMNS[columns].findIndex(({ title }) => title.startsWith("Total")),
      portion: 20,
      onRow: (row) => onRow(lockOf.get(row)!),
      isChosen: (row) => isChosen(lockOf.get(row)!),
      rowHint: "Show its waits, and only them in the graphs",
      empty,
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
