// The formats that a profile can be written in: their names, file extensions, and who writes them.
// Writers are imported when they are used, so that `--help` does not load protobuf and the report's page.
import type { Finding } from "../analysis/finding.js";
import type { SourceName } from "../capture/binding.js";
import type { Profile } from "../model/profile.js";

export const FORMAT_NAMES = ["html", "lowflame", "folded", "pprof", "speedscope"] as const;
export type FormatName = (typeof FORMAT_NAMES)[number];

export interface ExportFormat {
  readonly name: FormatName;
  /** With its dot; what a path ends with. */
  readonly extension: string;
  /** True where a file holds one source only: with several sources there is one file each. */
  readonly perSource: boolean;
  /** Half a line for `--help`. */
  readonly description: string;
}

export const FORMATS: readonly ExportFormat[] = [
  {
    name: "html",
    extension: ".html",
    perSource: false,
    description: "report for a browser, one file (default)",
  },
  {
    name: "lowflame",
    extension: ".lowflame",
    perSource: false,
    description: "capture: makes all the others later",
  },
  { name: "folded", extension: ".folded", perSource: true, description: "folded stacks, one line a stack" },
  { name: "pprof", extension: ".pb.gz", perSource: true, description: "pprof profile, gzip" },
  { name: "speedscope", extension: ".speedscope.json", perSource: false, description: "speedscope.app" },
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
 * @param source which source, for formats that hold one
 * @throws RangeError for "lowflame": a capture is written while it is recorded, not from a profile
 */
export async function renderProfile(
  format: FormatName,
  profile: Profile,
  findings: readonly Finding[],
  source?: SourceName,
): Promise<string | Uint8Array> {
  const one = source ?? profile.facts.sources[0] ?? "cpu";
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
      return (await import("./speedscope.js")).writeSpeedscope(profile, profile.facts.sources);
    case "lowflame":
      throw new RangeError("a capture is not written from a profile");
  }
}
