// What finding names took: part of the end of a recording.
import type { Bytes } from "../model/units.js";

export interface NameFacts {
  /** Frames that have a name, and that have none, each counted once. */
  readonly found: number;
  readonly missing: number;
  /** Program files and libraries that were opened; equal ones (by build ID) once. */
  readonly files: number;
  /** Memory of tables of symbols, mappings and perf maps at the end; bounded, see docs/how-it-works.md. */
  readonly cacheBytes: Bytes;
}

export interface NameTotals {
  /** Absent in recordings of versions that did not tell. */
  readonly names?: NameFacts;
}
