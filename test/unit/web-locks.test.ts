// The tab of kernel locks without a browser: bars of the histogram, cells of the table, rows of one lock.
import { describe, expect, test } from "vitest";
import { RUNQUEUE_BUCKETS } from "../../src/capture/binding.js";
import type { ReportLock } from "../../src/export/html/document.js";
import { lockCells } from "../../web/lock-table.js";
import { defaultSelection, selectRows } from "../../web/selection.js";
import { barsOf } from "../../web/wait-histogram.js";
import { exampleDocument } from "./html-example.js";

describe("bars of a histogram", () => {
  const buckets = (waits: Readonly<Record<number, number>>): number[] =>
    Array.from({ length: RUNQUEUE_BUCKETS }, (_, index) => waits[index] ?? 0);

  test("go from the shortest to the longest waits, gaps between them included", () => {
    expect(barsOf(buckets({ 1: 5, 4: 2 }))).toEqual([
      { lowNs: 1024, highNs: 1536, waits: 5 },
      { lowNs: 1536, highNs: 2048, waits: 0 },
      { lowNs: 2048, highNs: 3072, waits: 0 },
      { lowNs: 3072, highNs: 4096, waits: 2 },
    ]);
  });

  test("the last bucket has no end", () => {
    const [bar] = barsOf(buckets({ [RUNQUEUE_BUCKETS - 1]: 1 }));
    expect(bar!.highNs).toBe(Number.POSITIVE_INFINITY);
  });

  test("none without waits", () => {
    expect(barsOf(buckets({}))).toEqual([]);
    expect(barsOf([])).toEqual([]);
  });
});

test("cells name the first waiters and owners and count the rest; times stay numbers to sort by", () => {
  const lock: ReportLock = {
    name: "tasklist_lock",
    kind: "rwlock, read",
    contention: true,
    waits: 1300,
    timeouts: null,
    threads: 4,
    atOnce: null,
    sumNs: 31e6,
    maxNs: 1.9e6,
    p50Ns: 2500,
    p99Ns: 64_000,
    buckets: [],
    waiters: ["nginx", "node", "haproxy", "sh"].map((name, place) => ({
      name,
      processes: 1,
      waits: 1000 - place,
      sumNs: 1e6,
    })),
    callers: [{ name: "read_lock_of_tasks", share: 1 }],
    owners: [
      { name: "backup", share: 0.61 },
      { name: "nginx", share: 0.2 },
    ],
    samples: 9,
    relativeError: 0.1,
  };
  expect(lockCells(lock)).toEqual([
    "tasklist_lock",
    "rwlock, read",
    "read_lock_of_tasks",
    "backup 61.0 % and 1 more",
    "nginx 1,000, node 999 and 2 more",
    1300,
    31e6,
    2500,
    64_000,
    1.9e6,
  ]);
});

test("a chosen lock leaves only its own waits, in both graphs", () => {
  const report = exampleDocument({ locks: true });
  for (const source of [report.sources.find((row) => row.source === "locks")!, report.locks!.owners!]) {
    const all = selectRows(report, source, defaultSelection(source));
    const parts = report.locks!.rows.map((_, lock) =>
      selectRows(report, source, { ...defaultSelection(source), lock }),
    );
    for (const [lock, rows] of parts.entries())
      expect(new Set(Array.from(rows, (row) => source.lock![row]))).toEqual(
        new Set(rows.length > 0 ? [lock] : []),
      );
    expect(parts.reduce((sum, rows) => sum + rows.length, 0)).toBe(all.length);
  }
});
