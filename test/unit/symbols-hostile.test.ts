// Files made to harm whoever reads them, read by a symbolizer built with sanitizers: nothing is read beyond its end,
// nothing leaks, nothing grows without bounds, nothing hangs.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildSanitizedDriver, demangleSafely, readSafely } from "../support/symbols-sanitized.js";
import { BUILD_MS, compileNamed } from "./symbols/driver.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-hostile-"));
const good = join(dir, "good");
/** Position and size in a section's header, for Elf64_Shdr. */
const SHDR = { name: 0, type: 4, flags: 8, address: 16, offset: 24, size: 32, link: 40, entry: 56 } as const;
const FLAG_COMPRESSED = 0x800n;

interface Section {
  /** Of its header in the file. */
  readonly at: number;
  readonly index: number;
  readonly offset: number;
  readonly size: number;
}
let bytes: Buffer;
let sections: ReadonlyMap<string, Section>;
let inFunction: number;
let inStub: number;

function readSections(file: Buffer): Map<string, Section> {
  const table = Number(file.readBigUInt64LE(40));
  const header = (index: number) => {
    const at = table + index * 64;
    const offset = Number(file.readBigUInt64LE(at + SHDR.offset));
    return { at, index, offset, size: Number(file.readBigUInt64LE(at + SHDR.size)) };
  };
  const names = header(file.readUInt16LE(62));
  const found = new Map<string, Section>();
  for (let i = 0; i < file.readUInt16LE(60); i++) {
    const section = header(i);
    const from = names.offset + file.readUInt32LE(section.at);
    found.set(file.toString("latin1", from, file.indexOf(0, from)), section);
  }
  return found;
}

beforeAll(() => {
  buildSanitizedDriver();
  compileNamed(good);
  bytes = readFileSync(good);
  sections = readSections(bytes);
  const nm = execFileSync("nm", [good], { encoding: "utf8" });
  inFunction = parseInt(/^(\w+) . exported_function$/m.exec(nm)![1]!, 16) + 1; // text: offset = address
  inStub = section(".plt").offset + 16;
}, BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function section(name: string): Section {
  const found = sections.get(name);
  if (!found) throw new Error(`${good} has no section ${name}`);
  return found;
}

let written = 0;
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
/** What becomes of the name of a function, or of a stub, after the change. */
function lie(offset: number, change: (file: Buffer) => void): string {
  const [result] = readSafely([changed(change)], offset);
  return result!.names[0]!;
}

/** The same numbers every time. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test("the unharmed file has both names, so that their absence below means something", () => {
  expect(readSafely([good], inFunction)[0]!.names).toEqual(["exported_function"]);
  expect(readSafely([good], inStub)[0]!.names[0]).toMatch(/^\w+@plt$/);
});

test("cut at every 61st byte: a name is right or absent", () => {
  const cuts = Array.from({ length: Math.ceil(bytes.length / 61) }, (_, i) => put(bytes.subarray(0, i * 61)));
  const names = readSafely(cuts, inFunction).map((r) => r.names[0]);
  expect(names).toHaveLength(cuts.length);
  expect(names.filter((name) => name !== "" && name !== "exported_function")).toEqual([]);
});

describe("bytes turned over at random", () => {
  const STRUCTURES = [
    ".symtab",
    ".strtab",
    ".shstrtab",
    ".dynsym",
    ".dynstr",
    ".rela.plt",
    ".rela.dyn",
    ".plt",
  ];
  test.each(["function", "stub"])("300 times in headers and tables, asked for a %s", (what) => {
    const random = randomNumbers(what.length);
    const table = Number(bytes.readBigUInt64LE(40));
    const files = Array.from({ length: 300 }, (_, i) =>
      changed((file) => {
        for (let k = 0; k < 6; k++) file[table + random(file.length - table)] = random(256);
        const target = section(STRUCTURES[i % STRUCTURES.length]!);
        for (let k = 0; k < 20; k++) file[target.offset + random(target.size)] = random(256);
      }),
    );
    const results = readSafely(files, what === "function" ? inFunction : inStub);
    expect(results).toHaveLength(files.length);
    // most are still read: the harm was not stopped at the door
    expect(results.filter((r) => r.parsed).length).toBeGreaterThan(100);
  });
  test("nothing but random bytes, also behind a right start", () => {
    const random = randomNumbers(7);
    const noise = () => Buffer.from(Array.from({ length: 4096 }, () => random(256)));
    const files = Array.from({ length: 100 }, (_, i) => {
      const file = noise();
      if (i % 2) bytes.copy(file, 0, 0, i % 4 === 1 ? 20 : 64);
      return put(file);
    });
    for (const r of readSafely(files, 0x100)) expect(r.names).toEqual([""]);
  });
});

describe("tables that lie", () => {
  test("tables that are linked to themselves or in a circle", () => {
    const to = (name: string, target: string) => (file: Buffer) =>
      file.writeUInt32LE(section(target).index, section(name).at + SHDR.link);
    expect(lie(inFunction, to(".symtab", ".symtab"))).toBe("");
    expect(lie(inFunction, to(".strtab", ".strtab"))).toBe("exported_function");
    const circle = (file: Buffer) => {
      to(".dynsym", ".dynstr")(file);
      to(".dynstr", ".dynsym")(file);
      to(".symtab", ".dynsym")(file);
    };
    expect(lie(inFunction, circle)).toBe("");
    // the table of section names: itself a symbol table, or beyond all sections
    for (const index of [section(".symtab").index, 0xfff0, 0xffff])
      expect(lie(inFunction, (f) => f.writeUInt16LE(index, 62))).toBe("exported_function");
  });
  test.each([
    ".symtab",
    ".strtab",
    ".dynsym",
    ".dynstr",
    ".shstrtab",
    ".rela.plt",
    ".rela.dyn",
    ".plt",
    ".text",
  ])("%s of 4 GiB, of 2^64 bytes, beyond the file, of odd entries, or packed", (name) => {
    const header = section(name).at;
    const lies = [
      changed((f) => f.writeBigUInt64LE(1n << 32n, header + SHDR.size)),
      changed((f) => f.writeBigUInt64LE((1n << 64n) - 1n, header + SHDR.size)),
      changed((f) => f.writeBigUInt64LE((1n << 64n) - 16n, header + SHDR.offset)),
      changed((f) => f.writeBigUInt64LE(BigInt(f.length - 3), header + SHDR.offset)),
      changed((f) => f.writeBigUInt64LE((1n << 64n) - 1n, header + SHDR.address)),
      changed((f) => f.writeBigUInt64LE(0n, header + SHDR.entry)),
      changed((f) => f.writeBigUInt64LE((1n << 64n) - 1n, header + SHDR.entry)),
      changed((f) => {
        // a compressed section begins with type 1, and its claimed size: a terabyte
        f.writeBigUInt64LE(f.readBigUInt64LE(header + SHDR.flags) | FLAG_COMPRESSED, header + SHDR.flags);
        f.writeBigUInt64LE(1n, section(name).offset);
        f.writeBigUInt64LE(1n << 40n, section(name).offset + 8);
      }),
    ];
    for (const offset of [inFunction, inStub])
      for (const { names } of readSafely(lies, offset))
        expect(["", "[plt]", "exported_function"].includes(names[0]!) || /^\w+@plt$/.test(names[0]!)).toBe(
          true,
        );
  });
  test("a stub that leads to a symbol, a name, or a slot that is not there is [plt]", () => {
    const relocations = section(".rela.plt");
    const everyRelocation = (f: Buffer, change: (at: number) => void) => {
      for (let at = relocations.offset; at < relocations.offset + relocations.size; at += 24) change(at);
      return f;
    };
    expect(lie(inStub, (f) => everyRelocation(f, (at) => f.writeUInt32LE(0xffffffff, at + 12)))).toBe(
      "[plt]",
    );
    expect(lie(inStub, (f) => everyRelocation(f, (at) => f.writeBigUInt64LE(0n, at)))).toBe("[plt]");
    expect(lie(inStub, (f) => f.fill(0xff, section(".dynsym").offset, section(".dynsym").offset + 480))).toBe(
      "[plt]",
    );
    expect(
      lie(inStub, (f) =>
        f.fill(0x41, section(".dynstr").offset, section(".dynstr").offset + section(".dynstr").size),
      ),
    ).toBe("[plt]");
    expect(lie(inStub, (f) => f.fill(0xcc, inStub, inStub + 16))).toBe("[plt]");
    // an index of 2^32 - 1 pushed
    expect(lie(inStub, (f) => f.fill(Buffer.from([0x68, 0xfe, 0xff, 0xff, 0xff]), inStub, inStub + 5))).toBe(
      "[plt]",
    );
  });
  test("a debug link without an end, or without room for its CRC", () => {
    const linked = join(dir, "linked");
    mkdirSync(join(dir, "links"), { recursive: true });
    writeFileSync(join(dir, "links/x.debug"), "nothing");
    execFileSync("objcopy", [
      "--strip-all",
      `--add-gnu-debuglink=${join(dir, "links/x.debug")}`,
      good,
      linked,
    ]);
    const file = readFileSync(linked);
    const link = readSections(file).get(".gnu_debuglink")!;
    const endless = Buffer.from(file);
    endless.fill(0x41, link.offset, link.offset + link.size);
    const cramped = Buffer.from(file);
    cramped.writeBigUInt64LE(8n, link.at + SHDR.size);
    for (const r of readSafely([put(endless), put(cramped)], inFunction))
      expect(r).toMatchObject({ parsed: true, names: [""] });
  });
});

describe("names", () => {
  test("of 4,000 characters are whole, also in C++", () => {
    const long = "a".repeat(3990);
    const source = join(dir, "long.cc");
    const file = join(dir, "long");
    writeFileSync(
      source,
      `namespace n { __attribute__((noinline, used)) int ${long}(int x) { return x * 3; } }\nint main() { return n::${long}(1); }\n`,
    );
    execFileSync("g++", ["-O1", "-fcf-protection=none", source, "-o", file]);
    const nm = execFileSync("nm", [file], { encoding: "utf8" });
    const mangled = `_ZN1n3990${long}Ei`;
    const at = parseInt(new RegExp(`^(\\w+) . ${mangled}$`, "m").exec(nm)![1]!, 16);
    expect(readSafely([file], at)[0]!.names).toEqual([mangled]);
    expect(demangleSafely(mangled, `${mangled}@plt`)).toEqual([`n::${long}(int)`, `n::${long}(int)@plt`]);
  });
  test("with control bytes and invalid UTF-8 come out byte by byte, as they are", () => {
    const name = "exported_function";
    const strange = 'a\u001b[31m\n\t"\\\u00ff\u00fe<b>\u0001'; // latin1: 0xff and 0xfe are no UTF-8
    const got = lie(inFunction, (f) => {
      const strings = section(".strtab");
      const at = f.indexOf(`\0${name}\0`, strings.offset, "latin1") + 1;
      f.write(`${strange}\0`, at, "latin1");
    });
    expect(got).toBe(strange);
  });
  test("that are no proper mangled names come back as they are, and leak nothing", () => {
    const random = randomNumbers(11);
    const names = Array.from({ length: 300 }, (_, i) => {
      const letters = Array.from({ length: 40 }, () => String.fromCharCode(33 + random(94))).join("");
      return `${i % 2 ? "_ZN" : "_RNv"}${letters}`;
    });
    for (const [i, name] of demangleSafely(...names).entries())
      expect(name.length > 0 && name).toBe(names[i]);
  });
});
