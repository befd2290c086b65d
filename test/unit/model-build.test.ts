// The model: from batches as the addon sends them to functions, a prefix tree and weights.
import { expect, test } from "vitest";
import { OFFCPU_STATES, SampleFlag } from "../../src/capture/binding.js";
import type { CaptureEvent } from "../../src/capture/events.js";
import { ProfileBuilder } from "../../src/model/build.js";
import { buildProfile, HOSTILE_NAMES, pathOf, samplesByStack, table } from "./helpers/build-profile.js";
import { b, FakeCapture, fakeFacts, fakeStart, j, k, u } from "./helpers/fake-capture.js";

const worker = [u("_start"), u("main"), u("ngx_worker_process_cycle")];

test("equal stacks of a thread become one row that sums weights and keeps the longest wait", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(100, "nginx");
  const wait = [...worker, k("entry_SYSCALL_64_after_hwframe"), k("ep_poll"), k("schedule")];
  capture.offcpu(thread, wait, { durationNs: 5e6, times: 3, syscall: 232 });
  capture.flush();
  capture.offcpu(thread, wait, { durationNs: 90e6, syscall: 232 });
  const rows = table(buildProfile(capture.events()), "offcpu");
  expect(rows.count).toBe(1);
  expect([rows.weightNs[0], rows.samples[0], rows.maxNs[0], rows.syscall[0]]).toEqual([105e6, 4, 90e6, 232]);
});

test("rows stay apart by thread, state and system call", () => {
  const capture = new FakeCapture();
  const { process, thread } = capture.process(100, "nginx");
  const other = capture.thread(process, 101, "nginx");
  capture.offcpu(thread, worker, { state: "interruptible", syscall: 0 });
  capture.offcpu(thread, worker, { state: "uninterruptible", syscall: 0 });
  capture.offcpu(thread, worker, { state: "interruptible", syscall: 1 });
  capture.offcpu(other, worker, { state: "interruptible", syscall: 0 });
  expect(table(buildProfile(capture.events()), "offcpu").count).toBe(4);
});

test("frames of one name, module and kind are one function; other modules and kinds are not", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(100, "nginx");
  capture.cpu(thread, [u("_start"), u("read", "/usr/lib/libc.so.6", 0x10n)]);
  capture.cpu(thread, [u("_start"), u("read", "/usr/lib/libc.so.6", 0x20n)]);
  capture.cpu(thread, [u("_start"), u("read", "/opt/other.so", 0x10n)]);
  capture.cpu(thread, [u("_start"), k("read", 0x10n)]);
  const profile = buildProfile(capture.events());
  const reads = profile.functions.name.flatMap((name, id) =>
    name === "read" ? [`${profile.functions.kind[id]} ${profile.functions.module[id]}`] : [],
  );
  expect(reads.sort()).toEqual(["kernel [kernel]", "user /opt/other.so", "user /usr/lib/libc.so.6"]);
  expect(table(profile, "cpu").count).toBe(3);
});

test("names that come long after the samples are used; frames that never get one show file and offset", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(100, "haproxy");
  capture.cpu(thread, [u("_start", "/usr/sbin/haproxy"), u("process_stream", "/usr/sbin/haproxy")]);
  capture.flush({ names: false });
  capture.cpu(thread, [
    u("_start", "/usr/sbin/haproxy"),
    u(undefined, "/usr/sbin/haproxy", 0x1f2en),
    k(undefined, 0xffffffff81234560n),
  ]);
  capture.cpu(thread, [u("_start", "/usr/sbin/haproxy"), u("", "/usr/sbin/haproxy", 0x99n), j("", 0x7f00n)]);
  expect(samplesByStack(buildProfile(capture.events()), "cpu")).toEqual({
    "_start;process_stream": 1,
    "_start;haproxy+0x1f2e;[kernel]+0xffffffff81234560": 1,
    "_start;haproxy+0x99;[jit]": 1,
  });
});

test("a function without a name is one, wherever in it a sample was, once it is known where it begins", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(100, "haproxy");
  for (const at of [0x1f2en, 0x1f40n, 0x1f20n])
    capture.cpu(thread, [u("_start", "/usr/sbin/haproxy"), u("+0x1f20", "/usr/sbin/haproxy", at)]);
  expect(samplesByStack(buildProfile(capture.events()), "cpu")).toEqual({ "_start;haproxy+0x1f20": 3 });
});

test("parents come before children in the tree and every row's path is whole", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(100, "nginx");
  for (const leaf of ["a", "b", "c"]) capture.cpu(thread, [...worker, k(leaf), b(`bpf_prog_00_${leaf}`)]);
  const profile = buildProfile(capture.events());
  for (let node = 1; node < profile.tree.count; node++) expect(profile.tree.parent[node]!).toBeLessThan(node);
  expect(pathOf(profile, table(profile, "cpu").node[1]!)).toEqual([
    "_start",
    "main",
    "ngx_worker_process_cycle",
    "b",
    "bpf_prog_00_b",
  ]);
});

test("hostile names stay as they are", () => {
  const capture = new FakeCapture();
  for (const [i, name] of HOSTILE_NAMES.entries()) {
    const { thread } = capture.process(1000 + i, name);
    capture.cpu(thread, [u("_start"), u(name, `/opt/${name}`)]);
  }
  const profile = buildProfile(capture.events());
  const rows = table(profile, "cpu");
  const leaves = Array.from({ length: rows.count }, (_, i) => pathOf(profile, rows.node[i]!).at(-1));
  expect(leaves).toEqual(HOSTILE_NAMES);
  expect(profile.processes.flatMap((p) => p?.comm ?? [])).toEqual(HOSTILE_NAMES);
});

test("rows of one process (pid and start time) are merged, and lowflame's own stays known as such", () => {
  const capture = new FakeCapture();
  const before = capture.process(500, "sh", { startTimeNs: 7n });
  const after = capture.process(500, "node", { startTimeNs: 7n, self: true });
  const reused = capture.process(500, "cron", { startTimeNs: 8n });
  capture.cpu(before.thread, worker).cpu(after.thread, worker).cpu(reused.thread, worker);
  const { processes, threads } = buildProfile(capture.events());
  expect(processes[before.process]).toBe(processes[after.process]);
  expect(processes[before.process]).toMatchObject({ id: before.process, comm: "node", self: true });
  expect(processes[reused.process]).toMatchObject({ comm: "cron", self: false });
  expect(threads[after.thread]?.process).toBe(before.process);
});

test("a capture without an end is shown with what it has, and says so", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(100, "nginx");
  capture.cpu(thread, worker, { times: 7 });
  const whole = capture.events();
  const cut = buildProfile(whole.slice(0, -1));
  expect(cut.final).toBeNull();
  expect(cut.facts.endReason).toMatch(/^truncated: /);
  expect(cut.notes.join()).toContain("no end");
  expect(cut.durationNs).toBe(7e6); // the time of the last sample
  const damage: CaptureEvent = { type: "damage", message: "member 3 of 9 is cut at byte 4711." };
  const damaged = buildProfile([...whole.slice(0, -1), damage]);
  expect(damaged.facts.endReason).toBe("truncated: member 3 of 9 is cut at byte 4711.");
  expect(damaged.notes).toEqual(["The capture is not whole: member 3 of 9 is cut at byte 4711."]);
  expect(buildProfile(whole).durationNs).toBe(10e9);
});

test("a capture without a header is refused in one sentence", () => {
  const builder = new ProfileBuilder();
  builder.add({ type: "damage", message: "not a lowflame capture" });
  expect(() => builder.build()).toThrow(
    "The capture has no header (not a lowflame capture): nothing in it can be read; record again.",
  );
});

test("references to rows that are not there keep their weight and are counted into a note", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(100, "nginx");
  capture.cpu(thread, worker);
  const [batch] = capture.batches();
  const columns = batch!.samples[0]!;
  const broken = {
    tables: {
      ...batch!.tables,
      modules: [],
      threads: [{ id: 2, tid: 2, process: 77, comm: "orphan" }],
      names: [{ frame: 4_000_000_000, name: "nowhere" }],
      frames: { ...batch!.tables.frames, firstId: 4_000_000_000 },
      stacks: { firstId: 9, count: 2, parent: Uint32Array.of(50, 9), frame: Uint32Array.of(1, 60000) },
    },
    samples: [
      {
        ...columns,
        count: 6, // more than the columns hold
        thread: Uint32Array.of(1, 999, 2, 1, 1),
        stack: Uint32Array.of(4_000_000_000, 3, 10, 3, 9),
        weightNs: Float64Array.of(10, 20, 40, Number.NaN, 80),
        durationNs: new Float64Array(5),
        timeNs: new Float64Array(5),
        state: Uint8Array.of(250, 0, 0, 0, 0),
        syscall: new Int32Array(5),
        flags: new Uint32Array(5),
        cpu: new Uint32Array(5),
      },
    ],
  };
  const profile = buildProfile([
    { type: "header", facts: fakeFacts(), start: fakeStart() },
    { type: "batch", batch: batch! },
    { type: "batch", batch: broken },
  ]);
  const rows = table(profile, "cpu");
  const period = columns.weightNs[0]!;
  expect(rows.weightNs.reduce((a, c) => a + c, 0)).toBe(period + 10 + 20 + 40 + 80);
  for (let i = 0; i < rows.count; i++) {
    const owner = profile.threads[rows.thread[i]!];
    expect(profile.processes[owner!.process]).toBeDefined();
    expect(rows.state[i]).toBeLessThan(OFFCPU_STATES.length);
  }
  const note = profile.notes.find((n) => n.includes("damaged"));
  for (const part of [
    "tables shorter",
    "frames outside",
    "stacks outside",
    "impossible weight",
    "threads",
    "names",
  ])
    expect(note).toContain(part);
  expect(samplesByStack(profile, "cpu")).toMatchObject({
    "[unknown stack]": 2,
    "[unknown stack];[unknown]": 1,
  });
});

test("more distinct rows than the table may have go into [other], with their weight and a note", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(100, "nginx");
  for (let i = 0; i < 50; i++) capture.cpu(thread, [u("_start"), u(`f${i}`)], { weightNs: 100 });
  const builder = new ProfileBuilder({ maxRows: 20 });
  for (const event of capture.events()) builder.add(event);
  const profile = builder.build();
  expect(table(profile, "cpu").count).toBe(21);
  expect(samplesByStack(profile, "cpu")["[other]"]).toBe(30);
  expect(profile.notes.join()).toContain("30 cpu samples");
});

test("notes of the start (what this kernel lacks) reach the reader", () => {
  const capture = new FakeCapture();
  const profile = buildProfile(
    capture.events({ start: { notes: ["No cycles counter: cpu-clock is used."] } }),
  );
  expect(profile.notes).toEqual(["No cycles counter: cpu-clock is used."]);
});

test("flags of all samples of a row are kept together", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(100, "nginx");
  capture.offcpu(thread, worker, { flags: SampleFlag.inProgress });
  capture.offcpu(thread, worker, { flags: SampleFlag.kernelTruncated });
  expect(table(buildProfile(capture.events()), "offcpu").flags[0]).toBe(
    SampleFlag.inProgress | SampleFlag.kernelTruncated,
  );
});
