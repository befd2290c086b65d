// The repository's own rules: it stands alone, every source file says what it is for, none is too long to be read, and
// the licence of each file can be told.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT, textOf, trackedFiles } from "./helpers/tracked-files.js";

const files = trackedFiles();
const sources = files.filter((path) => /\.(ts|mjs|c|cc|h)$/.test(path));
/** Shell: what scripts/ and .ci/ hold that is nothing else. */
const shell = files.filter((path) => /^(scripts|\.ci)\//.test(path) && /(^|\/)[^.]+(\.sh)?$/.test(path));
const MAX_LINES = 400;

/** Paths and phrases of the place where it was written, in halves so that this file does not hold them. */
const WORKPLACE = [
  ["/wo", "rk/"],
  ["../sha", "red"],
  [".lib", "rary/"],
  ["this ses", "sion"],
  ["issue", " #"],
].map((halves) => halves.join(""));

/** `path:line: text` of each line that holds `words`, in any case. */
function linesWith(words: string, paths: readonly string[]): string[] {
  return paths.flatMap((path) =>
    (textOf(path) ?? "")
      .split("\n")
      .map((line, index) => `${path}:${index + 1}: ${line.trim().slice(0, 100)}`)
      .filter((line) => line.slice(path.length).toLowerCase().includes(words)),
  );
}

test("git lists the sources of every part", () => {
  for (const folder of ["bpf/", "native/", "src/", "web/", "test/", "scripts/"]) {
    expect(sources.some((path) => path.startsWith(folder))).toBe(true);
  }
});

test.each(WORKPLACE)("no file mentions the place where it was written: %s", (words) => {
  expect(linesWith(words, files)).toEqual([]);
});

describe("every source file", () => {
  test("begins with a comment that says what it is for", () => {
    expect(shell).toContain("scripts/quickstart");
    expect(shell).toContain("scripts/lib/packages.sh");
    const silent = [...sources, ...shell].filter((path) => {
      const lines = textOf(path)!.split("\n");
      const first = lines[0]!.startsWith("#!") ? lines[1]! : lines[0]!;
      return !(shell.includes(path) ? /^# *\S/ : /^(\/\/|\/\*) *\S/).test(first);
    });
    expect(silent).toEqual([]);
  });

  test(`has at most ${MAX_LINES} lines`, () => {
    const long = [...sources, ...shell]
      .map((path) => ({ path, lines: textOf(path)!.trimEnd().split("\n").length }))
      .filter(({ lines }) => lines > MAX_LINES);
    expect(long).toEqual([]);
  });
});

describe("licences", () => {
  test("BPF programs, and nothing else, say that they are GPL-2.0-only or BSD-2-Clause", () => {
    const marked = sources.filter((path) => {
      const first = textOf(path)!.split("\n", 1)[0]!;
      return first.includes("SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause");
    });
    expect(marked).toEqual(sources.filter((path) => path.startsWith("bpf/") || path.endsWith(".bpf.c")));
  });

  test("LICENSE names texts that are there, and there are no others", () => {
    const named = new Set(textOf("LICENSE")!.match(/LICENSES\/[\w.-]+\.txt/g));
    expect([...named].sort()).toEqual(files.filter((path) => path.startsWith("LICENSES/")).sort());
    for (const path of named) expect(readFileSync(join(ROOT, path), "utf8").length).toBeGreaterThan(1000);
  });

  test("NOTICE names every package that the command needs to run", () => {
    const { dependencies } = JSON.parse(textOf("package.json")!) as { dependencies: Record<string, string> };
    const notice = textOf("NOTICE")!;
    for (const name of Object.keys(dependencies)) expect(notice).toContain(` ${name} `);
  });
});
