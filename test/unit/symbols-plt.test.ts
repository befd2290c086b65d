// Calls into other files go through stubs that have no symbol: they are named as objdump names them.
import { execFileSync } from "node:child_process";
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BUILD_MS, buildDriver, demangle, namesInFile } from "./symbols/driver.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-plt-"));
beforeAll(buildDriver, BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Stub {
  readonly address: number;
  /** "SSL_read@plt" */
  readonly name: string;
}

/** Stubs as objdump tells them; it names those for which the file holds no name "*ABS*+0x1234@plt". */
function stubs(file: string): Stub[] {
  const parts = [".plt", ".plt.got", ".plt.sec"].flatMap((part) => ["-j", part]);
  const out = execFileSync("objdump", ["-d", ...parts, file], { encoding: "utf8", stdio: "pipe" });
  return [...out.matchAll(/^([0-9a-f]+) <(\S+?)(?:@\S+)?@plt>:$/gm)].map((m) => ({
    address: parseInt(m[1]!, 16),
    name: `${m[2]}@plt`,
  }));
}

/** File offset of an address in a PLT, by the section headers that readelf tells. */
function pltOffset(file: string): (address: number) => number {
  const out = execFileSync("readelf", ["-SW", file], { encoding: "utf8" });
  const plts = [...out.matchAll(/ \.plt\S* +PROGBITS +(\w+) (\w+) (\w+)/g)].map((m) =>
    m.slice(1).map((hex) => parseInt(hex, 16)),
  );
  return (address) => {
    const [at, offset] = plts.find(([begin, , size]) => address >= begin! && address < begin! + size!)!;
    return address - at! + offset!;
  };
}

/** Names of the first and the last byte of each stub, against objdump. Returns how many there were. */
function compare(file: string): number {
  const offset = pltOffset(file);
  const all = stubs(file);
  const inside = all.flatMap((s) => [offset(s.address), offset(s.address) + 7]);
  const { names } = namesInFile(file, inside);
  const wrong = all.flatMap((s, i) =>
    names[2 * i] === s.name && names[2 * i + 1] === s.name
      ? []
      : [{ ...s, got: names.slice(2 * i, 2 * i + 2) }],
  );
  expect(wrong).toEqual([]);
  return all.length;
}

describe("stubs of real programs", () => {
  test("nginx, which is stripped", () => expect(compare("/usr/sbin/nginx")).toBeGreaterThan(100));
  test("node", () => expect(compare(realpathSync(process.execPath))).toBeGreaterThan(100));
});

describe("stubs as other options of the linker make them", () => {
  const source = join(dir, "calls.c");
  beforeAll(() => {
    const lines = ["#include <stdio.h>", "#include <stdlib.h>", "#include <time.h>", "#include <unistd.h>"];
    // a function that is called and pointed at needs one slot only, and its stub is in .plt.got
    const pointers = "void *volatile pointers[] = {(void *)getpid, (void *)atoi};";
    const main = 'int main(void) { printf("%d %d %ld", getpid(), atoi("1"), (long)time(0)); return rand(); }';
    writeFileSync(source, [...lines, pointers, main, ""].join("\n"));
  });
  test.each([
    ["bound when first called", ["-fcf-protection=none", "-Wl,-z,lazy"]],
    ["bound at start", ["-fcf-protection=none", "-Wl,-z,now"]],
    ["at a fixed address", ["-fcf-protection=none", "-no-pie", "-Wl,-z,lazy"]],
    ["with a second table, for indirect branch tracking", ["-fcf-protection=full", "-Wl,-z,ibtplt,-z,lazy"]],
  ])("%s", (title, flags) => {
    const file = join(dir, title.replace(/\W/g, "-"));
    execFileSync("gcc", ["-O1", ...flags, source, "-o", file]);
    expect(compare(file)).toBeGreaterThanOrEqual(4);
    execFileSync("strip", [file]);
    expect(compare(file)).toBeGreaterThanOrEqual(4);
  });

  test("the first entry, through which the others reach the linker, is [plt]", () => {
    const file = join(dir, "lazy");
    execFileSync("gcc", ["-O1", "-fcf-protection=none", "-Wl,-z,lazy", source, "-o", file]);
    const out = execFileSync("readelf", ["-SW", file], { encoding: "utf8" });
    const offset = parseInt(/ \.plt +PROGBITS +\w+ (\w+)/.exec(out)![1]!, 16);
    expect(namesInFile(file, [offset, offset + 15, offset + 16]).names).toEqual([
      "[plt]",
      "[plt]",
      expect.stringMatching(/^\w+@plt$/),
    ]);
  });
});

test("the C library's stubs for functions chosen at start have the names of these functions", () => {
  const file = "/lib/x86_64-linux-gnu/libc.so.6";
  const offset = pltOffset(file);
  const chosen = stubs(file).filter((s) => s.name.startsWith("*ABS*"));
  expect(chosen.length).toBeGreaterThan(10);
  const symbols = execFileSync("nm", ["-D", "--defined-only", file], { encoding: "utf8" });
  const { names } = namesInFile(
    file,
    chosen.map((s) => offset(s.address)),
  );
  for (const [i, { name }] of chosen.entries()) {
    // *ABS*+0xa0720: the address of the function that chooses
    const address = /0x(\w+)@plt/.exec(name)![1]!.padStart(16, "0");
    const aliases = [...symbols.matchAll(new RegExp(`^${address} \\w ([^@\\s]+)`, "gm"))].map(
      (m) => `${m[1]}@plt`,
    );
    expect([...aliases, "[plt]"]).toContain(names[i]);
  }
  expect(names).toContain("strlen@plt");
  expect(names.filter((name) => name !== "[plt]").length).toBeGreaterThan(10);
});

test("a stub for a C++ function is readable too", () => {
  expect(demangle("_ZNSt6vectorIiSaIiEE5clearEv@plt", "memcpy@plt", "@plt", "_Z@plt@plt")).toEqual([
    "std::vector<int, std::allocator<int> >::clear()@plt",
    "memcpy@plt",
    "@plt",
    "_Z@plt@plt",
  ]);
});
