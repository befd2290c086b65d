// Go programs without symbols: their functions have the names that the runtime's own table (.gopclntab) tells, which
// Go's own nm confirms; and tables of all four layouts, made by hand, right ones and ones that lie.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasGo } from "../support/compilers.js";
import { buildSanitizedDriver, readSafely } from "../support/symbols-sanitized.js";
import { type GoLayout, type GoTable, goTable } from "./helpers/go-table.js";
import { BUILD_MS, buildDriver, compileNamed, namesInFile } from "./symbols/driver.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-go-"));
beforeAll(() => {
  buildDriver();
  buildSanitizedDriver();
}, 2 * BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Functions as a nm tells them: address and name. */
function functionsOf(command: string, ...args: string[]): { address: number; name: string }[] {
  const out = execFileSync(command, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  return [...out.matchAll(/^ *([0-9a-f]+) (?:[0-9a-f]+ )?[Tt] (.+)$/gm)].map((m) => ({
    address: parseInt(m[1]!, 16),
    name: m[2]!.trim(),
  }));
}

/** File offset of an address, by the program headers. */
function offsets(file: string): (address: number) => number {
  const out = execFileSync("readelf", ["-lW", file], { encoding: "utf8" });
  const loads = [...out.matchAll(/^ +LOAD +(0x\w+) (0x\w+) 0x\w+ (0x\w+)/gm)].map((m) =>
    m.slice(1).map(Number),
  );
  return (address) => {
    const [offset, begin] = loads.find(([, from, size]) => address >= from! && address < from! + size!)!;
    return address - begin! + offset!;
  };
}

/** The same file without any section header. */
function withoutSections(file: string): string {
  const bytes = readFileSync(file);
  bytes.writeBigUInt64LE(0n, 40);
  bytes.fill(0, 58, 64); // size, number, table of names
  writeFileSync(`${file}-no-sections`, bytes);
  return `${file}-no-sections`;
}

if (hasGo)
  describe("programs of a real Go compiler", () => {
    const SOURCE = `package main

type Server struct{ calls int }

//go:noinline
func (s *Server) Serve(n int) int { s.calls += n; return func() int { return twice(s.calls) }() }

//go:noinline
func twice[T int | float64](x T) T { return x + x }

func main() { println(new(Server).Serve(3), twice(1.5)) }
`;
    const CGO = SOURCE.replace(
      "package main",
      'package main\n\n// __attribute__((noinline)) static int in_c(int x) { return x * 3; }\nimport "C"',
    ).replace("println(", "println(C.in_c(1), ");
    const LAYOUTS: Readonly<Record<string, readonly string[]>> = {
      static: [],
      pie: ["-buildmode=pie"],
      "of another linker": ["-ldflags=-linkmode=external"],
      "pie of another linker": ["-buildmode=pie", "-ldflags=-linkmode=external"],
    };
    const built = new Map<string, string>();
    beforeAll(() => {
      for (const [name, flags] of Object.entries(LAYOUTS)) {
        const folder = join(dir, name.replace(/ /g, "-"));
        mkdirSync(folder);
        writeFileSync(join(folder, "main.go"), flags.some((f) => f.includes("external")) ? CGO : SOURCE);
        writeFileSync(join(folder, "go.mod"), "module example.org/named\n\ngo 1.18\n");
        const file = join(folder, "program");
        execFileSync("go", ["build", ...flags, "-o", file, "."], { cwd: folder, stdio: "pipe" });
        built.set(name, file);
      }
    }, 300_000);
    /** The program with symbols, and a copy without. */
    function pair(name: string): { whole: string; stripped: string } {
      const whole = built.get(name)!;
      execFileSync("strip", ["-o", `${whole}-stripped`, whole]);
      return { whole, stripped: `${whole}-stripped` };
    }
    /** Compares each Go function's first byte with Go's nm. */
    function compare(whole: string, stripped: string): number {
      const offset = offsets(whole);
      const all = functionsOf("go", "tool", "nm", whole).filter(
        (s) => /^[\w/]+\.[^ ]/.test(s.name) && !/^runtime\.e?text$|\.cold$/.test(s.name),
      );
      const { names, refused } = namesInFile(
        stripped,
        all.map((s) => offset(s.address)),
      );
      const wrong = all.flatMap((s, i) =>
        all.some((other) => other.address === s.address && plain(other.name) === names[i])
          ? []
          : [`${s.name} is called ${names[i]}`],
      );
      expect(wrong).toEqual([]);
      expect(refused).toBe(0);
      return all.length;
    }
    // type arguments and calling conventions are in the symbols, not in the runtime's table
    const plain = (name: string) => name.replace(/\[.*\]/, "[...]").replace(/\.abi0$/, "");

    test.each(Object.keys(LAYOUTS))("%s: all functions of a stripped program", (name) => {
      const { whole, stripped } = pair(name);
      expect(compare(whole, stripped)).toBeGreaterThan(1000);
    });
    test.each(Object.keys(LAYOUTS))("%s: without section headers too", (name) => {
      const { whole, stripped } = pair(name);
      expect(compare(whole, withoutSections(stripped))).toBeGreaterThan(1000);
    });
    test("stripped by Go's linker itself (-s -w), under sanitizers", () => {
      const folder = join(dir, "static");
      const file = join(folder, "small");
      execFileSync("go", ["build", "-ldflags=-s -w", "-o", file, "."], { cwd: folder, stdio: "pipe" });
      const at = functionsOf("go", "tool", "nm", built.get("static")!).find(
        (s) => s.name === "main.(*Server).Serve",
      )!;
      const results = readSafely([file, withoutSections(file)], offsets(file)(at.address));
      expect(results.map((r) => r.names[0])).toEqual(["main.(*Server).Serve", "main.(*Server).Serve"]);
    });
    test.each(["static", "pie", "pie of another linker"])(
      "%s: functions in C keep the names of .dynsym or none",
      (name) => {
        const { whole, stripped } = pair(name);
        const offset = offsets(whole);
        const start = functionsOf("nm", "--defined-only", whole).filter(
          (s) => s.name === "_start" || s.name.includes("in_c"),
        );
        const { names } = namesInFile(
          stripped,
          start.map((s) => offset(s.address)),
        );
        for (const found of names)
          expect(["", "_start", "_cgo_in_c"].includes(found) || found.includes("in_c")).toBe(true);
      },
    );
    test.each(["static", "pie", "pie of another linker"])(
      "%s: a table that does not tell where the text begins, as Go 1.26 writes it",
      (name) => {
        const { whole, stripped } = pair(name);
        const file = `${stripped}-1.26`;
        writeFileSync(file, withoutTextAddress(readFileSync(stripped)));
        expect(compare(whole, file)).toBeGreaterThan(1000);
      },
    );
  });

/** Takes the address of the text out of a table of Go 1.18 to 1.25, and the relocation that would put it there. */
function withoutTextAddress(program: Buffer): Buffer {
  const copy = Buffer.from(program);
  const head = [0xf0, 0xf1].flatMap((last) => {
    const at = copy.indexOf(Buffer.from([last, 0xff, 0xff, 0xff, 0, 0, 1, 8]));
    return at < 0 ? [] : [at];
  })[0];
  if (head === undefined) throw new Error("no table");
  copy.writeBigUInt64LE(0n, head + 24);
  const segments = Number(copy.readBigUInt64LE(32));
  for (let i = 0; i < copy.readUInt16LE(56); i++) {
    const at = segments + i * 56;
    const [offset, address, size] = [8, 16, 32].map((f) => Number(copy.readBigUInt64LE(at + f))) as [
      number,
      number,
      number,
    ];
    if (copy.readUInt32LE(at) !== 1 || head < offset || head >= offset + size) continue;
    const relocation = Buffer.alloc(16);
    relocation.writeBigUInt64LE(BigInt(head - offset + address + 24), 0);
    relocation.writeBigUInt64LE(8n, 8); // R_X86_64_RELATIVE
    const found = copy.indexOf(relocation);
    if (found >= 0) copy.writeBigUInt64LE(0n, found + 16);
  }
  return copy;
}

describe("tables made by hand, for functions of a stripped program", () => {
  const whole = join(dir, "named");
  let at: { local: number; member: number };
  beforeAll(() => {
    compileNamed(whole);
    const all = functionsOf("nm", "--defined-only", whole);
    const of = (name: string) => all.find((s) => s.name.includes(name))!.address;
    at = { local: of("local_function"), member: of("exported_function") };
  });
  const table = (layout: GoLayout): GoTable =>
    goTable(layout, [
      { address: Math.min(at.local, at.member), name: "main.first" },
      { address: Math.min(at.local, at.member) + 3, name: "example.org/a%2eb.(*T[...]).Second" },
      { address: Math.max(at.local, at.member), name: "main.third.func1" },
      { address: Math.max(at.local, at.member) + 5, name: "" },
    ]);
  let written = 0;
  function programWith(content: Buffer, section = ".gopclntab"): string {
    const part = join(dir, `table-${written}`);
    const file = join(dir, `made-${written++}`);
    writeFileSync(part, content);
    execFileSync("objcopy", ["--strip-all", "--add-section", `${section}=${part}`, whole, file], {
      stdio: "pipe",
    });
    return file;
  }
  const LAYOUTS = ["1.2", "1.16", "1.18", "1.20"] as const;

  test.each(LAYOUTS)("of Go %s", (layout) => {
    const first = Math.min(at.local, at.member);
    const third = Math.max(at.local, at.member);
    for (const section of [".gopclntab", ".data.rel.ro.gopclntab"]) {
      const file = programWith(table(layout).bytes, section);
      const places = [first - 1, first, first + 2, first + 3, third - 1, third, third + 4, third + 5];
      const second = "example.org/a%2eb.(*T[...]).Second";
      expect(namesInFile(file, places).names).toEqual([
        "",
        "main.first",
        "main.first",
        second,
        second,
        "main.third.func1",
        "main.third.func1",
        "",
      ]);
      expect(readSafely([file], third)).toMatchObject([{ refused: 0, names: ["main.third.func1"] }]);
    }
  });

  describe.each(LAYOUTS)("that lie, of Go %s: no names, counted as refused", (layout) => {
    const first = () => Math.min(at.local, at.member);
    const changed = (change: (bytes: Buffer, where: GoTable["at"]) => void) => {
      const made = table(layout);
      change(made.bytes, made.at);
      return programWith(made.bytes);
    };
    const entry = layout === "1.2" || layout === "1.16" ? 8 : 4;

    test("unknown head, none, or cut within it", () => {
      const files = [
        changed((b) => b.writeUInt32LE(0xfffffff2, 0)),
        changed((b) => b.writeUInt8(1, 4)),
        changed((b) => b.writeUInt8(3, 6)),
        changed((b) => b.writeUInt8(16, 7)),
        programWith(table(layout).bytes.subarray(0, 7)),
        programWith(table(layout).bytes.subarray(0, 20)),
      ];
      for (const r of readSafely(files, first()))
        expect(r).toMatchObject({ parsed: true, refused: 1, names: [""] });
    });
    test("more functions than there is room for, none, and places beyond its end", () => {
      const files = [0n, 5000n, 1n << 31n, (1n << 64n) - 1n].map((n) =>
        changed((b) => b.writeBigUInt64LE(n, 8)),
      );
      const words = { "1.2": 0, "1.16": 7, "1.18": 8, "1.20": 8 }[layout];
      for (let word = 2; word < words; word++)
        files.push(changed((b) => b.writeBigUInt64LE((1n << 64n) - 8n, 8 + word * 8)));
      for (const [i, r] of readSafely(files, first()).entries()) {
        expect(r.parsed).toBe(true);
        if (i < 4) expect(r).toMatchObject({ refused: 1, names: [""] });
        else expect(["", "main.first"]).toContain(r.names[0]);
      }
    });
    test("functions that go backwards, lie outside of the code, or have a record elsewhere", () => {
      const put = (b: Buffer, value: number, place: number) =>
        entry === 8 ? b.writeBigUInt64LE(BigInt(value), place) : b.writeUInt32LE(value, place);
      const files = [
        changed((b, where) => put(b, 0, where.list + 2 * entry)),
        changed((b, where) => put(b, 0, where.list)),
        changed((b, where) => put(b, 0x7fffffff, where.list + entry)),
        changed((b, where) => put(b, 0x7fffffff, where.list + 3 * entry)),
        changed((b, where) => put(b, 1, where.record)),
      ];
      for (const r of readSafely(files, first())) expect(r).toMatchObject({ refused: 1, names: [""] });
    });
    test("a name beyond the table, before it, or without an end", () => {
      const files = [0x7fffffff, -1, -0x80000000].map((name) =>
        changed((b, where) => b.writeInt32LE(name, where.record + entry)),
      );
      files.push(
        changed((b, where) => {
          b.fill(0x41, b.length - 4);
          b.writeInt32LE(b.length - 4 - (layout === "1.2" ? 0 : where.names), where.record + entry);
        }),
      );
      for (const r of readSafely(files, first())) expect(r).toMatchObject({ refused: 0, names: [""] });
    });
    test("300 times with bytes turned over", () => {
      let seed = 3;
      const random = (below: number) => {
        seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
        return Math.floor((seed / 2 ** 32) * below);
      };
      const good = readFileSync(changed(() => {}));
      const bytes = table(layout).bytes;
      const place = good.indexOf(bytes);
      const files = Array.from({ length: 300 }, (_, i) => {
        const copy = Buffer.from(good);
        for (let k = 0; k < 4; k++) copy[place + 8 + random(bytes.length - 8)] = random(256);
        const file = join(dir, `turned-${layout}-${i}`);
        writeFileSync(file, copy);
        return file;
      });
      const results = readSafely(files, first());
      expect(results).toHaveLength(300);
      expect(results.every((r) => r.parsed)).toBe(true);
    });
  });

  test("a file without sections, with 64 GiB of nothing to look through, takes little time and memory", () => {
    const file = withoutSections(programWith(Buffer.alloc(8)));
    const bytes = readFileSync(file);
    const segments = Number(bytes.readBigUInt64LE(32));
    for (let i = 0; i < bytes.readUInt16LE(56); i++)
      if (bytes.readUInt32LE(segments + i * 56) === 1)
        bytes.writeBigUInt64LE(60n << 30n, segments + i * 56 + 32);
    writeFileSync(file, bytes);
    truncateSync(file, 64 * 2 ** 30);
    expect(readSafely([file], at.local)).toMatchObject([{ parsed: true, refused: 0, names: [""] }]);
    expect(namesInFile(file, []).parseNs).toBeLessThan(3e9);
    rmSync(file);
  });
  test("in a program of C nobody looks for a table outside of the section of that name", () => {
    expect(namesInFile(programWith(table("1.18").bytes, ".other"), [at.local]).names).toEqual([""]);
  });
});
