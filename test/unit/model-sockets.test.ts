// Rows of sockets in the model: what a capture tells comes through, what a damaged one refers to is told, and memory is bounded.
import { expect, test } from "vitest";
import { SampleFlag } from "../../src/capture/binding.js";
import { FrameTable } from "../../src/model/frame-table.js";
import { FrameTree } from "../../src/model/frame-tree.js";
import { FunctionInterner } from "../../src/model/function-table.js";
import { InvalidCounts } from "../../src/model/invalid.js";
import { SocketRows } from "../../src/model/socket-rows.js";
import { StackMerger } from "../../src/model/stack-merge.js";
import { ns } from "../../src/model/units.js";
import { buildProfile, pathOf } from "./helpers/build-profile.js";
import { FakeCapture, k, u } from "./helpers/fake-capture.js";
import { tcpTotal } from "./helpers/socket-example.js";

test("calls come in the order of time, with their stack in the profile's tree", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(80, "nginx");
  const endpoint = capture.endpoint();
  capture.slowCall(thread, [u("_start"), u("main"), k("__x64_sys_recvfrom")], { timeNs: 9e9, endpoint });
  capture.flush();
  capture.slowCall(thread, [u("_start"), u("main")], { timeNs: 3e9, syscall: 44 });
  const profile = buildProfile(capture.events());
  expect(profile.calls.map(({ timeNs, endpoint }) => [timeNs, endpoint])).toEqual([
    [3e9, -1],
    [9e9, endpoint],
  ]);
  expect(pathOf(profile, profile.calls[1]!.node)).toEqual(["_start", "main", "__x64_sys_recvfrom"]);
  expect(profile.endpoints[endpoint]).toMatchObject({ address: "10.0.0.1", port: 8080 });
  expect(profile.calls[0]).not.toHaveProperty("stack");
});

test("calls that found nothing to do are apart from slow ones, with their stack; of too many the last stay", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(80, "nginx");
  const flags = SampleFlag.spins;
  capture.slowCall(thread, [u("_start"), u("main")], { timeNs: 9e9, fd: 3, flags });
  capture.slowCall(thread, [], { timeNs: 2e9, fd: 4, flags: flags | SampleFlag.userMissing });
  capture.slowCall(thread, [], { timeNs: 5e9 });
  const profile = buildProfile(capture.events());
  expect(profile.calls.map(({ timeNs }) => timeNs)).toEqual([5e9]);
  expect(profile.spins.map(({ timeNs, fd }) => [timeNs, fd])).toEqual([
    [2e9, 4],
    [9e9, 3],
  ]);
  expect(pathOf(profile, profile.spins[1]!.node)).toEqual(["_start", "main"]);

  const rows = new SocketRows(3, 2);
  const invalid = new InvalidCounts();
  const spin = (fd: number) => ({ ...profile.spins[0]!, fd, timeNs: fd, stack: 0 });
  for (const fd of [1, 2, 3, 4, 5, 6, 7])
    rows.add({ endpoints: [], socketCounts: [], calls: [spin(fd)] } as never, invalid);
  const merger = new StackMerger(new FrameTable(), new FrameTree(), new FunctionInterner());
  const built = rows.build(merger, { known: () => true, unknown: () => 0 }, () => {}, invalid);
  expect(built.spins.map(({ fd }) => fd)).toEqual([6, 7]);
  expect([built.calls, built.notes]).toEqual([[], []]);
  expect(built.spinsLeftOut).toBe(5);
});

test("a recording without sockets has none", () => {
  const profile = buildProfile(new FakeCapture().events());
  const { endpoints, calls, spins, socketCounts } = profile;
  expect([endpoints, calls, spins, socketCounts]).toEqual([[], [], [], []]);
});

test("a cut capture is as long as its last socket call", () => {
  const capture = new FakeCapture();
  const { thread, process } = capture.process(80, "nginx");
  capture.slowCall(thread, [], { timeNs: 4e9 }).socketCount(process, 6e9, 3);
  expect(buildProfile(capture.events().slice(0, -1)).durationNs).toBe(6e9);
});

test("what a damaged capture refers to but does not hold is told, and nothing breaks", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(80, "nginx");
  capture.slowCall(thread, [], { endpoint: 99 });
  capture.slowCall(777, [], {});
  capture.slowCall(thread, [], { durationNs: ns(Number.NaN) });
  const profile = buildProfile(capture.events());
  expect(profile.calls.map(({ endpoint }) => endpoint)).toEqual([-1, -1]);
  expect(profile.threads[profile.calls[1]!.thread]?.comm).toBe("[unknown]");
  expect(profile.notes.join()).toContain("1 ends of sockets that are not in the capture or impossible");
  expect(profile.notes.join()).toContain("1 socket calls with impossible times");
});

test("TCP connections of an end or process that is not there belong to nobody; impossible figures are left out", () => {
  const capture = new FakeCapture();
  const { process } = capture.process(80, "nginx");
  const endpoint = capture.endpoint();
  const tcpTotals = [
    tcpTotal(endpoint, [[1e6, 2]]),
    tcpTotal(99, [], { accepted: 1 }),
    tcpTotal(endpoint, [], { closes: -1 }),
    tcpTotal(endpoint, [], { connectBuckets: [Number.NaN] }),
  ];
  const closeWaits = [
    { process, endpoint, count: 3, fd: 9 },
    { process: 77, endpoint: -1, count: 2, fd: -1 },
    { process, endpoint, count: Number.POSITIVE_INFINITY, fd: 1 },
  ];
  const listenQueues = [
    { process, endpoint, length: 5, capacity: 0 },
    { process: 78, endpoint: 98, length: 4, capacity: 0 },
    { process, endpoint, length: -3, capacity: 0 },
  ];
  const totals = { tcpTotals, closeWaits, listenQueues };
  const { final, notes } = buildProfile(capture.events({ final: totals }));
  expect(final!.tcpTotals.map(({ endpoint, connects }) => [endpoint, connects])).toEqual([
    [endpoint, 2],
    [-1, 0],
  ]);
  expect(final!.closeWaits.map(({ process, count }) => [process, count])).toEqual([
    [process, 3],
    [-1, 2],
  ]);
  expect(final!.listenQueues).toEqual([
    { process, endpoint, length: 5, capacity: 0 },
    { process: -1, endpoint: -1, length: 4, capacity: 0 },
  ]);
  expect(notes.join()).toContain("2 ends of sockets that are not in the capture or impossible");
  expect(notes.join()).toContain("2 processes that are not in the capture");
  expect(notes.join()).toContain("4 counts of TCP connections that are impossible");
});

test("of more slow calls than fit the longest stay, and those that have not returned", () => {
  const rows = new SocketRows(3);
  const invalid = new InvalidCounts();
  const call = (durationNs: number, flags = 0) => ({
    ...{ timeNs: durationNs, thread: 0, syscall: 45, fd: 1, endpoint: -1, result: 0, stack: 0, flags },
    ...{ durationNs: ns(durationNs), busyNs: ns(0), blockedNs: ns(durationNs), waitingNs: ns(0) },
  });
  const calls = [call(1, SampleFlag.inProgress), ...[5, 9, 2, 7, 3, 8].map((length) => call(length))];
  rows.add({ endpoints: [], socketCounts: [], calls } as never, invalid);
  const merger = new StackMerger(new FrameTable(), new FrameTree(), new FunctionInterner());
  const built = rows.build(merger, { known: () => true, unknown: () => 0 }, () => {}, invalid);
  expect(built.calls.map(({ durationNs }) => durationNs)).toEqual([1, 8, 9]);
  expect(built.notes.join()).toMatch(/^4 slow socket calls are not listed/);
});
