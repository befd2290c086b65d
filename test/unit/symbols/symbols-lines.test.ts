// Source lines and inlined functions by DWARF: against a program whose inlining is known, against addr2line, in every
// place where debug information may lie, and with none.
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { repositoryRoot } from "../../support/paths.js";
import { BUILD_MS, buildDriver, linesInFile, Naming, namesInFile, type Place, startNamed } from "./driver.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-lines-"));
beforeAll(buildDriver, BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const CHAIN = join(repositoryRoot(), "test/programs/inlined-chain.cc");
function compileChain(name: string, flags: readonly string[], compiler = "g++"): string {
  const to = join(dir, name);
  execFileSync(compiler, ["-std=c++17", "-D_GNU_SOURCE", "-O2", "-w", ...flags, CHAIN, "-o", to]);
  return to;
}
/** File offset and address of the label in the innermost function. */
function loopOf(file: string): { offset: number; address: number } {
  const nm = execFileSync("nm", [file], { encoding: "utf8" });
  const address = parseInt(/^(\w+) . lf_in_the_loop$/m.exec(nm)![1]!, 16);
  return { address, offset: address - textDistance(file) };
}
/** Address less file offset of the text section. */
function textDistance(file: string): number {
  const { address, offset } = textOf(file);
  return address - offset;
}
function textOf(file: string): { address: number; offset: number; size: number } {
  const out = execFileSync("readelf", ["-SW", file], { encoding: "utf8" });
  const [, address, offset, size] = /\.text\s+PROGBITS\s+(\w+) (\w+) (\w+)/.exec(out)!;
  return { address: parseInt(address!, 16), offset: parseInt(offset!, 16), size: parseInt(size!, 16) };
}

/** Lines of the three calls and of the loop, found in the source text, innermost first. */
const FUNCTIONS = ["turn", "middle", "outer", "burn_in_chain"];
const FILES = ["inlined-chain.h", "inlined-chain.h", "inlined-chain.cc", "inlined-chain.cc"];
function lineOf(file: string, text: string): number {
  const source = execFileSync("grep", ["-n", "-F", text, join(repositoryRoot(), "test/programs", file)], {
    encoding: "utf8",
  });
  return Number(source.split(":")[0]);
}
const LINES = [
  lineOf("inlined-chain.h", "lf_in_the_loop"),
  lineOf("inlined-chain.h", "Work::turn(seed + 1)"),
  lineOf("inlined-chain.cc", "middle(seed)"),
  lineOf("inlined-chain.cc", "seed = outer(seed)"),
];

/** Asserts the chain; names are compared by what they contain, since only some are mangled. */
function expectChain(places: readonly Place[]): void {
  expect(places.map((place) => basename(place.file))).toEqual(FILES);
  for (const [i, place] of places.entries()) {
    expect(place.function).toContain(FUNCTIONS[i]);
    // the label is one instruction of the loop, which the compiler may count to a line beside it
    expect(Math.abs(place.line - LINES[i]!), `${place.function}: ${place.line}`).toBeLessThanOrEqual(
      i === 0 ? 2 : 0,
    );
  }
}

describe.each([
  ["g++, DWARF 5", ["-g", "-gdwarf-5"], "g++"],
  ["g++, DWARF 4", ["-g", "-gdwarf-4"], "g++"],
  ["g++, DWARF 3, at a fixed address", ["-g", "-gdwarf-3", "-gstrict-dwarf", "-no-pie"], "g++"],
  ["g++, packed", ["-g", "-gz"], "g++"],
  ["g++, optimised at link time", ["-g", "-flto"], "g++"],
  ["clang, DWARF 5", ["-g", "-gdwarf-5"], "clang++"],
  ["clang, DWARF 4", ["-g", "-gdwarf-4"], "clang++"],
])("a chain of three inlined functions, by %s", (title, flags, compiler) => {
  test("has its functions innermost first, each with its own file and line", () => {
    const file = compileChain(title.replace(/\W/g, "-"), flags, compiler);
    const { places, refused } = linesInFile(file, [loopOf(file).offset]);
    expect(refused).toBe(false);
    expectChain(places[0]!);
  });
});

test("a separate debug file gives the chain too; a stripped program without one has no lines, and its names as before", () => {
  const whole = compileChain("whole", ["-g", "-rdynamic"]);
  const { offset } = loopOf(whole);
  const apart = join(dir, "apart");
  mkdirSync(apart);
  const debug = join(apart, "program.debug");
  execFileSync("objcopy", ["--only-keep-debug", "--compress-debug-sections", whole, debug]);
  const linked = join(apart, "program");
  execFileSync("objcopy", ["--strip-debug", `--add-gnu-debuglink=${debug}`, whole, linked]);
  expectChain(linesInFile(linked, [offset]).places[0]!);

  const stripped = join(dir, "stripped");
  execFileSync("strip", ["-o", stripped, whole]);
  expect(linesInFile(stripped, [offset])).toMatchObject({ refused: false, places: [[]] });
  expect(namesInFile(stripped, [offset]).names).toEqual(["burn_in_chain"]);
});

test("split debug information (.dwo) is left alone: its names would lead to files of others", () => {
  const file = join(dir, "split");
  execFileSync("g++", ["-std=c++17", "-D_GNU_SOURCE", "-O2", "-g", "-gsplit-dwarf", CHAIN, "-o", file], {
    cwd: dir,
  });
  expect(linesInFile(file, [loopOf(file).offset]).places).toEqual([[]]);
});

test("a running program is asked through its mapping, also after its end", async () => {
  const file = compileChain("running", ["-g"]);
  const { address } = loopOf(file);
  const program = await startNamed([file, "--hold"]);
  const maps = execFileSync("cat", [`/proc/${program.pid}/maps`], { encoding: "utf8" });
  const base = parseInt(maps.split("-")[0]!, 16);
  const naming = await Naming.start(program.pid, [(base + address).toString(16)]);
  await program.child.stop();
  const [places] = await naming.places();
  expectChain(places!);
  expect(places![0]!.function).toBe("chain::Work::turn(unsigned long)");
  expect(await naming.names()).toEqual(["burn_in_chain"]);
  await naming.stop();
});

/** Lines of a source file; 0 if it is not there. */
function linesOf(path: string): number {
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").length : 0;
}

/** What addr2line says: function, file and line, innermost first. */
function addr2line(file: string, addresses: readonly number[]): Map<number, Place[]> {
  const args = ["-a", "-i", "-f", "-e", file, ...addresses.map((a) => a.toString(16))];
  const out = execFileSync("addr2line", args, { encoding: "utf8", maxBuffer: 1 << 28 })
    .trimEnd()
    .split("\n");
  const found = new Map<number, Place[]>();
  let places: Place[] = [];
  for (let i = 0; i < out.length; ) {
    if (/^0x[0-9a-f]{16}$/.test(out[i]!)) {
      places = [];
      found.set(parseInt(out[i++]!, 16), places);
      continue;
    }
    const [, path, line] = /^(.*):(\d+|\?)(?: \(discriminator \d+\))?$/.exec(out[i + 1]!)!;
    places.push({ function: out[i]!, file: path!, line: line === "?" ? 0 : Number(line) });
    i += 2;
  }
  return found;
}

describe.each([
  ["g++, DWARF 5", "g++", "-gdwarf-5"],
  // addr2line of binutils 2.40 does not read the string and range tables of clang's DWARF 5
  ["clang, DWARF 4", "clang++", "-gdwarf-4"],
])("a real library by %s", (title, compiler, format) => {
  test("600 random addresses have the files, lines and functions that addr2line tells", () => {
    const file = join(dir, `${title.replace(/\W/g, "-")}.so`);
    const sources = ["line_table.cc", "elf_symbols.cc", "plt.cc", "elf_file.cc"];
    execFileSync(compiler, ["-std=c++17", "-O2", "-g", format, "-shared", "-fPIC", ...sources, "-o", file], {
      cwd: join(repositoryRoot(), "native/symbols"),
    });
    const text = textOf(file);
    let state = 1;
    const addresses = Array.from({ length: 600 }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return text.address + Math.floor((state / 2 ** 32) * text.size);
    });
    const theirs = addr2line(file, addresses);
    const { places } = linesInFile(
      file,
      addresses.map((a) => a - text.address + text.offset),
    );
    let known = 0;
    let inlined = 0;
    const wrong: unknown[] = [];
    for (const [i, address] of addresses.entries()) {
      const told = theirs.get(address)!;
      // without a file it has looked into the symbol table only
      if (told[0]!.file === "??" || told[0]!.file === "crtstuff.c") continue;
      // it gives some rows of a sequence the file of the unit, with lines that this does not have
      if (told.some(({ file: path, line }) => path.endsWith(".cc") && line > linesOf(path))) continue;
      known++;
      if (told.length > 1) inlined++;
      // of the innermost and the called function it tells the symbol that covers the address, where names differ
      const lines = (list: readonly Place[]) => list.map((p) => `${basename(p.file)}:${p.line}`);
      const between = (list: readonly Place[]) => list.slice(1, -1).map((p) => p.function);
      if (
        lines(told).join() !== lines(places[i]!).join() ||
        between(told).join() !== between(places[i]!).join()
      )
        wrong.push({ address: address.toString(16), told, got: places[i] });
    }
    expect(known).toBeGreaterThan(400);
    expect(inlined).toBeGreaterThan(150);
    expect(wrong.length / known, JSON.stringify(wrong, null, 1)).toBeLessThan(0.01);
  });
});

test("debug information of more than 128 MiB is refused at once, whatever of it is real", () => {
  const file = compileChain("large", ["-g"]);
  const { offset } = loopOf(file);
  const large = join(dir, "larger");
  const extra = join(dir, "strings");
  writeFileSync(extra, "");
  truncateSync(extra, 129 << 20);
  execFileSync("objcopy", [`--update-section`, `.debug_str=${extra}`, file, large]);
  const result = linesInFile(large, [offset]);
  expect(result).toMatchObject({ refused: true, places: [[]] });
  expect(result.ns).toBeLessThan(100e6);
  copyFileSync(file, large);
  expectChain(linesInFile(large, [offset]).places[0]!);
});
