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
}
/** Four functions, with call frame information of the first two alone. The table is that of Go 1.18 to 1.25. */
function goProgram(name: string, form: Form = {}): string {
  const { magic = 0xfffffff1, functions = "4", textBegin = "text", names = "names - table", nameOf } = form;
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
  .quad ${functions}, 0, ${textBegin}, ${names}, 0, 0, 0, rows - table
names: .byte 0
n_own: .asciz "runtime.systemstack_switch"
n_switches: .asciz "runtime.systemstack.abi0"
n_first: .asciz "runtime.goexit"
n_last: .asciz "main.main"
  .balign 4
rows:
${own.map((f) => `  .long ${f} - text, d_${f} - rows`).join("\n")}
  .long end - text
${own.map((f) => `d_${f}: .long ${f} - text, ${nameOf ?? `n_${f} - names`}`).join("\n")}`;
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
      if (name === "whole")
        expect(rules(file, [of("main.main") + 64])[0]).toMatchObject({ cfa: "sp", fp: "cfa", fpOffset: -16 });
    }
  },
  120_000,
);
