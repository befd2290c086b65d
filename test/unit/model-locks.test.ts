// Kernel locks in the model: rows by lock, estimates of what sampled waits stand for, and captures that refer to no lock.
import { expect, test } from "vitest";
import { LOCK_KINDS } from "../../src/capture/binding.js";
import type { CaptureEvent } from "../../src/capture/events.js";
import { ProfileBuilder } from "../../src/model/build.js";
import { NO_LOCK } from "../../src/model/profile.js";
import { buildProfile, pathOf, table } from "./helpers/build-profile.js";
import { FakeCapture, fakeFacts, fakeStart, k, u } from "./helpers/fake-capture.js";

const waiting = [u("_start"), u("main"), k("do_syscall_64"), k("pipe_write"), k("mutex_lock")];

test("waits of one stack for two locks are two rows, and the locks are there by id", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(80, "nginx");
  const pipe = capture.lock({ kind: "mutex", address: 0xffff_8881_0b3d_e2c9n });
  const tasks = capture.lock({ kind: "rwlock, write", name: "tasklist_lock" });
  capture.locks(thread, waiting, { lock: pipe, durationNs: 2e6, times: 3 });
  capture.locks(thread, waiting, { lock: tasks, durationNs: 5e6 });
  const profile = buildProfile(capture.events());
  const rows = table(profile, "locks");
  expect(Array.from(rows.lock!, (lock) => profile.locks[lock]?.name)).toEqual(["", "tasklist_lock"]);
  expect(Array.from(rows.weightNs)).toEqual([6e6, 5e6]);
  expect(Array.from(rows.maxNs)).toEqual([2e6, 5e6]);
  expect(profile.locks[pipe]?.address).toBe(0xffff_8881_0b3d_e2c9n);
  expect(LOCK_KINDS[profile.locks[tasks]!.kind]).toBe("rwlock, write");
  expect(pathOf(profile, rows.node[0]!).at(-1)).toBe("mutex_lock");
});

test("who held a lock is a table of its own, with the owner's thread and stack", () => {
  const capture = new FakeCapture();
  const waiter = capture.process(80, "nginx");
  const owner = capture.process(666, "backup");
  const lock = capture.lock();
  capture.locks(waiter.thread, waiting, { lock, durationNs: 2e6 });
  capture.lockOwners(owner.thread, [k("pipe_read"), k("copy_page_to_iter")], { lock, durationNs: 2e6 });
  const profile = buildProfile(capture.events());
  expect(profile.weights.map(({ source }) => source)).toEqual(["locks", "lock-owners"]);
  const rows = table(profile, "lock-owners");
  expect(profile.threads[rows.thread[0]!]?.comm).toBe("backup");
  expect([rows.lock![0], rows.weightNs[0]]).toEqual([lock, 2e6]);
});

test("a wait of 1 ms kept one time in ten stands for ten, with the variance of that estimate", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(80, "nginx");
  const lock = capture.lock();
  capture.locks(thread, waiting, { lock, durationNs: 1e6, weightNs: 10e6, times: 2 });
  capture.locks(thread, waiting, { lock, durationNs: 50e6, weightNs: 50e6 }); // long enough to be kept always
  capture.locks(thread, waiting, { lock, durationNs: 0, weightNs: 10e6 });
  const rows = table(buildProfile(capture.events()), "locks");
  expect(rows.waits![0]).toBe(10 + 10 + 1 + 1);
  expect(rows.varianceNs2[0]).toBe(2 * 10e6 * 9e6 + 10e6 * 10e6);
  expect(rows.samples[0]).toBe(4);
});

test("the variance is never negative: not for waits longer than their weight, nor for impossible ones", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(80, "nginx");
  for (const durationNs of [3e6, Number.NaN, -1, Number.POSITIVE_INFINITY])
    capture.offcpu(thread, waiting, { durationNs, weightNs: 1e6 });
  expect(table(buildProfile(capture.events()), "offcpu").varianceNs2[0]).toBe(0);
});

test("CPU samples carry no column of locks, and each weighs in with its square", () => {
  const capture = new FakeCapture();
  capture.cpu(capture.process(80, "nginx").thread, [u("_start")], { times: 4, weightNs: 10 });
  const rows = table(buildProfile(capture.events()), "cpu");
  expect(rows).not.toHaveProperty("lock");
  expect(rows).not.toHaveProperty("waits");
  expect(rows.varianceNs2[0]).toBe(400);
});

test("a lock that is named later in the recording has that name", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(80, "nginx");
  const lock = capture.lock();
  capture.locks(thread, waiting, { lock });
  const [header, batch, end] = capture.events() as [CaptureEvent, CaptureEvent, CaptureEvent];
  if (batch.type !== "batch") throw new Error("not the events that were expected");
  const locks = batch.batch.tables.locks.map((row) => ({ ...row, name: "mmap_lock of nginx (pid 80)" }));
  const later = new FakeCapture().batches()[0]!;
  const named: CaptureEvent = { type: "batch", batch: { ...later, tables: { ...later.tables, locks } } };
  expect(buildProfile([header, batch, named, end]).locks[lock]?.name).toBe("mmap_lock of nginx (pid 80)");
});

test("locks that are not in the capture keep their waits, and a note counts them", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(80, "nginx");
  capture.locks(thread, waiting, { lock: 4_000_000_000, durationNs: 7 });
  capture.locks(thread, waiting, { lock: 2, durationNs: 11 });
  const [batch] = capture.batches();
  const row = { id: 1, kind: 0, address: 1n, name: "" };
  const locks = [{ ...row, id: 4_000_000_000 }, { ...row, id: -1 }, { ...row, id: 2, kind: 99 }, row];
  const { lock: _, ...without } = batch!.samples[0]!;
  const profile = buildProfile([
    { type: "header", facts: fakeFacts(), start: fakeStart() },
    { type: "batch", batch: { ...batch!, tables: { ...batch!.tables, locks } } },
    { type: "batch", batch: { ...batch!, samples: [without] } },
  ]);
  const rows = table(profile, "locks");
  expect(Array.from(rows.lock!)).toEqual([NO_LOCK]);
  expect(rows.weightNs[0]).toBe(18);
  expect(profile.locks.filter((lock) => lock !== undefined)).toEqual([row]);
  expect(profile.notes.join()).toContain("5 locks that are not in the capture or of no known kind");
  expect(profile.notes.join()).toContain("tables shorter than they say");
});

test("more rows than the table may have go into [other], of no lock", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(80, "nginx");
  for (let i = 0; i < 30; i++)
    capture.locks(thread, waiting, { lock: capture.lock(), durationNs: 100, weightNs: 200 });
  const builder = new ProfileBuilder({ maxRows: 20 });
  for (const event of capture.events()) builder.add(event);
  const rows = table(builder.build(), "locks");
  const other = rows.lock!.indexOf(NO_LOCK);
  expect(rows.count).toBe(21);
  expect([rows.samples[other], rows.weightNs[other], rows.waits![other]]).toEqual([10, 2000, 20]);
});
