// Every kind of rule, of entry and of section, in small files whose call frame information is known.
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { assemble, cie, fde, labels } from "./assembled.js";
import { BUILD_MS, buildDriver, type Rule, rules, tables } from "./driver.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-unwind-"));
beforeAll(buildDriver, BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const rule = (cfa: Rule["cfa"], cfaOffset = 0, more: Partial<Rule> = {}): Rule => ({
  cfa,
  cfaOffset,
  cfaAdd: 0,
  fp: "same",
  fpOffset: 0,
  ...more,
});
/** The rule at the label `f` of a function with these directives before it. */
function ruleAfter(name: string, directives: string, start = ".cfi_startproc"): Rule {
  const file = assemble(dir, name, `.globl f\n${start}\nnop\n${directives}\nf: nop\n.cfi_endproc`);
  return rules(file, [labels(file).get("f")!])[0]!;
}

describe("instructions", () => {
  test.each<[string, string, Rule]>([
    ["nothing", "", rule("sp", 8)],
    ["offset and register", ".cfi_def_cfa rbp, 16", rule("fp", 16)],
    ["a large offset", ".cfi_def_cfa_offset 1000008", rule("sp", 1000008)],
    ["an offset below zero", ".cfi_def_cfa rbp, -40", rule("fp", -40)],
    ["rbp saved", ".cfi_offset rbp, -16", rule("sp", 8, { fp: "cfa", fpOffset: -16 })],
    ["rbp saved above", ".cfi_offset rbp, 16", rule("sp", 8, { fp: "cfa", fpOffset: 16 })],
    ["rbp restored", ".cfi_offset rbp, -16\nnop\n.cfi_restore rbp", rule("sp", 8)],
    ["rbp said to be the same", ".cfi_offset rbp, -16\nnop\n.cfi_same_value rbp", rule("sp", 8)],
    ["rbp undefined", ".cfi_undefined rbp", rule("sp", 8, { fp: "lost" })],
    ["rbp in a register", ".cfi_register rbp, rax", rule("sp", 8, { fp: "lost" })],
    ["rbp as a value", ".cfi_val_offset rbp, -16", rule("sp", 8, { fp: "lost" })],
    ["other registers", ".cfi_offset rbx, -24\n.cfi_register r12, rax\n.cfi_undefined r13", rule("sp", 8)],
    ["the CFA in r10", ".cfi_def_cfa r10, 0", rule("unsupported")],
    ["rsp again after r10", ".cfi_def_cfa r10, 0\nnop\n.cfi_def_cfa rsp, 24", rule("sp", 24)],
    ["an undefined return address", ".cfi_undefined rip", rule("end")],
    ["the return address in a register", ".cfi_register rip, rdi", rule("unsupported")],
    ["the return address elsewhere", ".cfi_offset rip, -16", rule("unsupported")],
    ["a return address that was popped", ".cfi_def_cfa_offset 0", rule("end")],
    [
      "a state remembered and restored",
      ".cfi_offset rbp, -16\n.cfi_remember_state\nnop\n.cfi_def_cfa_offset 64\n.cfi_restore rbp\nnop\n.cfi_restore_state",
      rule("sp", 8, { fp: "cfa", fpOffset: -16 }),
    ],
    [
      "states in states",
      ".cfi_remember_state\n.cfi_def_cfa_offset 16\n.cfi_remember_state\n.cfi_def_cfa_offset 32\n.cfi_restore_state",
      rule("sp", 16),
    ],
    ["a state that was never remembered", ".cfi_escape 0x0b", rule("unsupported")],
    ["an unknown instruction", ".cfi_escape 0x3f", rule("unsupported")],
    ["the size of arguments", ".cfi_escape 0x2e, 16", rule("sp", 8)],
    ["offset_extended", ".cfi_escape 0x05, 6, 2", rule("sp", 8, { fp: "cfa", fpOffset: -16 })],
    ["offset_extended_sf", ".cfi_escape 0x11, 6, 2", rule("sp", 8, { fp: "cfa", fpOffset: -16 })],
    ["GNU_negative_offset_extended", ".cfi_escape 0x2f, 6, 2", rule("sp", 8, { fp: "cfa", fpOffset: 16 })],
    ["restore_extended", ".cfi_offset rbp, -16\n.cfi_escape 0x06, 6", rule("sp", 8)],
    ["def_cfa_sf", ".cfi_escape 0x12, 6, 0x7e", rule("fp", 16)],
    ["def_cfa_offset_sf", ".cfi_escape 0x13, 0x7d", rule("sp", 24)],
    ["expression: *(rbp - 8)", ".cfi_escape 0x0f, 3, 0x76, 0x78, 0x06", rule("derefFp", -8)],
    ["expression: *(rsp + 64)", ".cfi_escape 0x0f, 4, 0x77, 0xc0, 0x00, 0x06", rule("derefSp", 64)],
    [
      "expression: *(rsp + 8) + 16",
      ".cfi_escape 0x0f, 5, 0x77, 8, 0x06, 0x23, 16",
      rule("derefSp", 8, { cfaAdd: 16 }),
    ],
    [
      "expression: *(rsp + 8 + 8) + 4 - 12",
      ".cfi_escape 0x0f, 10, 0x77, 8, 0x38, 0x22, 0x06, 0x34, 0x22, 0x3c, 0x1c, 0x96",
      rule("derefSp", 16, { cfaAdd: -8 }),
    ],
    ["expression: rbp + 24", ".cfi_escape 0x0f, 2, 0x76, 24", rule("fp", 24)],
    ["expression: **rsp", ".cfi_escape 0x0f, 4, 0x77, 0, 0x06, 0x06", rule("unsupported")],
    ["expression: *(rax)", ".cfi_escape 0x0f, 3, 0x70, 0, 0x06", rule("unsupported")],
    ["expression: nothing", ".cfi_escape 0x0f, 0", rule("unsupported")],
    [
      "register and offset after an expression",
      ".cfi_escape 0x0f, 3, 0x76, 0x78, 0x06\nnop\n.cfi_def_cfa rsp, 16",
      rule("sp", 16),
    ],
    [
      "only an offset after an expression",
      ".cfi_escape 0x0f, 3, 0x76, 0x78, 0x06, 0x0e, 16",
      rule("unsupported"),
    ],
    ["rbp at rbp + 0", ".cfi_escape 0x10, 6, 2, 0x76, 0", rule("sp", 8, { fp: "derefFp" })],
    [
      "rbp at CFA - 16 by expression",
      ".cfi_escape 0x10, 6, 2, 0x40, 0x1c",
      rule("sp", 8, { fp: "cfa", fpOffset: -16 }),
    ],
    ["rbp at rsp + 8", ".cfi_escape 0x10, 6, 2, 0x77, 8", rule("sp", 8, { fp: "lost" })],
    ["rbp by val_expression", ".cfi_escape 0x16, 6, 2, 0x76, 0", rule("sp", 8, { fp: "lost" })],
    ...[11, 9, 5].map<[string, string, Rule]>((from) => [
      `an entry of a PLT that pushes at byte ${from}`,
      `.cfi_escape 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, ${0x30 + from}, 0x2a, 0x33, 0x24, 0x22`,
      rule("plt", 8, { cfaAdd: from }),
    ]),
  ])("%s", (name, directives, expected) => {
    expect(ruleAfter(name.replace(/\W/g, "-"), directives)).toEqual(expected);
  });

  const SIGNAL =
    ".cfi_escape 0x0f, 4, 0x77, 0xa0, 1, 6\n.cfi_escape 0x10, 16, 3, 0x77, 0xa8, 1\n.cfi_escape 0x10, 6, 3, 0x77, 0xf8, 0";
  test("a signal frame as the kernel makes them, and one that lies elsewhere", () => {
    const start = ".cfi_startproc\n.cfi_signal_frame";
    expect(ruleAfter("signal", SIGNAL, start)).toEqual(rule("signal"));
    expect(ruleAfter("signal-elsewhere", SIGNAL.replace("0xa0", "0xb0"), start)).toEqual(rule("unsupported"));
    // told of code that needs no more than to be looked up at its first byte
    expect(ruleAfter("signal-plain", ".cfi_def_cfa_offset 16", start)).toEqual(rule("sp", 16));
  });
});

describe("entries", () => {
  /** Functions of 64 bytes, 64 apart, then those of the second section; the rules at offsets from labels, briefly. */
  function at(name: string, entries: string, where: readonly (readonly [string, number])[]) {
    const code = ["a", "b", "c"].map((l) => `${l}: .skip 64, 0x90\n.skip 64, 0xcc`).join("\n");
    const file = assemble(dir, name, `${code}\n.section .own_frame,"a"\n${entries}\n`);
    const known = labels(file);
    const got = rules(
      file,
      where.map(([label, offset]) => known.get(label)! + offset),
    );
    return got.map((r) => (r.cfa === "sp" ? r.cfaOffset : r.cfa));
  }
  const cfa = (offset: number) => [0x0e, offset];
  const long = (label: string) => [`.long ${label} - .`, ".long 64"] as const;
  const ENDS = [
    ["a", -1],
    ["a", 0],
    ["a", 63],
    ["a", 64],
    ["b", 0],
    ["b", 63],
    ["c", 63],
    ["c", 64],
  ] as const;
  const EACH = ["none", 16, 16, "none", 24, 24, 32, "none"];
  const each = (words: (label: string) => readonly [string, string], wide = false) =>
    ["a", "b", "c"].map((l, i) => fde("cie", ...words(l), cfa(16 + 8 * i), wide)).join("");

  test.each<[string, number, (label: string) => [string, string]]>([
    ["relative, 4 bytes", 0x1b, (l) => [`.long ${l} - .`, ".long 64"]],
    ["relative, 8 bytes", 0x1c, (l) => [`.quad ${l} - .`, ".quad 64"]],
    ["absolute, as wide as a pointer", 0x00, (l) => [`.quad ${l}`, ".quad 64"]],
    ["absolute, 4 bytes", 0x03, (l) => [`.long ${l}`, ".long 64"]],
    ["absolute, 4 bytes with a sign", 0x0b, (l) => [`.long ${l}`, ".long 64"]],
    ["absolute, 8 bytes", 0x04, (l) => [`.quad ${l}`, ".quad 64"]],
  ])("addresses %s", (name, encoding, words) => {
    expect(at(name.replace(/\W/g, ""), cie("cie", { encoding }) + each(words), ENDS)).toEqual(EACH);
  });
  test("addresses relative to what there is not, or stored elsewhere: left out, and counted", () => {
    const broken = (encoding: number) =>
      cie("cie", { encoding }) + each(long) + cie("good") + fde("good", ...long("a"), cfa(40));
    for (const encoding of [0x3b, 0x9b, 0x07, 0xff]) {
      expect(at(`bad${encoding}`, broken(encoding), [ENDS[1], ENDS[4]])).toEqual([40, "none"]);
      expect(tables(join(dir, `bad${encoding}`))[0]).toMatchObject({ functions: 1, functionsLeftOut: 3 });
    }
  });
  test("lengths of 64 bits", () => {
    expect(at("wide", cie("cie") + each(long, true), ENDS)).toEqual(EACH);
  });
  test.each([1, 3, 4])("a CIE of version %d", (version) => {
    expect(at(`version${version}`, cie("cie", { version }) + each(long), ENDS)).toEqual(EACH);
  });
  test("augmentations: personality, language data, signal frame; unknown ones are left out, and counted", () => {
    const known: [string, (number | string)[]] = ["zPLRS", [0x9b, 1, 2, 3, 4, 0x1b, 0x1b]];
    expect(at("known", cie("cie", { augmentation: known }) + each(long), ENDS)).toEqual(EACH);
    for (const augmentation of [
      ["zQR", [1, 0x1b]],
      ["eh", []],
    ] as [string, (number | string)[]][]) {
      const name = `unknown-${augmentation[0]}`;
      const entries =
        cie("cie", { augmentation }) + each(long) + cie("good") + fde("good", ...long("c"), cfa(40));
      expect(at(name, entries, [ENDS[1], ENDS[6]])).toEqual(["none", 40]);
      expect(tables(join(dir, name))[0]).toMatchObject({ functions: 1, functionsLeftOut: 3 });
    }
  });
  test("entries without length between others, functions of size 0, and of code that was taken out", () => {
    const empty = fde("cie", ".long a + 32 - .", ".long 0", cfa(48));
    const gone = fde("cie", ".long 16 - .", ".long 64", cfa(48));
    expect(at("odd", `${cie("cie")}${empty}\n.long 0\n.long 0${each(long)}${gone}\n.long 0`, ENDS)).toEqual(
      EACH,
    );
    expect(tables(join(dir, "odd"))[0]).toMatchObject({ functions: 3, functionsLeftOut: 0 });
  });
  test("functions that overlap: the later begin has the rest, and of one begin the longest", () => {
    const over = [
      fde("cie", ".long a + 16 - .", ".long 16", cfa(48)),
      fde("cie", ".long a - .", ".long 8", cfa(56)),
    ];
    const where = [
      ["a", 0],
      ["a", 15],
      ["a", 16],
      ["a", 31],
      ["a", 63],
      ["b", 0],
    ] as const;
    expect(at("overlap", cie("cie") + each(long) + over.join(""), where)).toEqual([
      16,
      16,
      48,
      48,
      "none",
      24,
    ]);
  });
  test("padding of 16 bytes has the rule before it, of 17 none", () => {
    const from = (begin: number) => fde("cie", `.long a + ${begin} - .`, ".long 8", cfa(16 + begin));
    const where = [8, 23, 24, 32, 48, 49].map((offset) => ["a", offset] as const);
    expect(at("padding", cie("cie") + from(0) + from(24) + from(49), where)).toEqual([
      16,
      16,
      40,
      "none",
      "none",
      65,
    ]);
  });
  test("set_loc, and steps that lead back, nowhere, or beyond the function", () => {
    const steps = (begin: string, instructions: string) =>
      `.long 2f - 1f\n1: .long . - cie\n.long ${begin} - .\n.long 64\n.byte 0\n${instructions}\n2:`;
    const entries = [
      cie("cie"),
      steps(
        "a",
        ".byte 0x0e, 16, 1\n.long a + 10 - .\n.byte 0x0e, 24, 0x40, 0x0e, 32, 0x02, 0, 0x03, 5, 0, 0x0e, 40",
      ),
      steps("b", ".byte 0x0e, 16, 0x48, 0x0e, 24, 1\n.long b + 2 - .\n.byte 0x0e, 32"),
      steps("c", ".byte 0x0e, 16, 0x04, 255, 255, 255, 255, 0x0e, 24"),
    ];
    const where = [
      ["a", 9],
      ["a", 10],
      ["a", 14],
      ["a", 15],
      ["b", 7],
      ["b", 8],
      ["b", 63],
      ["c", 63],
      ["c", 64],
    ] as const;
    const want = [16, 32, 32, 40, 16, "unsupported", "unsupported", 16, "none"];
    expect(at("steps", entries.join(""), where)).toEqual(want);
  });
  test("instructions that end in the middle of one", () => {
    const cut = fde("cie", ".long a - .", ".long 64", [0x0e, 16, 0x48, 0x0e]);
    const where = [
      ["a", 7],
      ["a", 8],
      ["b", 0],
    ] as const;
    expect(at("cut", cie("cie") + cut + each(long).slice(each(long).indexOf("2:") + 2), where)).toEqual([
      16,
      "unsupported",
      24,
    ]);
  });
});

describe("tables", () => {
  /** A function that moves rsp by 8 after each byte. */
  const crowded = (bytes: number) =>
    `f: .cfi_startproc\n.rept ${bytes}\n.cfi_adjust_cfa_offset 8\nnop\n.endr\n.cfi_endproc\ng: .cfi_startproc\nnop\n.cfi_endproc`;
  test("a page with more rows than a directory word can count: what is left out is not taken for the row before", () => {
    const file = assemble(dir, "crowded", `.balign 1024\n${crowded(1024 + 10)}`);
    const f = labels(file).get("f")!;
    const got = rules(
      file,
      [0, 253, 254, 255, 1023, 1024, 1033].map((offset) => f + offset),
    );
    expect(got.map((r) => (r.cfa === "sp" ? r.cfaOffset : r.cfa))).toEqual([
      16,
      16 + 253 * 8,
      "unsupported",
      "unsupported",
      "unsupported",
      16 + 1024 * 8,
      16 + 1033 * 8,
    ]);
    expect(tables(file)[0]).toMatchObject({ rowsLeftOut: 1024 - 254, rowsUnsupported: 1, functions: 2 });
  });
  test("rules: 2,048 of one file, 16,384 of the machine; what finds no room is unsupported, and counted", () => {
    const file = (i: number) =>
      assemble(
        dir,
        `rules${i}`,
        `.cfi_startproc\n.cfi_def_cfa_offset ${(i + 1) * 65536}\n.rept 2100\n.cfi_adjust_cfa_offset 8\n.skip 8, 0x90\n.endr\n.cfi_endproc`,
      );
    const facts = tables(...Array.from({ length: 9 }, (_, i) => file(i)));
    expect(facts.map((f) => f.rulesOfAll)).toEqual([
      ...Array.from({ length: 7 }, (_, i) => 2 + 2048 * (i + 1)),
      16384,
      16384,
    ]);
    expect(facts[0]).toMatchObject({ rulesDropped: 2100 - 2048 });
    expect(facts.at(-1)!.rulesDropped).toBe(7 * 52 + 54 + 2100);
    expect(facts.at(-1)).toMatchObject({ why: "" });
  });
  test("code in several segments, with data between, and far apart", () => {
    const source = (gap: string) =>
      `f: .cfi_startproc\n.cfi_def_cfa_offset 16\nnop\n.cfi_endproc\n.section .far,"ax"\ng: .cfi_startproc\n.cfi_def_cfa_offset 32\n.skip 5000, 0x90\n.cfi_endproc\n${gap}`;
    const near = assemble(dir, "near", source(""), "--section-start=.far=0x8400123");
    const known = labels(near);
    const at = [
      known.get("f")!,
      known.get("f")! + 1,
      known.get("g")! - 1,
      known.get("g")!,
      known.get("g")! + 4999,
    ];
    expect(rules(near, at).map((r) => r.cfaOffset)).toEqual([16, 0, 0, 32, 32]);
    // 128 MiB of nothing cost a directory of 512 KiB
    expect(tables(near)[0]!.bytes).toBeLessThan(600 << 10);
    const far = assemble(dir, "far", source(""), "--section-start=.far=0x50000000");
    expect(tables(far)[0]).toMatchObject({ why: "its code spans more than 1 GiB", bytes: 0 });
  });
  test("without section headers: found by program header", () => {
    const file = join(dir, "headless");
    copyFileSync("/usr/bin/bash", file);
    const bytes = readFileSync(file);
    bytes.writeBigUInt64LE(0n, 40);
    bytes.writeUInt16LE(0, 60);
    bytes.writeUInt16LE(0, 62);
    writeFileSync(file, bytes);
    const [whole, headless] = tables("/usr/bin/bash", file);
    const timeless = { ms: 0, cpuMs: 0, rulesOfAll: 0 };
    expect({ ...headless, ...timeless }).toEqual({ ...whole, ...timeless });
  });
  test("what has no table says why", () => {
    const text = join(dir, "text");
    writeFileSync(text, "nothing");
    const none = assemble(dir, "none", "nop");
    expect(tables(text, none, dir, "/nonexistent").map((t) => t.why)).toEqual([
      "it is not an ELF file",
      "it has no .eh_frame, and it has no .debug_frame",
      "it is not an ELF file",
      "it is not an ELF file",
    ]);
  });
});
