// Which files a command writes: from -o and --format to a list of paths, one format and perhaps one source each.
import { resolve } from "node:path";
import type { SourceName } from "../capture/binding.js";
import { type ExportFormat, FORMATS, formatForPath, formatNamed } from "../export/index.js";
import { usageError } from "./errors.js";
import { closest } from "./suggest.js";

export interface PlannedOutput {
  readonly path: string;
  readonly format: ExportFormat;
  /** Only for formats that hold one source. */
  readonly source?: SourceName;
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

/** @throws CliError UNKNOWN_FORMAT, NO_FORMAT, SAME_OUTPUT */
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
    if (!format.perSource) outputs.push({ path, format });
    else if (request.sources.length < 2) outputs.push({ path, format, source: request.sources[0] ?? "cpu" });
    else {
      const parts = request.sources.map((source) => ({
        path: withSource(path, format, source),
        format,
        source,
      }));
      outputs.push(...parts);
      const each = parts.map((part) => withSource(file, format, part.source));
      const names = `${each.slice(0, -1).join(", ")} and ${each.at(-1)}`;
      notes.push(`a ${format.extension} file holds one source, so ${file} becomes ${names}`);
    }
  }
  const twice = outputs.find((output, i) => outputs.findIndex((other) => other.path === output.path) !== i);
  if (twice) throw usageError("SAME_OUTPUT", `-o ${twice.path}: the same file is named twice`);
  return { outputs, notes };
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

/** "out.pb.gz" -> "out.cpu.pb.gz"; where the extension is another one, the source goes to the end. */
function withSource(path: string, format: ExportFormat, source: SourceName): string {
  if (!path.toLowerCase().endsWith(format.extension)) return `${path}.${source}`;
  const cut = path.length - format.extension.length;
  return `${path.slice(0, cut)}.${source}${path.slice(cut)}`;
}

/** lowflame-<host>-<UTC time>; host names are cut to what is safe in a file name. */
export function recordingStem(hostname: string, now: Date): string {
  const host = hostname.replace(/[^A-Za-z0-9.-]/g, "_").slice(0, 64) || "host";
  return `lowflame-${host}-${now.toISOString().replace(/[-:]/g, "").replace(/\.\d+/, "")}`;
}
