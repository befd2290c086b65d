// The bench publishes medians with their spread, and only into the place that the page keeps for them.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { drawIntoDocument, type StoredResult } from "../../../bench/document.js";
import type { Part } from "../../../bench/part.js";
import { show, spread, table } from "../../../bench/statistics.js";
import { repositoryRoot } from "../../support/paths.js";

test("a spread is the median, the lowest and the highest, in whatever order they came", () => {
  expect(spread([5, 1, 3])).toEqual({ median: 3, low: 1, high: 5, rounds: 3 });
  expect(spread([4, 1, 3, 2])).toEqual({ median: 2.5, low: 1, high: 4, rounds: 4 });
  expect(show(spread([0.05, 0.01, 0.03]), 1, 100)).toBe("3.0 (1.0 to 5.0)");
  expect(() => spread([])).toThrow();
});

test("a table has one line a row and figures on the right", () => {
  expect(table(["a", "b"], [["x", "1"]])).toBe("| a | b |\n| --- | --: |\n| x | 1 |");
});

describe("the page", () => {
  const dir = mkdtempSync(join(tmpdir(), "lowflame-document-"));
  const path = join(dir, "page.md");
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const part: Part<unknown> = {
    name: "memory",
    run: async () => ({}),
    render: (data) => `drawn from ${JSON.stringify(data)}`,
  };
  const result: StoredResult = {
    part: "memory",
    machine: {
      date: "2026-01-02",
      kernel: "6.18.1",
      cpu: "EPYC",
      cpus: 2,
      virtual: true,
      memoryGiB: 24,
      commit: "abc1234",
      tools: { perf: "6.1" },
    },
    data: { mib: 12 },
  };

  test("only what stands between the part's markers changes; the date and the machine are told", () => {
    writeFileSync(path, "before\n<!-- bench:memory -->\nold\n<!-- /bench:memory -->\nafter\n");
    drawIntoDocument(path, part, result);
    const text = readFileSync(path, "utf8");
    expect(text).toMatch(/^before\n<!-- bench:memory -->\n/);
    expect(text).toMatch(/<!-- \/bench:memory -->\nafter\n$/);
    expect(text).toContain('drawn from {"mib":12}');
    expect(text).toContain(
      "Measured 2026-01-02 at commit abc1234: Linux 6.18.1 in a virtual machine, 2 x EPYC, 24 GiB",
    );
    expect(text).not.toContain("old");
  });

  test("a part that was never measured says so", () => {
    writeFileSync(path, "<!-- bench:memory -->\nold\n<!-- /bench:memory -->\n");
    drawIntoDocument(path, part, undefined);
    expect(readFileSync(path, "utf8")).toBe(
      "<!-- bench:memory -->\nNot measured yet: `npm run bench -- --only memory` does.\n<!-- /bench:memory -->\n",
    );
  });

  test("docs/performance.md has no empty section", () => {
    const text = readFileSync(join(repositoryRoot(), "docs/performance.md"), "utf8");
    const sections = [...text.matchAll(/<!-- bench:(\S+) -->([\s\S]*?)<!-- \/bench:\1 -->/g)];
    expect(sections.length).toBeGreaterThan(5);
    for (const [, name, body] of sections) expect(body!.trim(), name).toMatch(/^(Measured|Not measured yet)/);
  });
});
