// Which files a command writes: from -o and --format to a list of paths, one format and perhaps one source or table each.
import { resolve } from "node:path";
import type { SourceName } from "../capture/binding.js";
import { hasStacks, type StackSource } from "../capture/sample-sources.js";
import { CSV_TABLES, type CsvTable } from "../export/csv-tables.js";
import { type ExportFormat, FORMATS, formatForPath, formatNamed } from "../export/index.js";
import { usageError } from "./errors.js";
import { closest } from "./suggest.js";

export interface PlannedOutput {
  readonly path: string;
  readonly format: ExportFormat;
  /** Only for formats that hold one source. */
  readonly source?: StackSource;
  /** Only for formats that hold one table. */
  readonly table?: CsvTable;
}

export interface OutputPlan {
  readonly outputs: readonly PlannedOutput[];
  /** Sentences to tell, e.g. that one -o became two files. */
  readonly notes: readonly string[];
}

export interface OutputRequest {
  /** Values of -o as typed; empty = the default name in `cwd`. */
  readonly files: readonly string[];
  /** Value of --format. */
  readonly format?: string | undefined;
  readonly sources: readonly SourceName[];
  readonly cwd: string;
  /** Name without extension where there is no -o. */
  readonly defaultStem: string;
}

const known = (): string => FORMATS.map((format) => format.extension).join(", ");

/** @throws CliError UNKNOWN_FORMAT, NO_FORMAT, NO_STACKS, NO_TABLES, SAME_OUTPUT */
export function planOutputs(request: OutputRequest): OutputPlan {
  const forced = request.format === undefined ? undefined : named(request.format);
  const files =
    request.files.length > 0 ? request.files : [request.defaultStem + (forced ?? FORMATS[0]!).extension];
  const notes: string[] = [];
  const outputs: PlannedOutput[] = [];
  for (const file of files) {
    if (file === "") throw usageError("NO_NAME", "-o wants the name of a file, and got an empty one");
    const format = forced ?? detected(file);
    const path = resolve(request.cwd, file);
    const parts = partsOf(file, format, request.sources);
    if (parts.length < 2) outputs.push({ path, format, ...parts[0]?.of });
    else {
      outputs.push(...parts.map(({ name, of }) => ({ path: withPart(path, format, name), format, ...of })));
      const each = parts.map(({ name }) => withPart(file, format, name));
      const names = `${each.slice(0, -1).join(", ")} and ${each.at(-1)}`;
      const what = format.holds === "one table" ? "table" : "source";
      notes.push(`a ${format.extension} file holds one ${what}, so ${file} becomes ${names}`);
    }
  }
  const twice = outputs.find((output, i) => outputs.findIndex((other) => other.path === output.path) !== i);
  if (twice) throw usageError("SAME_OUTPUT", `-o ${twice.path}: the same file is named twice`);
  return { outputs, notes };
}

interface FilePart {
  readonly name: string;
  readonly of: Pick<PlannedOutput, "source" | "table">;
}

/** What becomes a file each; empty where one file holds all. */
function partsOf(file: string, format: ExportFormat, sources: readonly SourceName[]): FilePart[] {
  if (format.holds === "all") return [];
  if (format.holds === "one table") return tablesOf(file, format, sources);
  const stacks = sources.filter(hasStacks);
  if (stacks.length === 0 && sources.length > 0) {
    throw usageError(
      "NO_STACKS",
      `-o ${file}: a ${format.extension} file holds stacks, and of ${sources.join(", ")} there are none`,
      "use .html, .csv or .lowflame, or record with --what cpu,sockets",
    );
  }
  if (format.holds === "all stacks") return [];
  return (stacks.length > 0 ? stacks : (["cpu"] as const)).map((source) => ({
    name: source,
    of: { source },
  }));
}

/** All tables, or the one that the name asks for: "out.calls.csv". */
function tablesOf(file: string, format: ExportFormat, sources: readonly SourceName[]): FilePart[] {
  if (!sources.includes("sockets")) {
    throw usageError(
      "NO_TABLES",
      `-o ${file}: a ${format.extension} file holds tables of sockets, which were not recorded`,
      "record with --what cpu,sockets, or use another format",
    );
  }
  const asked = CSV_TABLES.find((table) => file.toLowerCase().endsWith(`.${table}${format.extension}`));
  return (asked ? [asked] : CSV_TABLES).map((table) => ({ name: table, of: { table } }));
}

function named(name: string): ExportFormat {
  const format = formatNamed(name);
  if (format) return format;
  const names = FORMATS.map((each) => each.name);
  const near = closest(name, names);
  throw usageError(
    "UNKNOWN_FORMAT",
    `--format ${name}: there is no format of that name`,
    `known: ${names.join(", ")}${near ? `; did you mean ${near}?` : ""}`,
  );
}

function detected(file: string): ExportFormat {
  const format = formatForPath(file);
  if (format) return format;
  throw usageError(
    "NO_FORMAT",
    `-o ${file}: the format is not clear from the name`,
    `end it with ${known()}, or add --format NAME`,
  );
}

/** "out.pb.gz" -> "out.cpu.pb.gz"; where the extension is another one, the part goes to the end. */
function withPart(path: string, format: ExportFormat, part: string): string {
  if (!path.toLowerCase().endsWith(format.extension)) return `${path}.${part}`;
  const cut = path.length - format.extension.length;
  return `${path.slice(0, cut)}.${part}${path.slice(cut)}`;
}

/** lowflame-<host>-<UTC time>; host names are cut to what is safe in a file name. */
export function recordingStem(hostname: string, now: Date): string {
  const host = hostname.replace(/[^A-Za-z0-9.-]/g, "_").slice(0, 64) || "host";
  return `lowflame-${host}-${now.toISOString().replace(/[-:]/g, "").replace(/\.\d+/, "")}`;
}
