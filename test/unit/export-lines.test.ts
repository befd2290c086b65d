// Source lines and inlined functions in what is handed out: lines of pprof's locations, marks in folded stacks and in
// speedscope's frames, places and kinds on the page, the line in the JSON summary.
import { expect, test } from "vitest";
import { digest } from "../../src/cli/digest.js";
import { writeFolded } from "../../src/export/folded.js";
import { decodeColumns, encodeColumns } from "../../src/export/html/columns.js";
import type { ReportDocument } from "../../src/export/html/document.js";
import { toDocument } from "../../src/export/html/from-profile.js";
import { writeSpeedscope } from "../../src/export/speedscope.js";
import { functionNames, Labels } from "../../web/labels.js";
import { buildViewTree } from "../../web/view-tree.js";
import { buildProfile } from "./helpers/build-profile.js";
import { FakeCapture, k, u } from "./helpers/fake-capture.js";
import { inlinedProfile, PROGRAM } from "./helpers/inlined-example.js";
import { decode, goPprof } from "./helpers/pprof-tools.js";

test("pprof: a location has a line for each inlined function, the innermost first, with file and line", async () => {
  const {
    sample,
    location,
    function: functions,
    mapping,
    stringTable,
  } = await decode(inlinedProfile(), "cpu");
  const functionOf = new Map(functions.map((f) => [f.id, f]));
  const textOf = (id: string): string => {
    const { line } = location.find((each) => each.id === id)!;
    return line
      .map(({ functionId, line: number }) => {
        const { name, filename } = functionOf.get(functionId)!;
        return `${stringTable[Number(name)]} ${stringTable[Number(filename)]}:${number}`;
      })
      .join(" < ");
  };
  const start = `_start ${PROGRAM}:0`;
  const whole = "get16 /src/bytes.h:8 < read_header /src/parse.c:21 < parse /src/parse.c:60";
  expect(sample.map(({ locationId }) => locationId.map(textOf)).sort()).toEqual(
    [
      [whole, "main /src/main.c:40", start],
      [whole, "main /src/main.c:44", start],
      ["read_header /src/parse.c:22 < parse /src/parse.c:60", "main /src/main.c:40", start],
      ["parse /src/parse.c:61", "main /src/main.c:40", start],
      ["do_syscall_64 [kernel]:0", "parse /src/parse.c:62", "main /src/main.c:40", start],
    ].sort(),
  );
  expect(new Set(location.map(({ id }) => id)).size).toBe(location.length);
  expect(new Set(functions.map(({ id }) => id)).size).toBe(functions.length);
  expect(
    Object.fromEntries(mapping.map((m) => [stringTable[Number(m.filename)], m.hasInlineFrames])),
  ).toEqual({
    [PROGRAM]: true,
    "[kernel]": false,
  });
});

test("go tool pprof reads them: inlined functions with their own time, and sums by line", async () => {
  const top = await goPprof(inlinedProfile(), "cpu", "-top", "-unit=ms");
  expect(top).toMatch(/5ms\s+55\.56%\s+55\.56%\s+5ms\s+55\.56%\s+get16 \(inline\)/);
  expect(top).toMatch(/2ms\s+22\.22%\s+\S+\s+7ms\s+77\.78%\s+read_header \(inline\)/);
  const byLine = await goPprof(inlinedProfile(), "cpu", "-top", "-lines", "-unit=ms");
  expect(byLine).toMatch(/5ms\s+55\.56%\s+55\.56%\s+5ms\s+55\.56%\s+get16 \/src\/bytes\.h:8 \(inline\)/);
  expect(byLine).toMatch(/2ms\s+22\.22%\s+main \/src\/main\.c:44/);
});

test("folded stacks mark inlined functions as flame graph scripts do, and sum over lines", () => {
  expect(Buffer.from(writeFolded(inlinedProfile(), "cpu")).toString().trimEnd().split("\n").sort()).toEqual([
    "parser;_start;main;parse 1000000",
    "parser;_start;main;parse;do_syscall_64 1000000",
    "parser;_start;main;parse;read_header_[i] 2000000",
    "parser;_start;main;parse;read_header_[i];get16_[i] 5000000",
  ]);
});

test("speedscope: inlined functions are frames that say so", () => {
  const file = JSON.parse(Buffer.from(writeSpeedscope(inlinedProfile(), ["cpu"])).toString());
  const stacks = file.profiles[0].samples.map((sample: number[]) =>
    sample.map((frame) => file.shared.frames[frame].name).join(";"),
  );
  expect(stacks.sort()).toEqual([
    "parser (pid 7);_start;main;parse",
    "parser (pid 7);_start;main;parse;do_syscall_64",
    "parser (pid 7);_start;main;parse;read_header (inlined)",
    "parser (pid 7);_start;main;parse;read_header (inlined);get16 (inlined)",
  ]);
});

/** What the page says of each node of the CPU tree: kind and place by name. */
function labelsOf(report: ReportDocument): Record<string, readonly [kind: string, place: string]> {
  const source = report.sources[0]!;
  const rows = Uint32Array.from({ length: source.node.length }, (_, row) => row);
  const tree = buildViewTree(report, source, rows, "name");
  const labels = new Labels(report, functionNames(report), tree);
  return Object.fromEntries(
    Array.from({ length: tree.count }, (_, node) => [
      labels.name(node),
      [labels.kindLabel(node), labels.place(node)] as const,
    ]),
  );
}

test("the page has one frame a function, tells the line with the most time, and into what a frame is inlined", () => {
  const bytes = Buffer.concat([...encodeColumns(toDocument(inlinedProfile(), []))]);
  const packed = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
  expect(labelsOf(decodeColumns(packed) as ReportDocument)).toMatchObject({
    parser: ["process or thread", ""],
    _start: ["user", ""],
    main: ["user", "/src/main.c:40, with the most time of 2 lines"],
    parse: ["user", "/src/parse.c:60, with the most time of 3 lines"],
    read_header: ["inlined into parse", "/src/parse.c:21, with the most time of 2 lines"],
    get16: ["inlined into read_header", "/src/bytes.h:8"],
    do_syscall_64: ["kernel", ""],
  });
});

test("the JSON summary has inlined functions with the line that most of their own time is of", () => {
  const functions = digest(inlinedProfile()).cpu!.functions;
  expect(functions.map(({ name, line, selfNs }) => [name, line, selfNs])).toEqual([
    ["get16", "/src/bytes.h:8", 5e6],
    ["read_header", "/src/parse.c:22", 2e6],
    ["parse", "/src/parse.c:61", 1e6],
    ["do_syscall_64", null, 1e6],
  ]);
});

test("without debug information a report has no places, and pprof a line without a number", async () => {
  const capture = new FakeCapture();
  capture.cpu(capture.process(7, "parser").thread, [u("_start"), u("main"), k("do_syscall_64")]);
  const profile = buildProfile(capture.events());
  expect(toDocument(profile, []).places).toBeNull();
  const { location } = await decode(profile, "cpu");
  for (const { id, line } of location) expect(line).toEqual([{ functionId: id, line: "0" }]);
});
