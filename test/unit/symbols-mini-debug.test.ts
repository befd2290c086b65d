// Mini debug info, made as Fedora's rpm makes it (find-debuginfo, add_minidebug): what a program exports keeps its name
// by .dynsym, the rest of its functions get theirs from the packed part.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildSanitizedDriver, readSafely } from "../support/symbols-sanitized.js";
import { BUILD_MS, buildDriver, compileNamed, namesInFile } from "./symbols/driver.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-mini-"));
const whole = join(dir, "whole");
const LOCAL = "_ZL14local_functioni";
const EXPORTED = "exported_function";
let at: { readonly local: number; readonly exported: number; readonly text: number };

const run = (command: string, ...args: string[]) => execFileSync(command, args, { encoding: "utf8" });
const symbols = (...args: string[]) =>
  [...run("nm", "--defined-only", "--format=posix", ...args).matchAll(/^(\S+) (\w) (\w+)/gm)].map((m) => ({
    name: m[1]!,
    type: m[2]!,
    offset: parseInt(m[3]!, 16), // code: offset in the file = address
  }));

/** `program` stripped, with `packed` as its .gnu_debugdata. */
function withPacked(name: string, packed: string | Buffer): string {
  const file = join(dir, name);
  const part = join(dir, `${name}.packed`);
  if (typeof packed === "string") writeFileSync(part, readFileSync(packed));
  else writeFileSync(part, packed);
  execFileSync("strip", ["-o", file, whole]);
  execFileSync("objcopy", ["--add-section", `.gnu_debugdata=${part}`, file]);
  return file;
}

/** The part before it is packed: functions only, without those that .dynsym has. */
function miniOf(program: string): string {
  const exported = new Set(symbols("-D", program).map((s) => s.name));
  const keep = symbols(program).filter((s) => /[TtD]/.test(s.type) && !exported.has(s.name));
  const list = join(dir, "keep");
  const debug = join(dir, "debug");
  const mini = join(dir, "mini");
  writeFileSync(list, keep.map((s) => `${s.name}\n`).join(""));
  execFileSync("objcopy", ["--only-keep-debug", program, debug]);
  execFileSync("objcopy", ["-S", "--remove-section", ".comment", `--keep-symbols=${list}`, debug, mini]);
  return mini;
}

const xz = (content: string | Buffer, ...options: string[]) =>
  execFileSync("xz", ["-c", ...options], {
    input: typeof content === "string" ? readFileSync(content) : content,
    maxBuffer: 1 << 28,
  });
const names = (file: string) => namesInFile(file, [at.local, at.exported]).names;

beforeAll(() => {
  buildDriver();
  buildSanitizedDriver();
  compileNamed(whole, ["-rdynamic", "-g"]);
  const of = (name: string) => symbols(whole).find((s) => s.name === name)!.offset + 1;
  at = { local: of(LOCAL), exported: of(EXPORTED), text: of("main") };
}, 2 * BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("a stripped program with mini debug info", () => {
  test("has the names of all its functions, those from .dynsym and those from the packed part", () => {
    const file = withPacked("fedora", xz(miniOf(whole)));
    // each has what the other has not, or the test would show nothing
    expect(symbols(miniOf(whole)).map((s) => s.name)).toContain(LOCAL);
    expect(symbols(miniOf(whole)).map((s) => s.name)).not.toContain(EXPORTED);
    expect(symbols("-D", file).map((s) => s.name)).not.toContain(LOCAL);
    const stripped = join(dir, "stripped");
    execFileSync("strip", ["-o", stripped, whole]);
    expect(names(stripped)).toEqual(["", EXPORTED]);
    expect(names(file)).toEqual([LOCAL, EXPORTED]);
    expect(namesInFile(file, [])).toMatchObject({ parsed: true, refused: 0 });
    expect(readSafely([file], at.local)[0]!.names).toEqual([LOCAL]);
  });
  test("all functions of the program have the names that nm tells of the whole one", () => {
    const file = withPacked("every", xz(miniOf(whole)));
    const all = symbols(whole).filter((s) => /[Tti]/.test(s.type) && s.offset >= 0x1000);
    const found = namesInFile(
      file,
      all.map((s) => s.offset),
    ).names;
    const wrong = all.filter((s, i) => !all.some((o) => o.offset === s.offset && o.name === found[i]));
    // the linker's own labels, which Fedora does not keep either
    expect(wrong.map((s) => s.name).filter((n) => !/^_(init|fini|start|dl_relocate)/.test(n))).toEqual([]);
    expect(all.length).toBeGreaterThan(10);
  });
  test("prefers a separate debug file", () => {
    // what is packed is damaged: nothing of it is looked at
    const file = withPacked("linked", Buffer.from("no xz"));
    const debug = join(dir, "linked.debug");
    execFileSync("objcopy", ["--only-keep-debug", whole, debug]);
    execFileSync("objcopy", [`--add-gnu-debuglink=${debug}`, file]);
    expect(names(file)).toEqual([LOCAL, EXPORTED]);
    expect(namesInFile(file, []).refused).toBe(0);
  });
  test("holds the names alone in memory, not the whole unpacked file", () => {
    const padded = join(dir, "padded");
    writeFileSync(join(dir, "padding"), Buffer.alloc(20e6, "padding"));
    execFileSync("objcopy", ["--add-section", `.padding=${join(dir, "padding")}`, miniOf(whole), padded]);
    const file = withPacked("fat", xz(padded));
    const found = namesInFile(file, [at.local]);
    expect(found.names).toEqual([LOCAL]);
    expect(found.bytes).toBeLessThan(100_000);
  });
});

describe("a packed part that lies: the names of .dynsym stay, and it is counted", () => {
  const refused = (file: string) => {
    expect(readSafely([file], at.local)).toMatchObject([{ parsed: true, refused: 1, names: [""] }]);
    expect(readSafely([file], at.exported)[0]!.names).toEqual([EXPORTED]);
  };
  test("no xz, nothing, no ELF inside", () => {
    refused(withPacked("text", Buffer.from("nothing of the kind")));
    refused(withPacked("one", Buffer.from([0])));
    refused(withPacked("no-elf", xz(Buffer.from("no ELF"))));
  });
  test("300 MB of zeros, packed into 45 KB: more than the sanitized reader may use", () => {
    const zeros = execFileSync("sh", ["-c", "head -c 300000000 /dev/zero | xz -1 -T1 -c"], {
      maxBuffer: 1 << 28,
    });
    expect(zeros.length).toBeLessThan(60_000);
    refused(withPacked("bomb", zeros));
  });
  test("one that wants a dictionary of 3 GiB for its unpacking", () => {
    // a stream of a small dictionary whose header, with its checksum, is made to claim a large one
    refused(withPacked("dictionary", claimDictionary(xz(miniOf(whole)))));
  });
  test("cut at every 37th byte, and 200 times with bytes turned over: a name is right or absent", () => {
    const good = xz(miniOf(whole));
    let seed = 5;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const base = readFileSync(withPacked("base", good));
    const place = base.indexOf(good);
    const files: string[] = [];
    const put = (content: Buffer) => {
      const file = join(dir, `damaged-${files.length}`);
      writeFileSync(file, content);
      files.push(file);
    };
    for (let length = 0; length < good.length; length += 37) {
      const copy = Buffer.from(base);
      copy.fill(0, place + length, place + good.length);
      put(copy);
    }
    const cuts = files.length;
    for (let i = 0; i < 200; i++) {
      const copy = Buffer.from(base);
      for (let k = 0; k < 3; k++) copy[place + random(good.length)] = random(256);
      put(copy);
    }
    const results = readSafely(files, at.local);
    expect(results.slice(0, cuts).map((r) => r.names[0])).toEqual(Array(cuts).fill(""));
    expect(results.filter((r) => !["", LOCAL].includes(r.names[0]!))).toEqual([]);
  });
  test("an ELF file inside whose tables lie", () => {
    const mini = readFileSync(miniOf(whole));
    const sections = Number(mini.readBigUInt64LE(40));
    const tables = Array.from({ length: mini.readUInt16LE(60) }, (_, i) => sections + i * 64).filter((at) =>
      [2, 3].includes(mini.readUInt32LE(at + 4)),
    );
    expect(tables.length).toBeGreaterThanOrEqual(3); // symbols, their names, names of sections
    const results = tables.map((at) =>
      [24, 32, 40].map((field) => {
        const copy = Buffer.from(mini);
        copy.fill(0xff, at + field, at + field + 7);
        return withPacked(`inside-${at}-${field}`, xz(copy, "-0"));
      }),
    );
    for (const r of readSafely(results.flat(), at.local)) {
      expect(r.parsed).toBe(true);
      expect(["", LOCAL]).toContain(r.names[0]);
    }
  });
});

/** CRC-32 as xz has it. */
function crc32(bytes: Buffer): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** The same stream whose block header claims the largest dictionary (xz file format, section 5.3.1: 40 = 4 GiB - 1). */
function claimDictionary(stream: Buffer): Buffer {
  const copy = Buffer.from(stream);
  const header = 12; // after the stream's own
  const size = (copy[header]! + 1) * 4;
  const filter = copy.indexOf(Buffer.from([0x21, 0x01]), header); // LZMA2, one byte of properties
  if (filter < 0 || filter > header + size) throw new Error("no LZMA2 filter where it should be");
  copy[filter + 2] = 39; // 3 GiB
  copy.writeUInt32LE(crc32(copy.subarray(header, header + size - 4)), header + size - 4);
  return copy;
}
