// Debug information made to harm whoever reads it, read by a symbolizer built with sanitizers: no file ends it, makes it
// hang or makes it take more than 256 MiB, and a file that is whole is still read.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { repositoryRoot } from "../support/paths.js";
import { buildSanitizedDriver, linesSafely } from "../support/symbols-sanitized.js";
import { BUILD_MS } from "./symbols/driver.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-hostile-lines-"));
const good = join(dir, "good");
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const FLAG_COMPRESSED = 0x800n;

interface Section {
  /** Of its header in the file. */
  readonly at: number;
  readonly offset: number;
  readonly size: number;
}
let bytes: Buffer;
let offset: number;
let written = 0;

function sectionsOf(file: Buffer): Map<string, Section> {
  const table = Number(file.readBigUInt64LE(40));
  const header = (index: number): Section => {
    const at = table + index * 64;
    return {
      at,
      offset: Number(file.readBigUInt64LE(at + 24)),
      size: Number(file.readBigUInt64LE(at + 32)),
    };
  };
  const names = header(file.readUInt16LE(62));
  return new Map(
    Array.from({ length: file.readUInt16LE(60) }, (_, i) => {
      const from = names.offset + file.readUInt32LE(header(i).at);
      return [file.toString("latin1", from, file.indexOf(0, from)), header(i)] as const;
    }),
  );
}
function section(name: string): Section {
  const found = sectionsOf(bytes).get(name);
  if (!found) throw new Error(`${good} has no section ${name}`);
  return found;
}
function put(content: Buffer): string {
  const file = join(dir, `hostile-${written++}`);
  writeFileSync(file, content);
  return file;
}
function changed(change: (file: Buffer) => void): string {
  const copy = Buffer.from(bytes);
  change(copy);
  return put(copy);
}
/** The same numbers every time. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
/** A file whose section is replaced. */
function withSection(name: string, content: Buffer): string {
  const part = put(content);
  const to = join(dir, `hostile-${written++}`);
  execFileSync("objcopy", ["--update-section", `${name}=${part}`, good, to]);
  return to;
}

describe.each(["-gdwarf-5", "-gdwarf-4"])("%s", (format) => {
  beforeAll(() => {
    buildSanitizedDriver();
    const source = join(repositoryRoot(), "test/programs/inlined-chain.cc");
    execFileSync("g++", ["-std=c++17", "-D_GNU_SOURCE", "-O2", "-g", format, source, "-o", good]);
    bytes = readFileSync(good);
    const nm = execFileSync("nm", [good], { encoding: "utf8" });
    offset = parseInt(/^(\w+) . lf_in_the_loop$/m.exec(nm)![1]!, 16); // text: offset = address
  }, BUILD_MS);

  test("the unharmed file has its chain, so that its absence below means something", () => {
    const [whole] = linesSafely([good], offset);
    expect(whole!.functions).toHaveLength(4);
    expect(whole!.refused).toBe(false);
  });

  test("400 files with bytes turned over at random in debug sections", () => {
    const random = randomNumbers(format.length + Number(format.at(-1)));
    const parts = [...sectionsOf(bytes).keys()].filter((name) => name.startsWith(".debug_"));
    expect(parts.length).toBeGreaterThanOrEqual(5);
    const files = Array.from({ length: 400 }, (_, i) =>
      changed((file) => {
        const { offset: from, size } = section(parts[i % parts.length]!);
        // heads of units as often as what is behind them
        const within = i % 2 ? size : Math.min(size, 64);
        for (let k = 0; k < 1 + (i % 16); k++) file[from + random(within)] = random(256);
      }),
    );
    const results = linesSafely(files, offset);
    expect(results).toHaveLength(files.length);
    // most are still read: the harm was not stopped at the door
    expect(results.filter((r) => r.functions.length > 0).length).toBeGreaterThan(100);
  });

  test("cut anywhere: lines are there or not", () => {
    const cuts = Array.from({ length: 60 }, (_, i) => put(bytes.subarray(0, (bytes.length * i) / 60)));
    expect(linesSafely(cuts, offset)).toHaveLength(60);
  });

  test("a section of 2^64 bytes, beyond the file, or packed to a terabyte", () => {
    for (const name of [".debug_info", ".debug_abbrev", ".debug_line", ".debug_str"]) {
      const { at, offset: from } = section(name);
      const lies = [
        changed((f) => f.writeBigUInt64LE((1n << 64n) - 1n, at + 32)),
        changed((f) => f.writeBigUInt64LE((1n << 64n) - 16n, at + 24)),
        changed((f) => f.writeBigUInt64LE(BigInt(f.length - 3), at + 24)),
        changed((f) => {
          f.writeBigUInt64LE(f.readBigUInt64LE(at + 8) | FLAG_COMPRESSED, at + 8);
          f.writeBigUInt64LE(1n, from);
          f.writeBigUInt64LE(1n << 40n, from + 8);
        }),
        changed((f) => {
          // a size within the bounds, of which not a byte comes
          f.writeBigUInt64LE(f.readBigUInt64LE(at + 8) | FLAG_COMPRESSED, at + 8);
          f.writeBigUInt64LE(1n, from);
          f.writeBigUInt64LE(100n << 20n, from + 8);
        }),
      ];
      for (const { refused, functions } of linesSafely(lies, offset)) {
        expect(refused, name).toBe(true);
        expect(functions).toEqual([]);
      }
    }
  });

  test("functions within one another, 2,000,000 deep, end neither the stack nor the test", () => {
    // abbreviation 1: a unit over all code; 2: a function with children over all code
    const abbreviations = Buffer.from([
      1, 0x11, 1, 0x11, 0x01, 0x12, 0x07, 0, 0, 2, 0x2e, 1, 0x11, 0x01, 0x12, 0x0b, 0, 0, 3, 0x0b, 1, 0, 0, 0,
    ]);
    const depth = 2_000_000;
    const head = Buffer.alloc(11);
    const unit = Buffer.alloc(17);
    unit[0] = 1;
    unit.writeBigUInt64LE(0x1000n, 1);
    unit.writeBigUInt64LE(0x1000000n, 9);
    head.writeUInt32LE(7 + unit.length + depth, 0);
    head.writeUInt16LE(4, 4);
    head[10] = 8;
    const nested = withSection(".debug_info", Buffer.concat([head, unit, Buffer.alloc(depth, 3)]));
    execFileSync("objcopy", ["--update-section", `.debug_abbrev=${put(abbreviations)}`, nested]);
    const [result] = linesSafely([nested], offset);
    expect(result!.functions.length).toBeLessThanOrEqual(1);
  });

  test("70,000 units are refused before they cost anything", () => {
    const one = Buffer.alloc(12);
    one.writeUInt32LE(8, 0);
    one.writeUInt16LE(4, 4);
    one[10] = 8;
    const many = Buffer.alloc(12 * 70_000);
    for (let at = 0; at < many.length; at += 12) one.copy(many, at);
    const [result] = linesSafely([withSection(".debug_info", many)], offset);
    expect(result).toEqual({ refused: true, functions: [] });
  });

  test("a line program of one row a byte stays within its bounds", () => {
    const { offset: from, size } = section(".debug_line");
    const table = bytes.subarray(from, from + size);
    // what follows the header: special opcodes to the end of 40 MiB
    const long = Buffer.alloc(40 << 20, 0x4b);
    table.copy(long);
    long.writeUInt32LE(long.length - 4, 0);
    const headerEnd = format === "-gdwarf-5" ? 12 + table.readUInt32LE(8) : 10 + table.readUInt32LE(6);
    long.fill(0x4b, headerEnd + 11);
    const [result] = linesSafely([withSection(".debug_line", long)], offset);
    expect(result!.refused).toBe(false);
  });
});
