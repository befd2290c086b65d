// A table of locks: one row a lock, to be sorted by any column and to choose one from.
import type { ReportLock } from "../src/export/html/document.js";
import { type Cell, type Column, DataTable } from "./data-table.js";
import { duration, percent, plainNumber } from "./text.js";

const WAITERS_SHOWN = 2;

/** The first few, and how many more there are. */
function fewOf<Row>(rows: readonly Row[], most: number, text: (row: Row) => string): string {
  const rest = rows.length - most;
  return rows.slice(0, most).map(text).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

interface LockColumn extends Column {
  cell(lock: ReportLock): Cell;
}

const time = (cell: Cell): string => duration(Number(cell));
/** 0 stands for not known: a lock of which no wait was sampled. */
const known = (cell: Cell): string => (cell === 0 ? "–" : plainNumber(Number(cell)));

const NAME: LockColumn = { title: "Lock", numeric: false, cell: ({ name }) => name };
const KIND: LockColumn = { title: "Kind", numeric: false, cell: ({ kind }) => kind };
const TIMES: readonly LockColumn[] = [
  { title: "Waits", numeric: true, cell: ({ waits }) => waits },
  { title: "Total", numeric: true, bars: true, format: time, cell: ({ sumNs }) => sumNs },
  { title: "p50", numeric: true, format: time, cell: ({ p50Ns }) => p50Ns },
  { title: "p99", numeric: true, format: time, cell: ({ p99Ns }) => p99Ns },
  { title: "Longest", numeric: true, format: time, cell: ({ maxNs }) => maxNs },
];
const WAITERS: LockColumn = {
  title: "Who waited",
  numeric: false,
  cell: ({ waiters }) => fewOf(waiters, WAITERS_SHOWN, ({ name, waits }) => `${name} ${plainNumber(waits)}`),
};
/** The table is of user locks: only what sets one apart is said. */
const FUTEX_KIND: LockColumn = {
  ...KIND,
  minor: true,
  cell: ({ kind }) => kind.replace(/^user lock(?:, )?/, "").replace("priority inheritance", "PI") || "lock",
};
/** An address or a slab cache tells nothing: who wants it does. */
const CALLER: LockColumn = {
  title: "Waited for in",
  numeric: false,
  cell: ({ callers }) => (callers[0]?.name === "[unknown]" ? "" : (callers[0]?.name ?? "")),
};
const FUTEX: readonly LockColumn[] = [
  { title: "Timeouts", numeric: true, minor: true, cell: ({ timeouts }) => timeouts ?? "" },
  { title: "Threads", numeric: true, minor: true, format: known, cell: ({ threads }) => threads },
  { title: "At once", numeric: true, format: known, cell: ({ atOnce }) => atOnce ?? 0 },
];

const HELD_BY: LockColumn = {
  title: "Held by",
  numeric: false,
  cell: ({ owners }) => fewOf(owners, 1, ({ name, share }) => `${name} ${percent(share)}`),
};

/** Columns by what the table is of. */
export const LOCK_COLUMNS = {
  locks: [NAME, KIND, CALLER, HELD_BY, WAITERS, ...TIMES],
  // Who waits is in the name of a futex.
  futex: [NAME, FUTEX_KIND, CALLER, HELD_BY, ...TIMES, ...FUTEX],
  conditions: [NAME, CALLER, ...TIMES, ...FUTEX],
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
