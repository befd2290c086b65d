// Tables: sortable by their column heads, drawn in portions, saying how much of them is shown. Texts wrap to two lines, and
// their tooltips have them whole.
import { button, el, wrapping } from "./dom.js";
import { plainNumber, visible } from "./text.js";

export type Cell = string | number;

export interface Column {
  readonly title: string;
  readonly numeric: boolean;
  /** How a cell is shown; the plain value otherwise. */
  readonly format?: (cell: Cell) => string;
  /** A drawing in place of text; the cell is what the column is sorted by. */
  readonly draw?: (row: readonly Cell[]) => HTMLElement;
  /** Left out where the window is narrow: what it says also stands below the table when a row is chosen. */
  readonly minor?: boolean;
  /** Below each number a bar: how much it is of the column's largest. */
  readonly bars?: boolean;
}

export interface TableOptions {
  readonly caption: string;
  readonly columns: readonly Column[];
  /** Column to sort by at first, largest first; absent = as the rows come. */
  readonly sortBy?: number;
  /** Rows that are drawn at a time. */
  readonly portion: number;
  readonly onRow?: (row: readonly Cell[]) => void;
  /** Whether a row is the chosen one; with it a click anywhere on a row calls `onRow`. See `markChosen`. */
  readonly isChosen?: (row: readonly Cell[]) => boolean;
  /** What a row does, for its tooltip. */
  readonly rowHint?: string;
  /** Shown in place of rows when there are none. */
  readonly empty: string;
}

/** A table whose rows can be replaced. */
export class DataTable {
  readonly element: HTMLElement;
  readonly #body = el("tbody");
  readonly #status = el("p", { class: "table-status", "aria-live": "polite" });
  readonly #heads: HTMLTableCellElement[];
  #rows: readonly (readonly Cell[])[] = [];
  #drawn: { row: readonly Cell[]; element: HTMLElement; action: HTMLElement }[] = [];
  #shown: number;
  #sort: { column: number; descending: boolean } | null;

  constructor(readonly options: TableOptions) {
    this.#shown = options.portion;
    this.#sort = options.sortBy === undefined ? null : { column: options.sortBy, descending: true };
    this.#heads = options.columns.map((column, index) =>
      el(
        "th",
        { scope: "col", class: classOf(column) },
        button(column.title, () => this.#sortBy(index), { class: "head" }),
      ),
    );
    this.element = el(
      "div",
      { class: "table" },
      el(
        "div",
        { class: "scroll-x" },
        el(
          "table",
          {},
          el("caption", {}, options.caption),
          el("thead", {}, el("tr", {}, ...this.#heads)),
          this.#body,
        ),
      ),
      this.#status,
    );
  }

  /** Replaces the rows and goes back to the first portion. */
  setRows(rows: readonly (readonly Cell[])[]): void {
    this.#rows = rows;
    this.#shown = this.options.portion;
    this.#draw();
  }

  /** Marks the row that `isChosen` names now; nothing is drawn anew, so the focus stays where it is. */
  markChosen(): void {
    for (const { row, element, action } of this.#drawn) {
      const chosen = this.options.isChosen?.(row) ?? false;
      element.classList.toggle("chosen", chosen);
      action.setAttribute("aria-pressed", String(chosen));
    }
  }

  #sortBy(column: number): void {
    const numeric = this.options.columns[column]!.numeric;
    const same = this.#sort?.column === column;
    this.#sort = { column, descending: same ? !this.#sort!.descending : numeric };
    this.#draw();
  }

  #sorted(): readonly (readonly Cell[])[] {
    const sort = this.#sort;
    if (!sort) return this.#rows;
    const sign = sort.descending ? -1 : 1;
    return this.#rows.toSorted((left, right) => {
      const [a, b] = [left[sort.column]!, right[sort.column]!];
      if (typeof a === "number" && typeof b === "number") return sign * (a - b);
      const [x, y] = [String(a), String(b)];
      return sign * (x < y ? -1 : x > y ? 1 : 0);
    });
  }

  #draw(): void {
    this.#heads.forEach((head, index) => {
      if (this.#sort?.column !== index) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", this.#sort.descending ? "descending" : "ascending");
    });
    const rows = this.#sorted();
    const shown = rows.slice(0, this.#shown);
    const largest = this.options.columns.map(({ bars }, index) =>
      bars ? rows.reduce((most, row) => Math.max(most, Number(row[index])), 0) : 0,
    );
    this.#drawn = [];
    this.#body.replaceChildren(...shown.map((row) => this.#row(row, largest)));
    this.#setWidths(shown);
    this.markChosen();
    this.#status.replaceChildren();
    if (rows.length === 0) this.#status.append(this.options.empty);
    if (rows.length > this.#shown) {
      this.#status.append(
        `${this.#shown.toLocaleString("en-US")} of ${rows.length.toLocaleString("en-US")} rows are shown. `,
        button(`Show ${Math.min(this.options.portion * 4, rows.length - this.#shown)} more`, () => {
          this.#shown += this.options.portion * 4;
          this.#draw();
        }),
      );
    }
  }

  /** Tells the style sheet how long texts are: their columns are never narrower than that, up to a limit. */
  #setWidths(rows: readonly (readonly Cell[])[]): void {
    this.#heads.forEach((head, index) => {
      const { numeric, draw } = this.options.columns[index]!;
      if (numeric || draw) return;
      const longest = rows.reduce((most, row) => Math.max(most, String(row[index] ?? "").length), 0);
      head.style.setProperty("--longest", String(longest));
    });
  }

  #row(row: readonly Cell[], largest: readonly number[]): HTMLTableRowElement {
    const { columns, onRow, isChosen, rowHint } = this.options;
    const cells = columns.map((column, index) => {
      const cell = row[index] ?? "";
      if (column.draw) return el("td", { class: classOf(column) }, column.draw(row));
      const text = column.format
        ? column.format(cell)
        : typeof cell === "number"
          ? plainNumber(cell)
          : visible(cell);
      if (!column.numeric && typeof cell !== "number")
        return el("td", { class: classOf(column), title: text }, wrapping(text));
      const element = el("td", { class: classOf({ ...column, numeric: true }) }, text);
      if (largest[index]! > 0)
        element.style.setProperty("--bar", `${(100 * Number(cell)) / largest[index]!}%`);
      return element;
    });
    const element = el("tr", { class: isChosen && "choice" }, ...cells);
    if (onRow && cells[0]) {
      // With rows to choose from the click goes on to the whole row, which listens for it.
      const act = isChosen ? () => {} : () => onRow(row);
      const name = cells[0].textContent ?? "";
      const action = button("", act, { class: "link", title: rowHint && `${name}\n${rowHint}` });
      action.append(...cells[0].childNodes);
      cells[0].append(action);
      if (isChosen) {
        element.addEventListener("click", () => onRow(row));
        this.#drawn.push({ row, element, action });
      }
    }
    return element;
  }
}

/** Classes of the cells of a column. */
const classOf = ({ numeric, minor, bars, draw }: Column): string =>
  [numeric ? "number" : draw ? "drawn" : "text", minor ? "minor" : "", bars ? "bars" : ""].join(" ").trim();
