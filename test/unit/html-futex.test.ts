// The tab of user locks without a browser: what the document holds, cells of both tables, which waits are shown, sentences.
import { describe, expect, test } from "vitest";
import type { ReportSource } from "../../src/export/html/document.js";
import { toDocument } from "../../src/export/html/from-profile.js";
import { emptyReason, hiddenNote, noOwners } from "../../web/explain.js";
import { LOCK_COLUMNS, lockCells } from "../../web/lock-table.js";
import { defaultSelection, hiddenWeights, selectRows } from "../../web/selection.js";
import { CONDITION, THREAD } from "./helpers/futex-example.js";
import { app, fakeApp, futexOf, profileOf } from "./helpers/futex-totals.js";
import { total } from "./helpers/lock-totals.js";
import { exampleDocument, HOSTILE } from "./html-example.js";

const report = exampleDocument({ futex: true });
const futex = report.futex!;
const waits = report.sources.find(({ source }) => source === "futex")!;
const ledger = futex.rows.findIndex(({ name }) => name.includes("0x7f3c14001a40"));
const pool = futex.rows.findIndex(({ name }) => name.includes("0x7f3c14002028"));
/** Weight that is shown, ns. */
const shown = (source: ReportSource, lock?: number): number =>
  selectRows(report, source, { ...defaultSelection(source), lock }).reduce(
    (sum, row) => sum + source.weight[row]!,
    0,
  );

describe("the document", () => {
  test("has a source and a table of its own for user locks, beside those of kernel locks", () => {
    const both = exampleDocument({ locks: true, futex: true });
    expect(both.sources.map(({ title }) => title)).toEqual(["CPU", "Off-CPU", "Kernel locks", "User locks"]);
    expect(both.locks!.rows.map(({ kind }) => kind)).toEqual(["rwsem, write", "spin lock"]);
    expect(report.locks).toBeNull();
    expect(exampleDocument().futex).toBeNull();
  });

  test("lists locks before conditions, whatever their totals", () => {
    expect(futex.rows.map(({ contention }) => contention)).toEqual([true, true, true, false, false]);
    expect(futex.rows[pool]!.sumNs).toBeGreaterThan(futex.rows[ledger]!.sumNs);
    expect(ledger).toBe(0);
    expect(futex.rows[ledger]).toMatchObject({ waits: 370, timeouts: 2, threads: 5, atOnce: 4 });
  });

  test("says of each wait whether it is for a lock or a condition; conditions are hidden at first", () => {
    expect(waits.states).toEqual(["waiting for a lock", "condition variable or idle wait"]);
    expect(waits.hiddenStates).toEqual([1]);
    expect(new Set(waits.state)).toEqual(new Set([0, 1]));
    expect(futex.owners!.states).toEqual(["waiting for a lock"]);
  });

  test("recorded, but nobody waited: a tab that can say so", () => {
    const empty = toDocument(profileOf(fakeApp(), []), []);
    expect(empty.sources.map(({ source }) => source)).toEqual(["futex"]);
    expect(empty.futex).toEqual({ rows: [], owners: null });
  });
});

describe("the tables", () => {
  test("cells tell who wants a lock and who holds it; times stay numbers to sort by", () => {
    expect(lockCells(futex.rows[ledger]!, "futex")).toEqual([
      "futex 0x7f3c14001a40 of ledgerd (pid 7100)",
      "lock",
      "Ledger::append(Entry const&)",
      "flusher (thread 7110 of ledgerd) 99.0 % and 4 more",
      370,
      futex.rows[ledger]!.sumNs,
      futex.rows[ledger]!.p50Ns,
      futex.rows[ledger]!.p99Ns,
      181e6,
      2,
      5,
      4,
    ]);
    const inherits = futex.rows.find(({ kind }) => kind.includes("inheritance"))!;
    expect(lockCells(inherits, "futex")[1]).toBe("PI");
    expect(lockCells(futex.rows[pool]!, "conditions").slice(0, 3)).toEqual([
      "futex 0x7f3c14002028 of ledgerd (pid 7100)",
      "Pool::wait()",
      32,
    ]);
  });

  test("times are shown in units of their own, and a dash where no wait was sampled", () => {
    const format = (title: string, cell: number) =>
      LOCK_COLUMNS.futex.find((column) => column.title === title)!.format!(cell);
    expect([
      format("Total", 9e10),
      format("p99", 24_000),
      format("Threads", 0),
      format("At once", 3),
    ]).toEqual(["90.0 s", "24.0 µs", "–", "3"]);
  });
});

describe("what is shown", () => {
  test("is waiting for locks, unless a condition is chosen: then its waits, whatever is ticked", () => {
    const locks = futex.rows.filter(({ contention, samples }) => contention && samples > 0);
    expect(shown(waits)).toBeCloseTo(
      locks.reduce((sum, { sumNs }) => sum + sumNs, 0),
      -2,
    );
    expect(shown(waits, pool)).toBeCloseTo(futex.rows[pool]!.sumNs, -2);
    expect(shown(waits, ledger)).toBeCloseTo(futex.rows[ledger]!.sumNs, -2);
    expect(shown(futex.owners!, pool)).toBe(0);
  });

  test("and how much is left out stands above the graph", () => {
    const note = hiddenNote(report, waits, hiddenWeights(report, waits), shown(waits), 0);
    expect(note).toMatch(/^Shown: [\d.]+ s of waiting, summed over threads/);
    expect(note).toMatch(/Left out unless ticked or chosen from their list: \d+ s of condition variables/);
  });

  test("where there are only conditions the tab says so", () => {
    const server = fakeApp();
    const lock = futexOf(server, "user condition or idle wait");
    server.capture.futex(server.threads[0]!, [...THREAD, app("idle"), ...CONDITION], { lock });
    const quiet = toDocument(profileOf(server, [total(lock, server.process, 1, 10e6)]), []);
    const [source] = quiet.sources;
    expect(emptyReason(quiet, source!, hiddenWeights(quiet, source!))).toMatch(
      /^No wait for a user lock was sampled: all that was seen are condition variables/,
    );
  });

  test("why owners are not known is told by what was recorded", () => {
    expect(noOwners("futex")).toMatch(/glibc's mutexes and locks with priority inheritance tell their owner/);
    expect(noOwners("locks")).toMatch(/The kernel keeps the owner of mutexes/);
  });
});

test("hostile names go through as they are: the page shows them as text", () => {
  const hostile = exampleDocument({ futex: true, hostile: true });
  const row = hostile.futex!.rows.find(({ name }) => name.includes("onerror"))!;
  expect(row.name).toBe(HOSTILE.lock.replace("\u202e", "\\u{202e}"));
  expect(row.waiters[0]!.name).toBe(HOSTILE.process);
});
