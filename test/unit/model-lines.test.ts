// Source lines and inlined functions in the model: each inlined function is a frame of its own, in order; without debug
// information everything stays as it was.
import { expect, test } from "vitest";
import type { Profile } from "../../src/model/profile.js";
import { withoutLines } from "../../src/model/without-lines.js";
import { buildProfile, samplesByStack } from "./helpers/build-profile.js";
import { FakeCapture, k, u } from "./helpers/fake-capture.js";
import { inlinedProfile, PROGRAM } from "./helpers/inlined-example.js";

/** `main main.c:40` down to the leaf, inlined functions with a plus, with its samples. */
function placesByStack(profile: Profile): Record<string, number> {
  const { tree, lines, functions, weights } = profile;
  const result: Record<string, number> = {};
  for (let row = 0; row < weights[0]!.count; row++) {
    const path: string[] = [];
    for (let node = weights[0]!.node[row]!; node !== 0; node = tree.parent[node]!) {
      const line = tree.line?.[node] ?? 0;
      const where = line === 0 ? "" : ` ${lines!.file[line]}:${lines!.line[line]}`;
      path.unshift(`${tree.inlined?.[node] ? "+" : ""}${functions.name[tree.func[node]!]}${where}`);
    }
    const key = path.slice(1).join("; ");
    result[key] = (result[key] ?? 0) + weights[0]!.samples[row]!;
  }
  return result;
}

test("inlined functions are frames below the function that was called, each with its own line", () => {
  const main = "main /src/main.c:40";
  const inlined = "+read_header /src/parse.c:21; +get16 /src/bytes.h:8";
  expect(placesByStack(inlinedProfile())).toEqual({
    [`${main}; parse /src/parse.c:60; ${inlined}`]: 3,
    [`main /src/main.c:44; parse /src/parse.c:60; ${inlined}`]: 2,
    [`${main}; parse /src/parse.c:60; +read_header /src/parse.c:22`]: 2,
    [`${main}; parse /src/parse.c:61`]: 1,
    [`${main}; parse /src/parse.c:62; do_syscall_64`]: 1,
  });
});

test("an inlined function is of the module that it was compiled into", () => {
  const { functions } = inlinedProfile();
  const at = functions.name.indexOf("get16");
  expect([functions.module[at], functions.kind[at]]).toEqual([PROGRAM, "user"]);
});

test("without lines one function is one node below each caller, and no time is lost", () => {
  const profile = inlinedProfile();
  const { profile: merged, nodeOf } = withoutLines(profile);
  expect(merged.tree.line).toBeUndefined();
  expect(samplesByStack(merged, "cpu")).toEqual({
    "_start;main;parse;read_header;get16": 5,
    "_start;main;parse;read_header": 2,
    "_start;main;parse": 1,
    "_start;main;parse;do_syscall_64": 1,
  });
  expect(merged.tree.count).toBe(7);
  for (let node = 1; node < profile.tree.count; node++)
    expect(merged.tree.func[nodeOf(node)]).toBe(profile.tree.func[node]);
});

test("a function that is inlined at one place and called at another has two nodes there", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(7, "parser");
  const caller = { function: "outer", file: "/src/a.c", line: 3 };
  const inner = { function: "inner", file: "/src/a.c", line: 9 };
  capture.cpu(thread, [u("_start"), { ...u("outer", PROGRAM, 1n), places: [inner, caller] }]);
  const called = { ...u("inner", PROGRAM, 3n), places: [inner] };
  capture.cpu(thread, [u("_start"), { ...u("outer", PROGRAM, 2n), places: [caller] }, called]);
  const { tree, functions } = withoutLines(buildProfile(capture.events())).profile;
  const inners = [...tree.func.keys()].filter((node) => functions.name[tree.func[node]!] === "inner");
  expect(inners.map((node) => tree.inlined![node])).toEqual([1, 0]);
});

test("a frame that the symbol table does not name is called as its debug information calls it", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(7, "parser");
  const places = [{ function: "static_one", file: "/src/a.c", line: 3 }];
  capture.cpu(thread, [u("_start"), { ...u(undefined, PROGRAM, 1n), places }]);
  expect(samplesByStack(buildProfile(capture.events()), "cpu")).toEqual({ "_start;static_one": 1 });
});

test("without debug information there are neither lines nor inlined functions", () => {
  const capture = new FakeCapture();
  capture.cpu(capture.process(7, "parser").thread, [u("_start"), u("main"), k("do_syscall_64")]);
  const profile = buildProfile(capture.events());
  expect([profile.lines, profile.tree.line, profile.tree.inlined]).toEqual([undefined, undefined, undefined]);
  expect(withoutLines(profile).profile).toBe(profile);
});

test("places of a frame that the capture does not hold are counted as damage", () => {
  const events = new FakeCapture().events();
  const batch = events.find((event) => event.type === "batch")!.batch;
  const sources = [{ frame: 99, places: [{ function: "f", file: "/a.c", line: 1 }] }];
  const profile = buildProfile([
    events[0]!,
    { type: "batch", batch: { ...batch, tables: { ...batch.tables, sources } } },
  ]);
  expect(profile.notes.join()).toContain("1 source lines of frames that are not in the capture");
});
