// Unwind tables of real programs, row by row against readelf, and what they cost.
import { execFileSync } from "node:child_process";
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BUILD_MS, buildDriver, randomNumbers, rules, tables, vdsoTable } from "./driver.js";
import { agrees, cfaExpressions, cfaOfExpression, frameRows } from "./readelf.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-unwind-tables-"));
beforeAll(buildDriver, BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const NODE = realpathSync(process.execPath);
const PROGRAMS: readonly (readonly [string, string])[] = [
  ["nginx", "/usr/sbin/nginx"],
  ["haproxy", "/usr/sbin/haproxy"],
  ["redis", "/usr/bin/redis-server"],
  ["the C library", "/lib/x86_64-linux-gnu/libc.so.6"],
  ["libcrypto", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3"],
  ["bash", "/usr/bin/bash"],
  ["node", NODE],
];
const SAMPLE = 6_000;

describe.each(PROGRAMS)("%s against readelf", (name, file) => {
  test("CFA and rbp at thousands of addresses", { timeout: 60_000 }, () => {
    const rows = frameRows(file).filter((row) => row.end > row.begin);
    expect(rows.length).toBeGreaterThan(10_000);
    const random = randomNumbers(name.length);
    const sample = Array.from({ length: SAMPLE }, () => rows[random(rows.length)]!);
    // the row's first byte, its last, and one between
    const addresses = sample.map((row, i) =>
      i % 3 === 0 ? row.begin : i % 3 === 1 ? row.end - 1 : row.begin + random(row.end - row.begin),
    );
    const got = rules(file, addresses);
    expect(got).toHaveLength(SAMPLE);
    const wrong = got.flatMap((rule, i) =>
      agrees(rule, sample[i]!) ? [] : [{ address: addresses[i], rule, row: sample[i] }],
    );
    expect(wrong).toEqual([]);
    // that so many agree is not because most say nothing
    expect(got.filter((rule) => /^(sp|fp)$/.test(rule.cfa)).length).toBeGreaterThan(SAMPLE * 0.98);
  });

  test("between functions there is no rule, unless it is padding", { timeout: 60_000 }, () => {
    const rows = frameRows(file).sort((a, b) => a.begin - b.begin);
    const gaps = rows.flatMap((row, i) => {
      const next = rows[i + 1];
      return next && next.begin - row.end > 16 ? [row.end, next.begin - 1] : [];
    });
    const around = [...gaps, rows[0]!.begin - 1, rows.at(-1)!.end, 0, 2 ** 40];
    expect(rules(file, around).filter((rule) => rule.cfa !== "none")).toEqual([]);
  });

  test("every CFA that is an expression", { timeout: 60_000 }, () => {
    const expressions = cfaExpressions(file).filter(({ text }) => !/rsp\): 160; DW_OP_deref$/.test(text));
    const got = rules(
      file,
      expressions.map(({ address }) => address),
    ).map(({ cfa, cfaOffset, cfaAdd }) => ({ cfa, cfaOffset, cfaAdd }));
    expect(got).toEqual(expressions.map(({ text }) => cfaOfExpression(text)));
    expect(got.some(({ cfa }) => cfa === "plt")).toBe(true);
  });
});

test("the C library's signal frame, and what begins threads", () => {
  const rows = frameRows("/lib/x86_64-linux-gnu/libc.so.6");
  const signal = rows.filter((row) => row.cfa === "exp" && row.ra === "exp");
  const first = rows.filter((row) => row.ra === "u");
  expect(signal.length).toBeGreaterThan(0);
  expect(first.length).toBeGreaterThan(0);
  const at = [...signal, ...first].map((row) => row.begin);
  const kinds = rules("/lib/x86_64-linux-gnu/libc.so.6", at).map((rule) => rule.cfa);
  expect(kinds).toEqual([...signal.map(() => "signal"), ...first.map(() => "end")]);
});

test.each([
  ["of the C library", "/lib/x86_64-linux-gnu/libc.so.6", []],
  ["of a program linked statically", join(dir, "fiber"), ["-static", "-no-pie"]],
])(
  "the address %s that a fiber returns to: no rule before it, one behind, as at no end of a call",
  (_, file, flags) => {
    const source = join(dir, "fiber.c");
    writeFileSync(
      source,
      `#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <ucontext.h>
static ucontext_t outside, fiber;
static char room[65536];
static void in_fiber(void) {
  char* to = __builtin_return_address(0);
#ifndef __PIE__
  char* base = 0;
#else
  Dl_info info;
  dladdr(to, &info);
  char* base = info.dli_fbase;
#endif
  printf("%lx\\n", (unsigned long)(to - base));
}
int main(void) {
  getcontext(&fiber);
  fiber.uc_stack.ss_sp = room;
  fiber.uc_stack.ss_size = sizeof(room);
  fiber.uc_link = &outside;
  makecontext(&fiber, in_fiber, 0);
  swapcontext(&outside, &fiber);
}
`,
    );
    execFileSync("gcc", ["-O2", ...flags, source, "-o", join(dir, "fiber")]);
    const to = parseInt(execFileSync(join(dir, "fiber"), { encoding: "utf8" }), 16);
    expect(rules(file, [to - 1, to]).map((rule) => rule.cfa)).toEqual(["none", "sp"]);
  },
);

test("the vdso has a table", () => {
  expect(vdsoTable()).toMatchObject({ why: "", rowsUnsupported: 0, functionsLeftOut: 0 });
});

describe("what tables cost", () => {
  test("40 to 140 KiB a MiB of text, nearly all rows plain, few rules for all files together", () => {
    const facts = tables(...PROGRAMS.map(([, file]) => file));
    for (const [i, table] of facts.entries()) {
      expect(table).toMatchObject({ why: "", rowsLeftOut: 0, functionsLeftOut: 0, rulesDropped: 0 });
      const perMiB = table.bytes / 1024 / (table.textBytes / 2 ** 20);
      console.log(`${PROGRAMS[i]![0]}: ${table.rows} rows, ${perMiB.toFixed(1)} KiB a MiB of text`);
      expect(perMiB).toBeGreaterThan(40);
      expect(perMiB).toBeLessThan(140);
      expect(table.plain).toBeGreaterThan(0.995);
    }
    expect(facts.at(-1)!.rulesOfAll).toBeLessThan(2_000);
  });

  test("node's 26 MiB of text take less than 100 ms of CPU", () => {
    const times = tables(NODE, NODE, NODE, NODE, NODE).map((table) => table.cpuMs);
    expect(Math.min(...times)).toBeLessThan(100);
  });
});
