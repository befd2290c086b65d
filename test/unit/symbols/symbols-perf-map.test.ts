// Names of code made at run time, from the maps that JITs write to /tmp.
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { Child } from "../../support/children.js";
import { BUILD_MS, buildDriver, compileNamed, Naming, startNamed } from "./driver.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-jit-"));
let file: string;
let program: { child: Child; pid: number };
let code: number;
let map: string;
beforeAll(() => {
  buildDriver();
  file = compileNamed(join(dir, "jit"));
}, BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

beforeEach(async () => {
  const started = await startNamed([file, "--jit"]);
  program = started;
  code = parseInt(started.at["--jit"]!, 16);
  map = `/tmp/perf-${program.pid}.map`;
});
afterEach(async () => {
  await program.child.stop();
  rmSync(map, { force: true });
});

const hex = (n: number) => n.toString(16);
const locate = (...offsets: number[]) =>
  Naming.start(
    program.pid,
    offsets.map((o) => hex(code + o)),
  );

test("a map names code by range, while it grows, and after the process ended", async () => {
  writeFileSync(map, `${hex(code)} 40 LazyCompile:*handle /srv/app.js:12:3\n`);
  const naming = await locate(0, 0x3f, 0x40, 0x90);
  const handle = "LazyCompile:*handle /srv/app.js:12:3";
  expect(await naming.names()).toEqual([handle, handle, "", ""]);
  appendFileSync(map, `${hex(code + 0x80)} 20 LazyComp`); // half a line: the writer is in the middle of it
  expect(await naming.names()).toEqual([handle, handle, "", ""]);
  appendFileSync(map, "ile:~reply\n");
  expect(await naming.names()).toEqual([handle, handle, "", "LazyCompile:~reply"]);
  await program.child.stop();
  expect(await naming.names()).toEqual([handle, handle, "", "LazyCompile:~reply"]);
  await naming.stop();
});

test("code that was moved: the last line that covers an address counts", async () => {
  writeFileSync(map, `${hex(code)} 100 old\n${hex(code + 0x10)} 20 new\n${hex(code)} 8 newest\n`);
  const naming = await locate(0, 0x8, 0x10, 0x30);
  expect(await naming.names()).toEqual(["newest", "old", "new", "old"]);
  await naming.stop();
});

test("lines that are no entries are passed over, and those around them count", async () => {
  const long = "y".repeat(100_000);
  writeFileSync(
    map,
    [
      "",
      "garbage",
      `${hex(code)}`,
      `${hex(code)} 10`,
      `${hex(code)} 10 `,
      `${hex(code)} zz name`,
      `${hex(code)} 0 empty`,
      `${hex(code)} ffffffffffffffff everything`,
      `ffffffffffffffff ffffffffffffffff over the edge`,
      `-1 10 negative`,
      `${hex(code)} 10 first\0hidden`,
      `${hex(code + 0x10)} 10 ${long}`,
      `${hex(code + 0x20)} 10 after the long one`,
      `${hex(code + 0x30)} 10 tab\tand \u001b[31mred`,
    ]
      .join("\n")
      .concat("\n"),
  );
  const naming = await locate(0, 0x10, 0x20, 0x30, 0x40);
  const names = await naming.names();
  expect(names[0]).toBe("first");
  expect(names[1]!.length).toBeLessThanOrEqual(16384);
  expect(names.slice(2)).toEqual(["after the long one", "tab\tand \u001b[31mred", ""]);
  await naming.stop();
});

test("a map that was emptied and begun anew is read anew", async () => {
  writeFileSync(map, `${hex(code)} 40 before, with a long name\n`);
  const naming = await locate(0);
  expect(await naming.names()).toEqual(["before, with a long name"]);
  writeFileSync(map, `${hex(code)} 40 after\n`);
  // what was located is other code than what is there now
  expect(await naming.names()).toEqual([""]);
  expect((await naming.again("locate")).names).toEqual(["after"]);
  await naming.stop();
});

test("other code at an address: each sample is named by the lines of its time, also after an exec", async () => {
  const now = () => Number(process.hrtime.bigint());
  writeFileSync(map, `${hex(code)} 40 first\n${hex(code + 0x40)} 40 beside\n`);
  const naming = await locate(0, 0x40, 0x100);
  const namesAt = async (ns: number) => {
    naming.tell(`at ${ns}`);
    return (await naming.again("locate")).names;
  };
  expect(await naming.names()).toEqual(["first", "beside", ""]);
  const before = now();
  // the same line again is no other code
  appendFileSync(map, `${hex(code)} 40 first\n${hex(code)} 40 first\n`);
  await naming.names();
  expect(await namesAt(now())).toEqual(["first", "beside", ""]);
  const between = now();
  await naming.names(); // reads the map: what comes now is of later
  appendFileSync(map, `${hex(code + 0x10)} 20 second\n${hex(code)} 20 second\n${hex(code + 0x100)} 8 late\n`);
  await naming.names();
  expect(await namesAt(now())).toEqual(["second", "beside", "late"]);
  expect(await namesAt(before)).toEqual(["first", "beside", "late"]);
  expect(await namesAt(between)).toEqual(["first", "beside", "late"]);
  const executed = now();
  naming.tell(`at ${executed}`);
  expect((await naming.again("exec")).names).toEqual(["", "", ""]);
  expect(await namesAt(executed - 1)).toEqual(["second", "beside", "late"]);
  appendFileSync(map, `${hex(code)} 40 third\n`);
  expect(await namesAt(now())).toEqual(["third", "", ""]);
  expect(await namesAt(executed - 1)).toEqual(["second", "beside", "late"]);
  await naming.stop();
});

test("a map in the place of one that was removed is found, and tells nothing of what the other one told otherwise", async () => {
  writeFileSync(map, `${hex(code)} 40 first\n${hex(code + 0x40)} 10 beside\n`);
  const naming = await locate(0);
  expect(await naming.names()).toEqual(["first"]);
  appendFileSync(map, `${hex(code)} 40 second\n`);
  expect(await naming.names()).toEqual(["first"]);
  rmSync(map);
  writeFileSync(map, `${hex(code)} 40 third\n`);
  expect(await naming.names()).toEqual(["first"]); // by the one that is open
  await new Promise((resolve) => setTimeout(resolve, 150));
  naming.tell("at 0"); // before the second line
  expect((await naming.again("locate")).names).toEqual([""]);
  naming.tell(`at ${process.hrtime.bigint()}`);
  expect((await naming.again("locate")).names).toEqual(["third"]);
  await naming.stop();
});

test("more changes than are kept: no name that was given before is another code's", async () => {
  writeFileSync(map, `${hex(code)} 10 name0\n`);
  const naming = await locate(0);
  expect(await naming.names()).toEqual(["name0"]);
  for (let round = 1; round <= 5; round++) {
    const lines = Array.from(
      { length: 1000 },
      (_, i) => `${hex(code + 0x100 * (i % 1000))} 10 name${round}\n`,
    );
    appendFileSync(map, lines.join(""));
    const names = await naming.names();
    expect(["name0", ""]).toContain(names[0]);
  }
  expect((await naming.again("locate")).names).toEqual(["name5"]);
  await naming.stop();
});

test("a map that appears after the first look is found at the next sample", async () => {
  const naming = await locate(0);
  expect(await naming.names()).toEqual([""]);
  writeFileSync(map, `${hex(code)} 40 late\n`);
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect((await naming.again("locate")).names).toEqual(["late"]);
  await naming.stop();
});
