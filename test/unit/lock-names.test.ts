// A lock of one process keeps that process's name where others wait for it, and is one lock in the tables.
import { expect, test } from "vitest";
import { lockSummaries } from "../../src/analysis/lock-summary.js";
import { lockIndex } from "../../src/export/html/locks.js";
import { FakeCapture, k } from "./helpers/fake-capture.js";
import { MAP, profileOf, RWSEM, total } from "./helpers/lock-totals.js";

const ADDRESS = 0xffff888105dc4d38n;
const NAME = "mmap_lock of dupc (pid 80)";
const SMAPS = [k("smaps_rollup_open"), ...RWSEM];

/** dupc, which maps, and a reader of its smaps, whose wait may come first. */
function contended(foreign = "in a mm_struct object", own = [NAME]) {
  const capture = new FakeCapture();
  const [dupc, reader] = [capture.process(80, "dupc"), capture.process(90, "ps")];
  const theirs = capture.lock({ kind: "rwsem, write", address: ADDRESS, name: foreign });
  const ours = own.map((name) => capture.lock({ kind: "rwsem, write", address: ADDRESS, name }));
  const elsewhere = capture.lock({ kind: "rwsem, write", address: ADDRESS + 4096n, name: foreign });
  for (const lock of [theirs, elsewhere]) capture.locks(reader.thread, SMAPS, { lock });
  for (const lock of ours) capture.locks(dupc.thread, [...MAP, ...RWSEM], { lock });
  return profileOf(capture, [
    total(theirs, reader.process, 3, 1e6),
    ...ours.map((lock) => total(lock, dupc.process, 5, 1e6)),
    total(elsewhere, reader.process, 1, 1e6),
  ]);
}
const rowsOf = (profile: ReturnType<typeof contended>) =>
  lockSummaries(profile, "locks").map(({ name, count }) => [name, count]);

test.each(["in a mm_struct object", ""])("another process's wait for it has its name: %j", (foreign) => {
  const profile = contended(foreign);
  expect(rowsOf(profile)[0]).toEqual([NAME, 8]);
  expect(rowsOf(profile)).toHaveLength(2);
  expect(rowsOf(profile)[1]![0]).not.toContain("dupc");
  const [summary] = lockSummaries(profile, "locks");
  expect(summary!.waiters.map(({ count }) => count)).toEqual([5, 3]);
  const { rows, column } = lockIndex(profile, "locks");
  expect(rows[0]).toMatchObject({ name: NAME, waits: 8 });
  const table = profile.weights.find(({ source }) => source === "locks")!;
  expect([...column(table)].sort()).toEqual([0, 0, 1]);
});

test("an address that two processes had one after the other names nobody else's wait", () => {
  const names = rowsOf(contended("in a mm_struct object", [NAME, "mmap_lock of next (pid 81)"]));
  expect(names.map(([name]) => name).sort()).toEqual([
    NAME,
    "mmap_lock of next (pid 81)",
    "rwsem in a mm_struct object",
    "rwsem in a mm_struct object",
  ]);
});

test("a lock that the kernel names itself keeps that name", () => {
  expect(rowsOf(contended("tasklist_lock"))).toContainEqual(["tasklist_lock", 3]);
});
