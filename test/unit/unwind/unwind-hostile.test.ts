// Files made to harm whoever makes tables of them, read by a driver built with sanitizers: nothing is read beyond its end,
// nothing leaks, nothing grows without bounds, nothing hangs.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { assemble, cie, fde } from "./assembled.js";
import { BUILD_MS, randomNumbers } from "./driver.js";
import { buildSanitizedDriver, tablesSafely } from "./sanitized.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-unwind-hostile-"));
const good = join(dir, "good");
let bytes: Buffer;
let goodFunctions: number;
/** Of Elf64_Shdr. */
const SHDR = { flags: 8, address: 16, offset: 24, size: 32 } as const;
/** Of Elf64_Phdr. */
const PHDR = { offset: 8, address: 16, fileSize: 32 } as const;

beforeAll(() => {
  buildSanitizedDriver();
  const source = join(dir, "good.c");
  const functions = Array.from(
    { length: 40 },
    (_, i) =>
      `__attribute__((noinline)) int f${i}(int x) { volatile char b[${144 + i * 8}]; b[x & 7] = x; return b[x & 3]; }`,
  );
  const calls = Array.from({ length: 40 }, (_, i) => `f${i}(c)`).join(" + ");
  writeFileSync(source, `${functions.join("\n")}\nint main(int c) { return ${calls}; }\n`);
  execFileSync("gcc", ["-O1", "-s", source, "-o", good]);
  bytes = readFileSync(good);
  goodFunctions = tablesSafely([good])[0]!.functions;
}, BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Place of a section's header, offset and size of its content. */
function section(name: string) {
  const table = Number(bytes.readBigUInt64LE(40));
  const header = (index: number) => table + index * 64;
  const offsetOf = (at: number) => Number(bytes.readBigUInt64LE(at + SHDR.offset));
  const names = offsetOf(header(bytes.readUInt16LE(62)));
  for (let i = 0; i < bytes.readUInt16LE(60); i++) {
    const from = names + bytes.readUInt32LE(header(i));
    if (bytes.toString("latin1", from, bytes.indexOf(0, from)) !== name) continue;
    const size = Number(bytes.readBigUInt64LE(header(i) + SHDR.size));
    return { header: header(i), offset: offsetOf(header(i)), size };
  }
  throw new Error(`${good} has no section ${name}`);
}
/** Place of the header of the executable segment. */
function textSegment(): number {
  for (let at = 64; ; at += 56) if (bytes.readUInt32LE(at) === 1 && bytes.readUInt32LE(at + 4) & 1) return at;
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

test("the unharmed file has a table, so that its absence below means something", () => {
  expect(tablesSafely([good])[0]).toMatchObject({ why: "", functionsLeftOut: 0 });
  expect(goodFunctions).toBeGreaterThan(40);
});

test("cut at every 61st byte: a table that is whole, or none", () => {
  const cuts = Array.from({ length: Math.ceil(bytes.length / 61) }, (_, i) => put(bytes.subarray(0, i * 61)));
  const facts = tablesSafely(cuts);
  expect(facts).toHaveLength(cuts.length);
  expect(facts.filter((t) => t.why === "" && t.functions !== goodFunctions)).toEqual([]);
  expect(facts.filter((t) => t.why !== "").length).toBeGreaterThan(cuts.length / 4);
});

describe("bytes turned over at random", () => {
  test.each([
    [".eh_frame", 12],
    [".eh_frame_hdr", 4],
    ["headers", 4],
  ])("400 times in %s", (where, count) => {
    const random = randomNumbers(where.length);
    const table = Number(bytes.readBigUInt64LE(40));
    const files = Array.from({ length: 400 }, (_, i) =>
      changed((file) => {
        const target =
          where === "headers"
            ? { offset: i % 2 ? 16 : table, size: i % 2 ? 600 : file.length - table }
            : section(where);
        for (let k = 0; k < count; k++) file[target.offset + random(target.size)] = random(256);
        // half of them are found by the program header alone
        if (where === ".eh_frame_hdr" || (where === ".eh_frame" && i % 2)) file.fill(0, 40, 48);
      }),
    );
    const facts = tablesSafely(files);
    expect(facts).toHaveLength(files.length);
    // most are still read: the harm was not stopped at the door
    if (where === ".eh_frame") expect(facts.filter((t) => t.functions > 3).length).toBeGreaterThan(200);
  });
  test("nothing but random bytes as .eh_frame", () => {
    const random = randomNumbers(7);
    const { offset, size } = section(".eh_frame");
    const files = Array.from({ length: 100 }, () =>
      changed((file) => {
        for (let at = offset; at < offset + size; at++) file[at] = random(256);
      }),
    );
    expect(tablesSafely(files).filter((t) => t.rows > size)).toEqual([]);
  });
});

describe("claims", () => {
  test(".eh_frame of 4 GiB, of 2^64 bytes, beyond the file, at the end of all addresses, or packed", () => {
    const { header, offset } = section(".eh_frame");
    const lies = [
      changed((f) => f.writeBigUInt64LE(1n << 32n, header + SHDR.size)),
      changed((f) => f.writeBigUInt64LE((1n << 64n) - 1n, header + SHDR.size)),
      changed((f) => f.writeBigUInt64LE((1n << 64n) - 16n, header + SHDR.offset)),
      changed((f) => f.writeBigUInt64LE(BigInt(f.length - 3), header + SHDR.offset)),
      changed((f) => f.writeBigUInt64LE((1n << 64n) - 1n, header + SHDR.address)),
      changed((f) => {
        f.writeBigUInt64LE(0x800n, header + SHDR.flags);
        f.writeBigUInt64LE(1n, offset);
        f.writeBigUInt64LE(1n << 40n, offset + 8);
      }),
    ];
    const facts = tablesSafely(lies);
    expect(facts.map((t) => t.why)).toEqual([
      "its .eh_frame is larger than 128 MiB",
      "its .eh_frame is larger than 128 MiB",
      "its .eh_frame lies beyond its end",
      "its .eh_frame lies beyond its end",
      "its .eh_frame tells nothing about its code",
      "its .eh_frame is packed in a way that is not known, or damaged",
    ]);
  });
  test("a sparse file of 8 GiB with as much .eh_frame, and one with 100 MiB of zeros", () => {
    const { header } = section(".eh_frame");
    const files = [8 * 2 ** 30, 100 * 2 ** 20].map((size) => {
      const file = changed((f) => {
        f.writeBigUInt64LE(BigInt(f.length), header + SHDR.offset);
        f.writeBigUInt64LE(BigInt(size), header + SHDR.size);
      });
      truncateSync(file, size + bytes.length);
      return file;
    });
    expect(tablesSafely(files).map((t) => t.why)).toEqual([
      "its .eh_frame is larger than 128 MiB",
      "its .eh_frame tells nothing about its code",
    ]);
  });
  test("code of 2^64 bytes, of 1 GiB, and of 1 GiB with one function that is all of it", () => {
    const text = textSegment();
    const whole = (size: bigint) => (f: Buffer) => f.writeBigUInt64LE(size, text + PHDR.fileSize);
    const facts = tablesSafely([
      changed(whole((1n << 64n) - 1n)),
      changed(whole((1n << 63n) + 4096n)),
      changed(whole((1n << 30n) - 8192n)),
      changed((f) => {
        whole((1n << 30n) - 8192n)(f);
        const { offset, size } = section(".eh_frame");
        // ranges follow addresses that are relative: every entry's becomes 2 GiB
        for (let at = offset; at + 4 < offset + size; ) {
          const length = f.readUInt32LE(at);
          if (!length) break;
          if (f.readUInt32LE(at + 4)) f.writeUInt32LE(0x7fffffff, at + 12);
          at += 4 + length;
        }
      }),
    ]);
    expect(facts[0]!.why).toBe("it has no executable segment");
    expect(facts[1]!.why).toBe("its code spans more than 1 GiB");
    expect(facts[2]!.functions).toBe(goodFunctions);
    // a directory of 4 MiB; pages of one rule share their row
    expect(facts[3]).toMatchObject({ why: "" });
    expect(facts[3]!.bytes).toBeGreaterThan(4_000_000);
    expect(facts[3]!.bytes).toBeLessThan(4_300_000);
  });
});

describe("entries that lead astray", () => {
  const CODE = "a: .skip 4096, 0x90";
  const own = (name: string, entries: string) =>
    assemble(dir, name, `${CODE}\n.section .own_frame,"a"\n${entries}`);
  const long = ["long a - .", "long 64"].map((d) => `.${d}`) as [string, string];

  test("a CIE that is the entry itself, another FDE, beyond the section, or before it", () => {
    const to = (where: string) => `.long 2f - 1f\n1: .long ${where}\n.long a - .\n.long 64\n.byte 0\n2:\n`;
    const entries = [
      cie("cie"),
      to("4"),
      to(". - cie - 30"),
      to("0x7fffffff"),
      to("0xffffff00"),
      fde("cie", ...long, []),
    ];
    expect(tablesSafely([own("astray", entries.join(""))])[0]).toMatchObject({
      functions: 1,
      functionsLeftOut: 4,
    });
  });
  test("a million steps of no length, and a million of one byte, in one function: rows for its bytes alone", () => {
    const steps = (step: string) =>
      `${cie("cie")}\n.long 2f - 1f\n1: .long . - cie\n.long a - .\n.long 4096\n.byte 0\n.rept 1000000\n${step}\n.endr\n2:`;
    const facts = tablesSafely([
      own("still", steps(".byte 0x0e, 16, 0x40")),
      own("walk", steps(".byte 0x0e, 16, 0x41, 0x0e, 24, 0x41")),
    ]);
    expect(facts[0]).toMatchObject({ why: "", functions: 1 });
    expect(facts[0]!.rows).toBeLessThan(10);
    expect(facts[1]!.rows).toBeLessThanOrEqual(4 * 255 + 10);
    expect(facts[1]!.rowsLeftOut).toBeGreaterThan(3000);
  });
  test("a hundred thousand states remembered, and as many never remembered", () => {
    const many = (op: number) =>
      `${cie("cie")}\n.long 2f - 1f\n1: .long . - cie\n.long a - .\n.long 64\n.byte 0\n.fill 100000, 1, ${op}\n2:`;
    const facts = tablesSafely([own("remember", many(0x0a)), own("restore", many(0x0b))]);
    for (const table of facts) expect(table).toMatchObject({ why: "", functions: 1, rowsUnsupported: 1 });
  });
  test("100,000 functions that are the same bytes, and 70,000 CIEs", () => {
    const same = `${cie("cie")}\n.rept 100000\n.long 13\n.long . - cie\n.long a - .\n.long 64\n.byte 0\n.endr`;
    const cies = `.rept 70000\n.long 20\n8: .long 0\n.byte 1\n.asciz "zR"\n.byte 1, 0x78, 16, 1, 0x1b\n.byte 0x0c, 7, 8, 0x90, 1, 0, 0\n.long 13\n.long . - 8b + 4\n.long a - .\n.long 64\n.byte 0\n.endr`;
    const facts = tablesSafely([own("same", same), own("cies", cies)]);
    expect(facts[0]).toMatchObject({ why: "", functions: 1, functionsLeftOut: 0 });
    // a CIE beyond the limit is a function left out, and counted
    expect(facts[1]).toMatchObject({ why: "", functions: 1, functionsLeftOut: 70000 - 65536 });
  });
});
