// A table of rows of one kind: to be sorted by any column, filtered by text, and to choose a row from.
import { type Cell, type Column, DataTable } from "./data-table.js";

export interface RowColumn<Row> extends Omit<Column, "draw"> {
  cell(row: Row): Cell;
  /** A drawing in place of text. */
  readonly draw?: (row: Row) => HTMLElement;
}

export interface ChoiceTableOptions<Row> {
  readonly columns: readonly RowColumn<Row>[];
  readonly caption: string;
  readonly empty: string;
  /** Title of the column to sort by at first; absent = as the rows come. */
  readonly sortBy?: string;
  readonly portion?: number;
  /** Gets the row that was clicked; without it rows are only shown. */
  readonly onRow?: (row: Row) => void;
  readonly isChosen?: (row: Row) => boolean;
  readonly rowHint?: string;
}

/** Whether one of the texts holds the filter's, in upper or lower case. */
export function holds(texts: readonly string[], filter: string): boolean {
  const wanted = filter.trim().toLowerCase();
  return wanted === "" || texts.some((text) => text.toLowerCase().includes(wanted));
}

/** Whether one of the row's texts holds the filter's. */
export function rowMatches<Row>(columns: readonly RowColumn<Row>[], row: Row, filter: string): boolean {
  if (filter.trim() === "") return true;
  const texts = columns.filter(({ numeric, draw }) => !numeric && !draw);
  return holds(
    texts.map((column) => String(column.cell(row))),
    filter,
  );
}

export class ChoiceTable<Row> {
  readonly #table: DataTable;
  readonly #columns: readonly RowColumn<Row>[];
  #rowOf = new Map<readonly Cell[], Row>();

  constructor(options: ChoiceTableOptions<Row>) {
    const { columns, caption, empty, sortBy, portion = 20, onRow, isChosen, rowHint } = options;
    this.#columns = columns;
    const rowOf = (cells: readonly Cell[]): Row => this.#rowOf.get(cells)!;
    const place = columns.findIndex(({ title }) => title === sortBy);
    this.#table = new DataTable({
      caption,
      columns: columns.map(({ title, numeric, minor, bars, format, draw }) => ({
        title,
        numeric,
        ...(minor && { minor }),
        ...(bars && { bars }),
        ...(format && { format }),
        ...(draw && { draw: (cells: readonly Cell[]) => draw(rowOf(cells)) }),
      })),
      portion,
      empty,
      ...(place >= 0 && { sortBy: place }),
      ...(onRow && { onRow: (cells: readonly Cell[]) => onRow(rowOf(cells)) }),
      ...(isChosen && { isChosen: (cells: readonly Cell[]) => isChosen(rowOf(cells)) }),
      ...(rowHint && { rowHint }),
    });
  }

  get element(): HTMLElement {
    return this.#table.element;
  }

  /** Shows those of the rows that hold the filter's text. */
  show(rows: readonly Row[], filter = ""): void {
    const shown = rows.filter((row) => rowMatches(this.#columns, row, filter));
    const cells = shown.map((row) => this.#columns.map((column) => column.cell(row)));
    this.#rowOf = new Map(cells.map((row, index): [readonly Cell[], Row] => [row, shown[index]!]));
    this.#table.setRows(cells);
  }

  /** To be called when another row is chosen. */
  markChosen(): void {
    this.#table.markChosen();
  }
}
