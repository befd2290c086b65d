// Folded stacks: one line a stack that a flame graph script can split at ";" and at the last space.
import { expect, test } from "vitest";
import { foldedName, writeFolded } from "../../src/export/folded.js";
import { buildProfile, HOSTILE_NAMES, table } from "./helpers/build-profile.js";
import { FakeCapture, k, u } from "./helpers/fake-capture.js";

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("utf8");

test("process, stack from the entry point on, weight in ns; workers of one program are one line", () => {
  const capture = new FakeCapture();
  const one = capture.process(100, "nginx");
  const two = capture.process(101, "nginx");
  const stack = [u("_start"), u("main"), k("tcp_sendmsg")];
  capture.cpu(one.thread, stack, { weightNs: 10_000_000, times: 2 });
  capture.cpu(two.thread, stack, { weightNs: 5_000_000.4 });
  capture.cpu(two.thread, [u("main")], { weightNs: 7 });
  expect(text(writeFolded(buildProfile(capture.events()), "cpu")).split("\n")).toEqual([
    "nginx;_start;main;tcp_sendmsg 25000000",
    "nginx;[truncated];main 7",
    "",
  ]);
});

test("lowflame's own process stands apart from another one of the same name", () => {
  const capture = new FakeCapture();
  capture.cpu(capture.process(42, "node").thread, [u("_start")], { weightNs: 10 });
  capture.cpu(capture.process(43, "node", { self: true }).thread, [u("_start")], { weightNs: 5 });
  expect(text(writeFolded(buildProfile(capture.events()), "cpu")).split("\n")).toEqual([
    "node;_start 10",
    "lowflame itself;_start 5",
    "",
  ]);
});

test("a source that saw nothing gives an empty file", () => {
  expect(writeFolded(buildProfile(new FakeCapture().events()), "offcpu")).toHaveLength(0);
});

test("what separates frames and lines cannot come out of a name", () => {
  expect(foldedName("a;b\nc\u2028d")).toBe("a:b c d");
  const capture = new FakeCapture();
  for (const [i, name] of HOSTILE_NAMES.entries())
    capture.cpu(capture.process(i + 1, name).thread, [u("_start"), u(name), u("leaf")], { weightNs: 1 });
  const profile = buildProfile(capture.events());
  const lines = text(writeFolded(profile, "cpu")).trimEnd().split("\n");
  expect(lines).toHaveLength(HOSTILE_NAMES.length);
  for (const line of lines) expect(line).toMatch(/^[^;]+;_start;[^;]+;leaf 1$/);
});

test("the weights of all lines sum up to the weight of the profile", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(1, "haproxy");
  for (let i = 1; i < 400; i++)
    capture.offcpu(thread, [u("_start"), u(`f${i % 37}`)], { durationNs: i * 1000 });
  const profile = buildProfile(capture.events());
  const sum = text(writeFolded(profile, "offcpu"))
    .trimEnd()
    .split("\n")
    .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" "))), 0);
  expect(sum).toBe(table(profile, "offcpu").weightNs.reduce((a, c) => a + c, 0));
});
