// Symbol tables of files: against nm on real programs, with separate debug files, and files that lie.
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BUILD_MS, buildDriver, compileNamed, namesInFile } from "./driver.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-elf-"));
beforeAll(buildDriver, BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface NmSymbol {
  readonly address: number;
  readonly size: number;
  readonly name: string;
}

/** Functions with a size, as nm tells them; `dynamic` for a stripped file. */
function nm(file: string, dynamic: boolean): NmSymbol[] {
  const args = ["-S", "--defined-only", ...(dynamic ? ["-D"] : []), file];
  const out = execFileSync("nm", args, { encoding: "utf8", maxBuffer: 1 << 28 });
  return out.split("\n").flatMap((line) => {
    const match = /^([0-9a-f]+) ([0-9a-f]+) [TtWwi] ([^@]+)/.exec(line);
    if (!match) return [];
    return [{ address: parseInt(match[1]!, 16), size: parseInt(match[2]!, 16), name: match[3]! }];
  });
}

/** File offset of a virtual address, by the program headers that readelf tells. */
function fileOffsets(file: string): (address: number) => number {
  const out = execFileSync("readelf", ["-lW", file], { encoding: "utf8" });
  const loads = [...out.matchAll(/^ +LOAD +(0x\w+) (0x\w+) 0x\w+ (0x\w+)/gm)].map((m) => ({
    offset: Number(m[1]),
    address: Number(m[2]),
    size: Number(m[3]),
  }));
  return (address) => {
    const load = loads.find((l) => address >= l.address && address < l.address + l.size)!;
    return address - load.address + load.offset;
  };
}

describe.each([
  ["node", realpathSync(process.execPath), false],
  ["nginx", "/usr/sbin/nginx", true],
  ["the C library", "/lib/x86_64-linux-gnu/libc.so.6", true],
])("%s against nm", (_, file, dynamic) => {
  test("first, middle and last byte of 300 functions", () => {
    const symbols = nm(file, dynamic);
    const offset = fileOffsets(file);
    const sample = symbols.filter((_, i) => i % Math.ceil(symbols.length / 300) === 0);
    expect(sample.length).toBeGreaterThan(100);
    const addresses = sample.flatMap((s) => [s.address, s.address + (s.size >> 1), s.address + s.size - 1]);
    const result = namesInFile(file, addresses.map(offset));
    const wrong = addresses.flatMap((address, i) => {
      const right = symbols.filter((s) => address >= s.address && address < s.address + s.size);
      return right.some((s) => s.name === result.names[i]) ? [] : [{ address, got: result.names[i] }];
    });
    expect(wrong).toEqual([]);
  });
});

test("node's 27,000 symbols are parsed in less than 200 ms into less than 4 MB", () => {
  const result = namesInFile(realpathSync(process.execPath), []);
  expect(result.parseNs).toBeLessThan(200e6);
  expect(result.bytes).toBeLessThan(4e6);
});

describe("a stripped program", () => {
  const whole = join(dir, "whole");
  let addresses: { local: number; exported: number };
  beforeAll(() => {
    compileNamed(whole, ["-rdynamic", "-g"]);
    const symbols = nm(whole, false);
    const offset = fileOffsets(whole);
    const at = (name: string) => offset(symbols.find((s) => s.name === name)!.address + 1);
    addresses = { local: at("_ZL14local_functioni"), exported: at("exported_function") };
  });
  const names = (file: string) => namesInFile(file, [addresses.local, addresses.exported]).names;
  const FOUND = ["_ZL14local_functioni", "exported_function"];
  const EXPORTED_ONLY = ["", "exported_function"];

  /** A stripped copy in a folder of its own, which links to `debug/name` there. */
  function stripped(folder: string, debugPlace: string): { file: string; debug: string } {
    const place = join(dir, folder, debugPlace);
    mkdirSync(place, { recursive: true });
    const file = join(dir, folder, "program");
    const debug = join(place, "program.debug");
    execFileSync("objcopy", ["--only-keep-debug", whole, debug]);
    execFileSync("objcopy", ["--strip-all", `--add-gnu-debuglink=${debug}`, whole, file]);
    return { file, debug };
  }

  test("without a debug file has the names that it exports, and none for the rest", () => {
    const file = join(dir, "stripped");
    execFileSync("strip", ["-o", file, whole]);
    expect(names(whole)).toEqual(FOUND);
    expect(names(file)).toEqual(EXPORTED_ONLY);
  });
  test.each(["", ".debug"])("finds its debug file beside it, in '%s'", (place) => {
    expect(names(stripped(`beside${place}`, place).file)).toEqual(FOUND);
  });
  test("does not take a debug file of another build: the CRC differs", () => {
    const { file, debug } = stripped("other-build", "");
    writeFileSync(debug, Buffer.concat([readFileSync(debug), Buffer.from("x")]));
    expect(names(file)).toEqual(EXPORTED_ONLY);
  });
  test("does not follow a debug link out of its folder", () => {
    const { file } = stripped("slash", "");
    const bytes = readFileSync(file);
    bytes.write("../evil.debug\0", bytes.indexOf("program.debug\0"));
    writeFileSync(file, bytes);
    expect(names(file)).toEqual(EXPORTED_ONLY);
  });
});

describe("a file that lies gives no names, and costs neither memory nor the process", () => {
  const good = join(dir, "good");
  let bytes: Buffer;
  let sections: number;
  beforeAll(() => {
    compileNamed(good);
    bytes = readFileSync(good);
    sections = Number(bytes.readBigUInt64LE(40));
  });
  /** Position of the header of the n-th section of a type (2 = SHT_SYMTAB, 3 = SHT_STRTAB). */
  function section(type: number): number {
    for (let i = 0; i < bytes.readUInt16LE(60); i++)
      if (bytes.readUInt32LE(sections + i * 64 + 4) === type) return sections + i * 64;
    throw new Error(`no section of type ${type}`);
  }
  function lie(change: (file: Buffer) => void): ReturnType<typeof namesInFile> {
    const file = join(dir, "lie");
    const copy = Buffer.from(bytes);
    change(copy);
    writeFileSync(file, copy);
    return namesInFile(file, [0x1000, 0x1100, 0x1200, 0x1300]);
  }

  test("no ELF at all, an empty file, a text", () => {
    for (const text of ["", "\x7fELF", "#!/bin/sh\n", "\x7fELF\x02\x01\x01".padEnd(64, "\xff")]) {
      const file = join(dir, "text");
      writeFileSync(file, text, "latin1");
      expect(namesInFile(file, [0])).toMatchObject({ parsed: false, names: [""] });
    }
  });
  test("sections beyond the end, a million of them, and their number kept elsewhere", () => {
    expect(lie((f) => f.writeBigUInt64LE(1n << 62n, 40)).parsed).toBe(false);
    expect(lie((f) => f.writeUInt16LE(0xfeff, 60)).parsed).toBe(false);
    expect(lie((f) => f.writeUInt16LE(0, 60)).parsed).toBe(false);
    expect(lie((f) => f.writeUInt16LE(0xffff, 56)).parsed).toBe(false);
  });
  test("a symbol table of 4 GiB, or of 2^64 bytes, or at an odd place", () => {
    for (const size of [1n << 32n, (1n << 64n) - 8n]) {
      const local = lie((f) => f.writeBigUInt64LE(size, section(2) + 32));
      expect(local).toMatchObject({ parsed: true });
      expect(local.names.join("")).not.toContain("local_function");
    }
    expect(lie((f) => f.writeBigUInt64LE(BigInt(f.length - 7), section(2) + 24)).parsed).toBe(true);
  });
  test("a table that is there, but full of holes: 64 GiB of nothing", () => {
    const file = join(dir, "sparse");
    const copy = Buffer.from(bytes);
    copy.writeBigUInt64LE(60n << 30n, section(2) + 32);
    writeFileSync(file, copy);
    truncateSync(file, 64 * 2 ** 30);
    expect(namesInFile(file, [0x1000]).parsed).toBe(true);
    rmSync(file);
  });
  test("names without an end, and names beyond their table", () => {
    const symtab = section(2);
    const strings = sections + bytes.readUInt32LE(symtab + 40) * 64;
    const at = Number(bytes.readBigUInt64LE(strings + 24));
    const size = Number(bytes.readBigUInt64LE(strings + 32));
    expect(lie((f) => f.fill(0x61, at, at + size)).names.filter((n) => n.length > 16384)).toEqual([]);
    expect(lie((f) => f.writeBigUInt64LE(3n, strings + 32)).names.join("")).not.toContain("function");
  });
  test("cut at 60 places, and 300 times with bytes turned over", () => {
    let seed = 42;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const file = join(dir, "cut");
    const files: string[] = [];
    for (let i = 0; i < 60; i++) {
      writeFileSync(`${file}${i}`, bytes.subarray(0, random(bytes.length)));
      files.push(`${file}${i}`);
    }
    for (let i = 0; i < 300; i++) {
      const copy = Buffer.from(bytes);
      // headers are where a wrong byte does most
      for (let k = 0; k < 8; k++)
        copy[k % 2 ? random(64) : sections + random(copy.length - sections)] = random(256);
      writeFileSync(`${file}x${i}`, copy);
      files.push(`${file}x${i}`);
    }
    for (const f of files) expect(namesInFile(f, [0x1000, 0x1180]).names).toHaveLength(2);
  });
});
