// Functions of Go's runtime that change stacks, found by .gopclntab: in files made here, and in a real program, stripped as
// most are.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasGo } from "../../support/compilers.js";
import { repositoryRoot } from "../../support/paths.js";
import { assemble, labels } from "./assembled.js";
import { BUILD_MS, buildDriver, rules, tables } from "./driver.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-go-"));
beforeAll(buildDriver, BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Form {
  readonly magic?: number;
  readonly functions?: string;
  readonly textBegin?: string;
  readonly names?: string;
  readonly nameOf?: string;
  /** Bytes that tell how large the frame of `last` is, where: runtime.pcvalue. */
  readonly sizes?: readonly number[];
  readonly sizesAt?: string;
}
/** Four functions, with call frame information of the first two alone. The table is that of Go 1.18 to 1.25. */
function goProgram(name: string, form: Form = {}): string {
  const { magic = 0xfffffff1, functions = "4", textBegin = "text", names = "names - table", nameOf } = form;
  const { sizes, sizesAt = "sizes - table" } = form;
  const sizesOf = (f: string) => (f === "last" && sizes !== undefined ? "s_last - sizes" : "0");
  const own = ["own", "switches", "first", "last"];
  const source = `
  .text
text:
own: .cfi_startproc
  .cfi_def_cfa_offset 48
  .fill 64, 1, 0x90
  .cfi_endproc
switches: .cfi_startproc
  .fill 64, 1, 0x90
  .cfi_endproc
first: .fill 64, 1, 0x90
last: .fill 4096, 1, 0x90
end:
  .section .gopclntab, "a"
table: .long ${magic}
  .byte 0, 0, 1, 8
  .quad ${functions}, 0, ${textBegin}, ${names}, 0, 0, ${sizesAt}, rows - table
names: .byte 0
n_own: .asciz "runtime.systemstack_switch"
n_switches: .asciz "runtime.systemstack.abi0"
n_first: .asciz "runtime.goexit"
n_last: .asciz "main.main"
sizes: .byte 0
s_last: .byte ${[...(sizes ?? []), 0].join(", ")}
  .balign 4
rows:
${own.map((f) => `  .long ${f} - text, d_${f} - rows`).join("\n")}
  .long end - text
${own.map((f) => `d_${f}: .long ${f} - text, ${nameOf ?? `n_${f} - names`}, 0, 0, ${sizesOf(f)}`).join("\n")}`;
  return assemble(dir, name, source);
}
const at = (file: string, label: string, offset = 8) => labels(file).get(label)! + offset;

describe("a Go program", () => {
  test.each([
    ["of Go 1.20 and later", {}],
    ["of Go 1.18", { magic: 0xfffffff0 }],
    ["whose address is filled in when it is loaded", { textBegin: "0" }],
  ])(
    "%s: what changes stacks goes on by rbp whatever its entry says, a first function ends",
    (name, form) => {
      const file = goProgram(name.replace(/\W/g, "-"), form);
      const [own, switches, lastByte, first, last] = rules(file, [
        at(file, "own"),
        at(file, "switches", 0),
        at(file, "switches", 63),
        at(file, "first", 0),
        at(file, "last", 32),
      ]);
      expect(own).toMatchObject({ cfa: "sp", cfaOffset: 48 });
      expect([switches!.cfa, lastByte!.cfa, first!.cfa, last!.cfa]).toEqual([
        "otherStack",
        "otherStack",
        "end",
        "none",
      ]);
    },
  );

  test("without any call frame information has a table of those functions alone", () => {
    const file = goProgram("bare");
    execFileSync("objcopy", ["--remove-section=.eh_frame", file]);
    expect(tables(file)[0]).toMatchObject({ why: "", functions: 0 });
    const [own, switches] = rules(file, [at(file, "own"), at(file, "switches")]);
    expect([own!.cfa, switches!.cfa]).toEqual(["none", "otherStack"]);
  });

  /** Without call frame information: the rule of each of these offsets in `last`. */
  function framesOf(name: string, form: Form, offsets: readonly number[]) {
    const file = goProgram(name, form);
    execFileSync("objcopy", ["--remove-section=.eh_frame", file]);
    return rules(
      file,
      offsets.map((offset) => at(file, "last", offset)),
    ).map(({ cfa, cfaOffset, fp }) => [cfa, cfa === "sp" ? cfaOffset : null, fp]);
  }
  // by -1 + 1 = 0 for 4 bytes, 40 more for 56, 40 less for 4 (zigzag)
  const frame = [2, 4, 80, 56, 79, 4];

  test("stripped of it has the frames of all its functions: where the return address is, and the caller's rbp", () => {
    expect(framesOf("frames", { sizes: frame }, [0, 3, 4, 59, 60, 63, 64])).toEqual([
      ["sp", 8, "same"],
      ["sp", 8, "same"],
      ["sp", 48, "cfa"],
      ["sp", 48, "cfa"],
      ["sp", 8, "same"],
      ["sp", 8, "same"],
      // its table says no more
      ["none", null, "same"],
    ]);
  });

  test.each<[string, Form]>([
    ["beyond its end", { sizes: frame, sizesAt: "0x7fffffffffffffff" }],
    ["of less than nothing", { sizes: [3, 4] }],
    ["of no length", { sizes: [2, 0] }],
    ["longer than the function", { sizes: [2, 0xff, 0xff, 0x7f] }],
    ["larger than a stack", { sizes: [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 4] }],
  ])("with frames %s has no rule there", (name, form) => {
    expect(framesOf(`frames-${name.replace(/\W/g, "-")}`, form, [0, 8])).toEqual([
      ["none", null, "same"],
      ["none", null, "same"],
    ]);
  });

  test.each<[string, Form]>([
    ["of another version", { magic: 0xfffffffa }],
    ["with its names beyond its end", { names: "0x7fffffffffffffff" }],
    ["with each name beyond its end", { nameOf: "0xffffffff" }],
    ["with code elsewhere", { textBegin: "0xfffffffffffff000" }],
  ])("%s is one like any other", (name, form) => {
    const file = goProgram(name.replace(/\W/g, "-"), form);
    const [switches, first] = rules(file, [at(file, "switches"), at(file, "first")]);
    expect([switches!.cfa, first!.cfa]).toEqual(["sp", "none"]);
  });

  test("that claims more functions than there is room for: those that are there", () => {
    const file = goProgram("many", { functions: "0xffffffffffffffff" });
    expect(rules(file, [at(file, "switches")])[0]!.cfa).toBe("otherStack");
  });
});

const onlyWithGo = hasGo ? test : () => undefined;
onlyWithGo(
  "a real one, with its tables and stripped of them",
  () => {
    const source = join(repositoryRoot(), "test/programs/go-stacks.go");
    const everywhere: unknown[][] = [];
    /** A place in each function of the program itself, and of two packages of Go's library. */
    const wide = (symbols: ReadonlyMap<string, number>) =>
      [...symbols]
        .filter(([name]) => /^(?:main|strconv|sort)\./.test(name))
        .map(([, address]) => address + 16);
    for (const [name, flags] of [
      ["whole", []],
      ["stripped", ["-ldflags=-s -w"]],
    ] as const) {
      const file = join(dir, name);
      execFileSync("go", ["build", ...flags, "-o", file, source], {
        env: { ...process.env, CGO_ENABLED: "0" },
        stdio: "pipe",
      });
      const symbols = labels(join(dir, "whole"));
      // code is at the same addresses, symbols or not
      const of = (label: string) => symbols.get(label) ?? symbols.get(`${label}.abi0`)!;
      const cfa = (...names: string[]) => {
        const addresses = names.map((name) => of(name) + 1);
        return new Set(rules(file, addresses).map((rule) => rule.cfa));
      };
      const switches = cfa("runtime.systemstack", "runtime.morestack", "time.now");
      expect(switches).toEqual(new Set(["otherStack"]));
      const first = cfa("runtime.goexit", "runtime.mcall", "runtime.sigtramp");
      expect(first).toEqual(new Set(["end"]));
      // its .debug_frame keeps silent about rbp: without it a walk that changes stacks would go the same way again
      const [inMain] = rules(file, [of("main.main") + 64]);
      expect(inMain).toMatchObject({ cfa: "sp", fp: "cfa", fpOffset: -16 });
      // a leaf without a frame has its caller's rbp, so by that alone the caller is left out: .gopclntab tells as .debug_frame does
      everywhere.push(rules(file, wide(symbols)).map((rule) => [rule.cfa, rule.cfaOffset]));
    }
    expect(everywhere[0]!.length).toBeGreaterThan(20);
    expect(everywhere[1]).toEqual(everywhere[0]);
  },
  120_000,
);
