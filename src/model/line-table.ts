// Source lines: each pair of file and line once, by id. Id 0: not known.
import type { LineTable } from "./profile.js";

export class LineInterner {
  readonly #file: string[] = [""];
  readonly #line: number[] = [0];
  /** File -> line -> id. */
  readonly #ids = new Map<string, Map<number, number>>();

  intern(file: string, line: number): number {
    if (file === "") return 0;
    let inner = this.#ids.get(file);
    if (inner === undefined) {
      inner = new Map();
      this.#ids.set(file, inner);
    }
    const known = inner.get(line);
    if (known !== undefined) return known;
    const id = this.#file.length;
    inner.set(line, id);
    this.#file.push(file);
    this.#line.push(line);
    return id;
  }

  /** Undefined where no line is known of any frame. */
  table(): LineTable | undefined {
    return this.#file.length > 1 ? { file: this.#file, line: this.#line } : undefined;
  }
}
