// The formats that a profile can be written in: their names, file extensions, and who writes them.
// Writers are imported when they are used, so that `--help` does not load protobuf and the report's page.
import type { Finding } from "../analysis/finding.js";
import { hasStacks, type StackSource } from "../capture/sample-sources.js";
import type { Profile } from "../model/profile.js";
import { CSV_TABLES, type CsvTable } from "./csv-tables.js";

export const FORMAT_NAMES = ["html", "lowflame", "folded", "pprof", "speedscope", "csv"] as const;
export type FormatName = (typeof FORMAT_NAMES)[number];

/** What one file of a format holds: with several sources, or tables, there is one file each. */
export type Holding = "all" | "all stacks" | "stacks of one source" | "one table";

export interface ExportFormat {
  readonly name: FormatName;
  /** With its dot; what a path ends with. */
  readonly extension: string;
  readonly holds: Holding;
  /** Half a line for `--help`. */
  readonly description: string;
}

export const FORMATS: readonly ExportFormat[] = [
  {
    name: "html",
    extension: ".html",
    holds: "all",
    description: "report for a browser, one file (default)",
  },
  {
    name: "lowflame",
    extension: ".lowflame",
    holds: "all",
    description: "capture: makes all the others later",
  },
  {
    name: "folded",
    extension: ".folded",
    holds: "stacks of one source",
    description: "folded stacks, one line a stack",
  },
  {
    name: "pprof",
    extension: ".pb.gz",
    holds: "stacks of one source",
    description: "pprof profile, gzip",
  },
  {
    name: "speedscope",
    extension: ".speedscope.json",
    holds: "all stacks",
    description: "speedscope.app",
  },
  { name: "csv", extension: ".csv", holds: "one table", description: "tables of sockets, one a file" },
];

/** Format that the end of a path asks for, undefined when it asks for none. */
export function formatForPath(path: string): ExportFormat | undefined {
  const lower = path.toLowerCase();
  return FORMATS.find((format) => lower.endsWith(format.extension));
}

/** Format of `--format`; its extension is understood as well as its name. */
export function formatNamed(name: string): ExportFormat | undefined {
  const lower = name.toLowerCase();
  return FORMATS.find(
    (format) => format.name === lower || format.extension === `.${lower.replace(/^\./, "")}`,
  );
}

/**
 * Writes a profile in one format.
 * @param part which source or table, for formats that hold one
 * @throws RangeError for "lowflame": a capture is written while it is recorded, not from a profile
 */
export async function renderProfile(
  format: FormatName,
  profile: Profile,
  findings: readonly Finding[],
  part?: StackSource | CsvTable,
): Promise<string | Uint8Array> {
  const stacks = profile.facts.sources.filter(hasStacks);
  const table = CSV_TABLES.find((each) => each === part);
  const one = (table === undefined ? (part as StackSource | undefined) : undefined) ?? stacks[0] ?? "cpu";
  switch (format) {
    case "html": {
      const { toDocument } = await import("./html/from-profile.js");
      const { writeHtml } = await import("./html/write.js");
      return writeHtml(toDocument(profile, findings));
    }
    case "folded":
      return (await import("./folded.js")).writeFolded(profile, one);
    case "pprof":
      return (await import("./pprof.js")).writePprof(profile, one);
    case "speedscope":
      return (await import("./speedscope.js")).writeSpeedscope(profile, stacks);
    case "csv":
      return (await import("./csv.js")).writeCsv(profile, table ?? "calls");
    case "lowflame":
      throw new RangeError("a capture is not written from a profile");
  }
}
