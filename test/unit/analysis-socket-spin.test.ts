// Calls that find nothing to do: in no list of slow calls, and their stacks say from where a program asks in vain.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { slowCalls, unfinishedCalls } from "../../src/analysis/socket-calls.js";
import { spinningDescriptors } from "../../src/analysis/socket-spin.js";
import { callerText } from "../../src/analysis/socket-sum.js";
import { type FinalFacts, SampleFlag } from "../../src/capture/binding.js";
import { digest } from "../../src/cli/digest.js";
import { summaryLines } from "../../src/cli/summary.js";
import { writeCsv } from "../../src/export/csv.js";
import { toDocument } from "../../src/export/html/from-profile.js";
import { ns } from "../../src/model/units.js";
import { functionNames } from "../../web/labels.js";
import { stackNames } from "../../web/slow-calls.js";
import { SPINNING_COLUMNS } from "../../web/socket-columns.js";
import { stackHead } from "../../web/spin-table.js";
import { buildProfile } from "./helpers/build-profile.js";
import { FakeCapture, type FakeFrame, j, k, u } from "./helpers/fake-capture.js";
import { SYSCALL } from "./helpers/proxy-load.js";
import { descriptor, EAGAIN, SYS } from "./helpers/socket-example.js";

const MODULE = "/usr/bin/tcp-life";
const ENTRY = [u("_start", MODULE), u("main", MODULE)];
const RECV = [u("recv", "/lib/x86_64-linux-gnu/libc.so.6")];
const ASKING = [...ENTRY, u("ask_in_vain", MODULE), ...RECV];
const SPIN = {
  ...{ syscall: SYS.recvfrom, fd: 7, result: -EAGAIN, flags: SampleFlag.spins },
  ...{ durationNs: ns(900), busyNs: ns(900), blockedNs: ns(0) },
};

/** A program that asks one descriptor in vain, recorded with its sockets alone; stacks of a few of its calls. */
function asking(stacks: readonly (readonly FakeFrame[])[], fd = 7) {
  const capture = new FakeCapture();
  const { process, thread } = capture.process(80, "tcp-life");
  const endpoint = capture.endpoint({ address: "127.0.0.1", port: 7002 });
  for (const stack of stacks) capture.slowCall(thread, stack, { ...SPIN, endpoint, fd });
  const descriptorTotals = [descriptor({ process, endpoint, count: 50_000, again: 49_900 })];
  return { capture, process, thread, final: { descriptorTotals } };
}

const built = (capture: FakeCapture, final: Partial<FinalFacts>, sources = ["sockets"] as const) =>
  buildProfile(capture.events({ facts: { sources }, final }));
const found = (capture: FakeCapture, final: Partial<FinalFacts>) =>
  analyze(built(capture, final)).find(({ rule }) => rule === "eagain-spin");

describe("eagain-spin", () => {
  test("says from where the program asks, with sockets alone", () => {
    const { capture, final } = asking([ASKING, ASKING, ASKING]);
    const finding = found(capture, final)!;
    expect(finding.detail).toMatch(/ It is asked from ask_in_vain \(tcp-life\)\.$/);
    expect(finding.contributors).toEqual([{ name: "ask_in_vain (tcp-life)", share: 1 }]);
  });

  test("of several the most frequent, with its share", () => {
    const other = [...ENTRY, u("drain", MODULE), ...RECV];
    const { capture, final } = asking([other, ASKING, ASKING, ASKING]);
    const finding = found(capture, final)!;
    expect(finding.detail).toContain("asked from ask_in_vain (tcp-life) (75.0 % of the stacks");
    expect(finding.contributors.map(({ name }) => name)).toEqual([
      "ask_in_vain (tcp-life)",
      "drain (tcp-life)",
    ]);
  });

  test("says it once where CPU samples were taken as well, by the stacks of this very descriptor", () => {
    const { capture, thread, final } = asking([ASKING]);
    const elsewhere = [...ENTRY, u("serve", MODULE), ...RECV, ...SYSCALL, k("__x64_sys_recvfrom")];
    capture.cpu(thread, elsewhere, { times: 90 });
    const finding = found(capture, final)!;
    expect(finding.detail).toContain("asked from ask_in_vain (tcp-life)");
    expect(finding.detail).not.toContain("CPU samples");
    expect(finding.contributors).toHaveLength(1);
  });

  test.each([
    ["of another descriptor", asking([ASKING], 8)],
    ["without a user half", asking([[]])],
    ["that end in the C library", asking([RECV])],
    ["that end in a thread's start", asking([[u("_start", MODULE), ...RECV]])],
  ])("leaves stacks alone %s: then the CPU samples tell", (_, { capture, thread, final }) => {
    expect(found(capture, final)!.contributors).toEqual([]);
    expect(found(capture, final)!.detail).not.toContain("asked from");
    const serve = [...ENTRY, u("serve", MODULE), ...RECV, ...SYSCALL, k("__x64_sys_recvfrom")];
    capture.cpu(thread, serve, { times: 90 });
    expect(found(capture, final)!.detail).toContain("come from serve (tcp-life) (100.0 %)");
  });

  test("leaves stacks alone of another process with the same descriptor", () => {
    const { capture, final } = asking([]);
    capture.slowCall(capture.process(81, "other").thread, ASKING, SPIN);
    expect(found(capture, final)!.contributors).toEqual([]);
  });

  test("takes the threads of a process together, and both rows of one that changed its name", () => {
    const { capture, process, final } = asking([ASKING]);
    capture.slowCall(capture.thread(process, 90, "second"), ASKING, SPIN);
    capture.slowCall(capture.process(80, "before").thread, ASKING, SPIN);
    const [row] = spinningDescriptors(built(capture, final));
    expect(row!.stacks).toMatchObject([{ count: 3 }]);
  });

  test.each([
    ["a program with the C library inside", [u("__libc_recv", MODULE)], "ask_in_vain (tcp-life)"],
    [
      "Go",
      [u("syscall.recvfrom", MODULE), u("internal/runtime/syscall.Syscall6", MODULE)],
      "ask_in_vain (tcp-life)",
    ],
    ["code compiled at run time", [j("poll@loop.js:3")], "poll@loop.js:3"],
    ["code without a name", [u(undefined, MODULE, 0x1234n)], "tcp-life+0x1234"],
  ])("knows who asks in %s", (_, inner, who) => {
    const { capture, final } = asking([[...ENTRY, u("ask_in_vain", MODULE), ...inner]]);
    expect(found(capture, final)!.contributors.map(({ name }) => name)).toEqual([who]);
  });

  test("of a cut capture there is none, whatever stacks were taken", () => {
    const { capture } = asking([ASKING]);
    const cut = buildProfile(capture.events({ facts: { sources: ["sockets"] } }).slice(0, -1));
    expect(spinningDescriptors(cut)).toEqual([]);
    expect(analyze(cut)).toEqual([]);
    expect(cut.durationNs).toBe(5e9);
  });
});

describe("a healthy program", () => {
  test("that read until EAGAIN long enough to have stacks taken gets no finding and no row", () => {
    const { capture, process } = asking([ASKING, ASKING, ASKING, ASKING]);
    const profile = built(capture, {
      descriptorTotals: [descriptor({ process, count: 50_000, again: 25_000 })],
    });
    expect(analyze(profile)).toEqual([]);
    expect(spinningDescriptors(profile)).toEqual([]);
    expect(toDocument(profile, []).sockets!.spinning).toEqual([]);
    expect(digest(profile).sockets!.spinning).toEqual([]);
  });

  test("lowflame's own descriptors are no finding, and only the report has them", () => {
    const capture = new FakeCapture();
    const { process } = capture.process(99, "lowflame", { self: true });
    const profile = built(capture, { descriptorTotals: [descriptor({ process, again: 50_000 })] });
    expect(analyze(profile)).toEqual([]);
    expect(digest(profile).sockets!.spinning).toEqual([]);
    expect(toDocument(profile, []).sockets!.spinning).toMatchObject([{ self: true }]);
  });
});

test("such calls are in no list and no number of slow calls", () => {
  const { capture, thread, final } = asking([ASKING, ASKING]);
  capture.slowCall(thread, ENTRY, { durationNs: ns(2e9) });
  const profile = built(capture, final);
  expect(profile.calls).toHaveLength(1);
  expect(profile.spins).toHaveLength(2);
  expect(slowCalls(profile).map(({ durationNs }) => durationNs)).toEqual([2e9]);
  expect(unfinishedCalls(profile)).toEqual([]);
  const { slow, slowLeftOut, unfinished } = toDocument(profile, []).sockets!;
  expect([slow.length, slowLeftOut, unfinished.length]).toEqual([1, 0, 0]);
  expect(digest(profile).sockets).toMatchObject({ slowCount: 1, unfinishedCount: 0, calls: 0 });
  expect(digest(profile).sockets!.slow).toHaveLength(1);
  expect(Buffer.from(writeCsv(profile, "slow")).toString().trim().split("\r\n")).toHaveLength(2);
  const text = summaryLines(profile, analyze(profile), { files: [], childCommand: null, width: 100 });
  expect(text.join("\n")).toContain("100.0 %  ask_in_vain (tcp-life)");
  expect(text.join("\n")).not.toContain("had not returned");
});

test("the report and --json have the descriptor with a stack", () => {
  const { capture, thread, final } = asking([ENTRY, ASKING, ASKING]);
  const flags = SampleFlag.spins | SampleFlag.userMissing;
  for (let n = 0; n < 9; n++) capture.slowCall(thread, [], { ...SPIN, flags });
  const profile = built(capture, final);
  const path = ["_start", "main", "ask_in_vain", "recv"];
  const report = toDocument(profile, []);
  const [row] = report.sockets!.spinning;
  expect(row!.stacks.map(({ count }) => count)).toEqual([2, 1, 9]);
  expect(stackNames(report, functionNames(report), row!.stacks[0]!.node)).toEqual(path);
  expect(SPINNING_COLUMNS.map(({ cell }) => cell(row!))).toEqual([
    ...["tcp-life (pid 80)", 7, "127.0.0.1:7002", 5_000, 0.998],
    "ask_in_vain (tcp-life), main (tcp-life)",
  ]);
  expect([stackHead(1), stackHead(2)].map((text) => text.slice(0, 16))).toEqual([
    "Stack of a call ",
    "Stack of 2 calls",
  ]);
  const [json] = digest(profile).sockets!.spinning;
  expect(json).toMatchObject({
    ...{ pid: 80, process: "tcp-life", descriptor: 7, end: "127.0.0.1:7002", protocol: "tcp" },
    ...{ calls: 50_000, again: 49_900, callsPerSecond: 5_000, stack: path },
  });
  expect(json!.callers[0]).toEqual({ name: "ask_in_vain", module: "tcp-life", share: 2 / 3 });
});

test("a descriptor without an end or a stack is told all the same, hostile names as text", () => {
  const capture = new FakeCapture();
  const { process, thread } = capture.process(80, "evil\u202e");
  capture.slowCall(thread, [...ENTRY, u("a\u001b[31mb", "/tmp/x\ny")], { ...SPIN, fd: 8 });
  const descriptorTotals = [7, 8].map((fd) => descriptor({ process, fd, again: 50_000 }));
  const profile = built(capture, { descriptorTotals });
  const rows = spinningDescriptors(profile);
  expect(rows.map(({ fd, endpoint, stacks }) => [fd, endpoint, stacks.length])).toEqual([
    [7, null, 0],
    [8, null, 1],
  ]);
  expect(callerText(rows[1]!.callers[0]!)).toBe("a\\x1b[31mb (x\\x0ay)");
  expect(digest(profile).sockets!.spinning).toMatchObject([{ stack: [], callers: [], end: null }, {}]);
  const [finding, ...more] = analyze(profile);
  expect(more).toEqual([]);
  expect(finding!.title).toContain("(pid 80) spins on descriptor 7 and 1 more: ");
  expect(finding!.detail).toContain("The same on 1 more (descriptor 8).");
});

test("a process with many such descriptors hides no other process", () => {
  const capture = new FakeCapture();
  const rows = (pid: number, fds: number, count: number) => {
    const { process } = capture.process(pid, "app");
    return Array.from({ length: fds }, (_, fd) => descriptor({ process, fd, count, again: count }));
  };
  const descriptorTotals = [
    ...rows(80, 200, 90_000),
    ...[81, 82, 83, 84, 85, 86].flatMap((pid) => rows(pid, 1, 50_000)),
  ];
  const found = analyze(built(capture, { descriptorTotals })).filter(({ rule }) => rule === "eagain-spin");
  expect(found.map(({ culprit }) => culprit)).toEqual([80, 81, 82, 83, 84].map((pid) => `app (pid ${pid})`));
  expect(found[0]!.title).toContain("descriptor 0 and 199 more");
  expect(found[0]!.detail).toContain("(descriptor 1, 2, 3, 4, 5, 6, 7, 8, ...)");
  expect(found[4]!.detail).toContain("2 more processes spin as well: --json lists all.");
});
