// Functions without a name: where they begin, by what a stripped file keeps for exceptions; and what the model makes of it.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BUILD_MS, buildDriver, compileNamed, namesInFile } from "./symbols/driver.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-begins-"));
beforeAll(buildDriver, BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Functions by the unwind entries that readelf tells: begin and end, as file offsets. Code lies where it is mapped. */
function functionsOf(file: string): { begin: number; end: number }[] {
  const segments = execFileSync("readelf", ["-lW", file], { encoding: "utf8" });
  const code = [...segments.matchAll(/^ +LOAD +(0x\w+) (0x\w+) 0x\w+ (0x\w+) 0x\w+ R E/gm)].map((m) => ({
    offset: Number(m[1]),
    address: Number(m[2]),
    size: Number(m[3]),
  }));
  const frames = execFileSync("readelf", ["--debug-dump=frames", file], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  return [...frames.matchAll(/ FDE .*pc=([0-9a-f]+)\.\.([0-9a-f]+)/g)].flatMap((m) => {
    const [begin, end] = [parseInt(m[1]!, 16), parseInt(m[2]!, 16)];
    const segment = code.find((s) => begin >= s.address && end <= s.address + s.size);
    return segment === undefined
      ? []
      : [{ begin: begin - segment.address + segment.offset, end: end - segment.address + segment.offset }];
  });
}

describe.each([
  ["nginx", "/usr/sbin/nginx", 500],
  ["the cipher library", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3", 2000],
  ["the C++ library", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6", 2000],
])("%s against readelf", (_, file, least) => {
  test("first, middle and last byte of its functions", () => {
    const functions = functionsOf(file);
    expect(functions.length).toBeGreaterThan(least);
    const some = functions.filter((_, i) => i % Math.ceil(functions.length / 300) === 0);
    const at = some.flatMap(({ begin, end }) => [begin, begin + ((end - begin) >> 1), end - 1]);
    const right = some.flatMap(({ begin }) => Array(3).fill(begin.toString(16)));
    expect(namesInFile(file, at).begins.map((begin) => begin?.replace(/^0x/, ""))).toEqual(right);
  });
});

describe("a file that lies", () => {
  const good = join(dir, "good");
  let header: number;
  let inFunction: number;

  beforeAll(() => {
    compileNamed(good);
    const [, offset] = /GNU_EH_FRAME +(0x\w+)/.exec(
      execFileSync("readelf", ["-lW", good], { encoding: "utf8" }),
    )!;
    header = Number(offset);
    inFunction = functionsOf(good).findLast(({ begin, end }) => end - begin > 8)!.begin + 4;
  });
  const beginsIn = (change: (bytes: Buffer) => void) => {
    const bytes = readFileSync(good);
    change(bytes);
    const file = join(dir, "bad");
    writeFileSync(file, bytes);
    return namesInFile(file, [inFunction]).begins[0];
  };

  test("is believed as it is", () => {
    expect(beginsIn(() => {})).not.toBeNull();
  });
  test.each([
    ["of another version", 0, 2],
    ["with another form of rows", 3, 0x1b],
    ["with more rows than it has room for", 11, 0x7f],
    ["whose rows lead elsewhere", 16, 0x7f],
  ])("about a table %s: nothing is told", (_, at, byte) => {
    const told = beginsIn((bytes) => {
      // of rows all of them
      if (at < 12) bytes[header + at] = byte;
      else
        for (let row = header + at; row < header + 12 + 8 * bytes.readUInt32LE(header + 8); row += 8)
          bytes[row + 3] = byte;
    });
    expect(told).toBeNull();
  });
});
