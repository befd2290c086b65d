// Readers of pprof files for tests: the reference one (`go tool pprof`), and one with a schema of its own.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import protobuf from "protobufjs";
import type { StackSource } from "../../../src/capture/sample-sources.js";
import { writePprof } from "../../../src/export/pprof.js";

/** What `go tool pprof` makes of a profile. It fails (and so does the test) when the profile is not valid. */
export async function goPprof(
  profile: Parameters<typeof writePprof>[0],
  source: StackSource,
  ...args: string[]
) {
  const folder = mkdtempSync(join(tmpdir(), "lowflame-pprof-"));
  try {
    const file = join(folder, `${source}.pb.gz`);
    writeFileSync(file, await writePprof(profile, source));
    return execFileSync("go", ["tool", "pprof", ...args, file], {
      encoding: "utf8",
      env: { ...process.env, HOME: folder, PPROF_TMPDIR: folder },
      stdio: ["ignore", "pipe", "pipe"],
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

// The published field numbers, written down a second time so that a slip in src/export/pprof-schema.ts is seen.
const schema = protobuf
  .parse(`
  syntax = "proto3";
  message Profile {
    repeated ValueType sample_type = 1; repeated Sample sample = 2; repeated Mapping mapping = 3;
    repeated Location location = 4; repeated Function function = 5; repeated string string_table = 6;
    int64 time_nanos = 9; int64 duration_nanos = 10; ValueType period_type = 11; int64 period = 12;
    repeated int64 comment = 13; int64 default_sample_type = 14;
  }
  message ValueType { int64 type = 1; int64 unit = 2; }
  message Sample { repeated uint64 location_id = 1; repeated int64 value = 2; repeated Label label = 3; }
  message Label { int64 key = 1; int64 str = 2; int64 num = 3; }
  message Mapping { uint64 id = 1; int64 filename = 5; int64 build_id = 6; bool has_functions = 7;
    bool has_filenames = 8; bool has_line_numbers = 9; bool has_inline_frames = 10; }
  message Location { uint64 id = 1; uint64 mapping_id = 2; repeated Line line = 4; }
  message Line { uint64 function_id = 1; int64 line = 2; }
  message Function { uint64 id = 1; int64 name = 2; int64 system_name = 3; int64 filename = 4; }
`)
  .root.lookupType("Profile");

interface Decoded {
  sampleType: { type: string; unit: string }[];
  sample: { locationId: string[]; value: string[]; label: { key: string; str: string; num: string }[] }[];
  mapping: { id: string; filename: string; buildId: string; hasInlineFrames: boolean }[];
  location: { id: string; mappingId: string; line: { functionId: string; line: string }[] }[];
  function: { id: string; name: string; filename: string }[];
  stringTable: string[];
  timeNanos: string;
  durationNanos: string;
  period: string;
  periodType: { type: string; unit: string };
}

export async function decode(profile: Parameters<typeof writePprof>[0], source: StackSource) {
  const message = schema.decode(gunzipSync(await writePprof(profile, source)));
  return schema.toObject(message, { longs: String, defaults: true }) as Decoded;
}
