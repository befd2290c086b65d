// `lowflame doctor`: what this kernel and this user allow, feature by feature, and the remedy for what is missing.
import { PROBE_STATUS, type ProbeRow, SOURCES, type SourceName } from "../capture/binding.js";
import type { CliDeps } from "./deps.js";
import { doctorChecks } from "./doctor-checks.js";
import { CliError, Exit, firstLine } from "./errors.js";
import { type DoctorJson, JSON_VERSION } from "./json.js";
import { DEFAULT_SOURCES } from "./options.js";
import { jsonText } from "./result-json.js";
import { type Palette, paletteFor, printable } from "./terminal.js";

/** @returns 0 when `record` will work here with its default sources, else 1 */
export function runDoctor(options: { readonly json?: boolean }, deps: CliDeps): number {
  const rows = [...doctorChecks(deps.system), ...addonRows(deps)];
  // The addon asks the kernel itself, so where both know a feature its answer stands.
  const byId = new Map(rows.map((row) => [row.id, row]));
  const shown = [...byId.values()];
  const ok = canRecord(shown);
  const exitCode = ok ? Exit.ok : Exit.failure;
  const { stdout, env } = deps.terminal;
  if (options.json) {
    const document: DoctorJson = { version: JSON_VERSION, tool: "doctor", ok, exitCode, rows: shown };
    stdout.write(jsonText(document));
  } else {
    stdout.write(`${doctorLines(shown, paletteFor(stdout, env)).join("\n")}\n`);
  }
  return exitCode;
}

/** True when nothing is missing that a default source needs. */
export const canRecord = (rows: readonly ProbeRow[]): boolean =>
  DEFAULT_SOURCES.every((source) => works(rows, source));

const works = (rows: readonly ProbeRow[], source: SourceName): boolean =>
  !rows.some((row) => row.status === "missing" && row.neededBy.includes(source));

function addonRows(deps: CliDeps): ProbeRow[] {
  try {
    const binding = deps.loadBinding();
    return [
      { id: "addon", title: "native addon", status: "ok", found: "loaded", remedy: "", neededBy: [] },
      ...binding.probe(),
    ];
  } catch (error) {
    const hint = error instanceof CliError && error.hint ? error.hint : "npm run build:native";
    const found = firstLine(error);
    return [
      { id: "addon", title: "native addon", status: "missing", found, remedy: hint, neededBy: [...SOURCES] },
    ];
  }
}

/** The table, worst news last so that they stand above the prompt. Pure. */
export function doctorLines(rows: readonly ProbeRow[], palette: Palette): string[] {
  const paint = { ok: palette.green, degraded: palette.yellow, missing: palette.red } as const;
  const mark = { ok: "+", degraded: "!", missing: "x" } as const;
  const width = Math.max(...rows.map((row) => row.title.length), 0);
  const sorted = [...rows].sort((a, b) => PROBE_STATUS.indexOf(a.status) - PROBE_STATUS.indexOf(b.status));
  const lines: string[] = [];
  for (const row of sorted) {
    const status = paint[row.status](`${mark[row.status]} ${row.status.padEnd(8)}`);
    lines.push(`${status}  ${row.title.padEnd(width)}  ${printable(row.found, 400)}`);
    if (row.status === "ok") continue;
    const what = row.neededBy.length > 0 ? `needed by --what ${row.neededBy.join(",")}; ` : "";
    lines.push(`${" ".repeat(12)}${palette.dim(`-> ${what}${printable(row.remedy, 600)}`)}`);
  }
  lines.push("", verdict(rows, palette));
  return lines;
}

function verdict(rows: readonly ProbeRow[], palette: Palette): string {
  const working = SOURCES.filter((source) => works(rows, source));
  if (canRecord(rows)) {
    const refused = SOURCES.filter((source) => !works(rows, source));
    const without = refused.length > 0 ? `, but not with --what ${refused.join(",")}` : "";
    const limited = rows.some((row) => row.status !== "ok") ? ", with the limits above" : "";
    return palette.bold(`lowflame record will work here${without}${limited}.`);
  }
  if (working.length > 0) {
    return palette.bold(
      `lowflame record will not work as it is; this part will: --what ${working.join(",")}`,
    );
  }
  return palette.bold("lowflame record will not work here.");
}
