// Stacks of a real program, without frame pointers and through libc: the walk comes where libgcc's unwinder comes.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { repositoryRoot } from "../../support/paths.js";
import { BUILD_MS, buildWalker, Machine } from "./driver.js";
import { NEVER } from "./synthetic.js";
import { addressOfOffset, tableOf } from "./tables-of.js";

interface Told {
  readonly name: string;
  readonly ip: string;
  readonly sp: string;
  readonly bp: string;
  readonly callers: readonly string[];
  readonly mappings: readonly { begin: string; end: string; offset: string; path: string }[];
  readonly stacks: readonly { at: string; bytes: string }[];
}

const dir = mkdtempSync(join(tmpdir(), "lowflame-walk-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const number = (hex: string) => BigInt(`0x${hex}`);

let told: Told[] = [];
beforeAll(() => {
  buildWalker();
  const program = join(dir, "own-stack");
  const source = join(repositoryRoot(), "test/unit/walk/own-stack.c");
  const flags = ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-pthread"];
  execFileSync("gcc", [...flags, source, "-o", program]);
  const out = execFileSync(program, { encoding: "utf8", maxBuffer: 1 << 26 });
  told = out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}, BUILD_MS);

test.each([
  ["plain", 20],
  ["deep", 118],
  ["alloca", 4],
  ["callback", 7],
  ["signal", 6],
  ["handler with a stack of its own", 6],
  ["fiber", 6],
  ["linked fiber", 6],
  ["thread", 6],
])("%s: the same callers, to the first frame", (name, least) => {
  const t = told.find((stack) => stack.name === name)!;
  const m = new Machine();
  const ids = new Map<string, number>();
  const tables = new Map<string, number | undefined>();
  m.line("process", 1, 0, 1, 1, NEVER);
  for (const { begin, end, offset, path } of t.mappings) {
    if (!tables.has(path)) tables.set(path, path.startsWith("/") ? tableOf(m, ids, path) : undefined);
    const bias = tables.get(path)
      ? number(begin) - number(offset) - addressOfOffset(path, number(offset))
      : 0n;
    m.line("mapping", number(begin), (number(end) - number(begin)) / 4096n, tables.get(path) ?? 0, bias);
  }
  for (const { at, bytes } of t.stacks) m.stack(number(at), Buffer.from(bytes, "hex"));

  const walked = m.walk({ ip: number(t.ip), sp: number(t.sp), bp: number(t.bp) });
  // what a signal interrupted, and what its handler returns to, are told one byte higher: both are looked up exactly
  const above = walked.frames.slice(1).map((frame, i) => frame - number(t.callers[i]!));
  const exact = above.flatMap((bytes, i) => (bytes === 1n ? [i] : []));
  const trampoline = exact[0] ?? 0;
  expect(above).toEqual(t.callers.map((_, i) => (exact.includes(i) ? 1n : 0n)));
  expect(exact).toEqual(/signal|handler/.test(name) ? [trampoline, trampoline + 1] : []);
  expect(walked.frames.length).toBeGreaterThan(least);
  expect(walked.stop).toBe("whole");
});
