// .debug_frame where there is nothing else: plain, packed, and in a separate debug file, against readelf.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { labels } from "./assembled.js";
import { BUILD_MS, buildDriver, rules, tables } from "./driver.js";
import { agrees, frameRows } from "./readelf.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-debug-frame-"));
beforeAll(buildDriver, BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe(".debug_frame, where a program was compiled without .eh_frame", () => {
  const source = join(dir, "debug.c");
  const compile = (name: string, ...flags: string[]) => {
    const file = join(dir, name);
    const functions = Array.from(
      { length: 50 },
      (_, i) =>
        `__attribute__((noinline)) int f${i}(int x, char** v) { volatile char b[${144 + i * 8}]; b[x & 7] = x; return b[x & 3] + v[b[1]][${i}]; }`,
    );
    const calls = Array.from({ length: 50 }, (_, i) => `f${i}(c, v)`);
    writeFileSync(
      source,
      `${functions.join("\n")}\nint main(int c, char** v) { return ${calls.join(" + ")}; }\n`,
    );
    execFileSync("gcc", ["-O1", "-g", "-fno-asynchronous-unwind-tables", ...flags, source, "-o", file]);
    return file;
  };
  /** Every row that readelf tells of both sections, but for code of the start files that both have. */
  function expectRows(file: string, oracle: string, root?: string) {
    const rows = frameRows(oracle).filter((row) => row.end > row.begin);
    expect(rows.length).toBeGreaterThan(150);
    const got = rules(
      file,
      rows.map((row) => row.begin),
      root,
    );
    expect(got.flatMap((r, i) => (agrees(r, rows[i]!) ? [] : [{ rule: r, row: rows[i] }]))).toEqual([]);
  }
  test.each([
    ["plain", []],
    ["packed by zlib", ["-gz=zlib"]],
    ["packed the old way", ["-gz=zlib-gnu"]],
  ])("%s", (name, flags) => {
    const file = compile(name.replace(/ /g, "-"), ...flags);
    expectRows(file, file);
    expect(tables(file)[0]).toMatchObject({ why: "", functionsLeftOut: 0 });
  });
  test("beside a library with .eh_frame that is most of the text: the program's own functions have their rules", () => {
    const bulk = join(dir, "bulk.c");
    const functions = Array.from(
      { length: 400 },
      (_, i) => `int g${i}(int x) { return x * ${i} + (x >> 3); }`,
    );
    writeFileSync(bulk, functions.join("\n"));
    execFileSync("gcc", ["-O1", "-c", bulk, "-o", join(dir, "bulk.o")]);
    const file = compile("mixed", join(dir, "bulk.o"));
    expectRows(file, file);
    const [own, others] = rules(file, [labels(file).get("f7")! + 16, labels(file).get("g7")!]);
    expect([own!.cfa, others!.cfa]).toEqual(["sp", "sp"]);
  });
  test("that claims to unpack to a terabyte, or is damaged: as if it were not there", () => {
    const file = compile("lying", "-gz=zlib");
    const out = execFileSync("readelf", ["-SW", file], { encoding: "utf8" });
    const offset = parseInt(/\.debug_frame +PROGBITS +\w+ (\w+)/.exec(out)![1]!, 16);
    const whole = tables(file)[0]!.functions;
    for (const [at, bytes] of [
      [8, [0, 0, 0, 0, 0, 1, 0, 0]],
      [8, [255]],
      [0, [7]],
      [40, [255, 255, 255, 255]],
    ] as const) {
      const changed = readFileSync(file);
      Buffer.from(bytes).copy(changed, offset + at);
      writeFileSync(join(dir, "liar"), changed);
      expect(tables(join(dir, "liar"))[0]!.functions).toBeLessThan(whole / 2);
    }
  });
  test("in a separate debug file, found by build ID below the process's root", () => {
    const file = compile("separate", "-Wl,--build-id=sha1");
    const id = /Build ID: ([0-9a-f]+)/.exec(execFileSync("readelf", ["-n", file], { encoding: "utf8" }))![1]!;
    const stripped = join(dir, "stripped");
    const root = join(dir, "root");
    const folder = join(root, "usr/lib/debug/.build-id", id.slice(0, 2));
    mkdirSync(folder, { recursive: true });
    execFileSync("objcopy", ["--only-keep-debug", file, join(folder, `${id.slice(2)}.debug`)]);
    execFileSync("objcopy", ["--strip-all", file, stripped]);
    expectRows(stripped, file, root);
    const main = labels(file).get("main")!;
    expect(rules(stripped, [main])[0]!.cfa).toBe("none");
  });
});
