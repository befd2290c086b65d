// Speedscope: a file that fits its published schema, one profile a source.
import { expect, test } from "vitest";
import { writeSpeedscope } from "../../src/export/speedscope.js";
import { buildProfile, HOSTILE_NAMES } from "./helpers/build-profile.js";
import { FakeCapture, k, u } from "./helpers/fake-capture.js";

interface Sampled {
  type: string;
  name: string;
  unit: string;
  startValue: number;
  endValue: number;
  samples: number[][];
  weights: number[];
}
interface SpeedscopeFile {
  $schema: string;
  shared: { frames: { name: string; file?: string }[] };
  profiles: Sampled[];
}

const read = (bytes: Uint8Array) => JSON.parse(Buffer.from(bytes).toString("utf8")) as SpeedscopeFile;
const stacks = (file: SpeedscopeFile, profile: number) =>
  file.profiles[profile]!.samples.map((s) => s.map((frame) => file.shared.frames[frame]!.name));

test("one sampled profile a source: process first, leaf last, weights in ns that sum up to its end", () => {
  const capture = new FakeCapture();
  const { process, thread } = capture.process(42, "haproxy");
  const second = capture.thread(process, 43, "haproxy");
  capture.cpu(thread, [u("_start"), k("tcp_ack")], { weightNs: 10, times: 2 });
  capture.cpu(second, [u("_start"), k("tcp_ack")], { weightNs: 5 });
  capture.cpu(thread, [u("_start")], { weightNs: 1 });
  capture.offcpu(thread, [u("_start"), k("schedule")], { durationNs: 3e9 });
  const file = read(writeSpeedscope(buildProfile(capture.events()), ["cpu", "offcpu"]));
  expect(file.$schema).toBe("https://www.speedscope.app/file-format-schema.json");
  expect(file.profiles.map((p) => [p.type, p.unit, p.startValue, p.endValue])).toEqual([
    ["sampled", "nanoseconds", 0, 26],
    ["sampled", "nanoseconds", 0, 3e9],
  ]);
  expect(stacks(file, 0)).toEqual([
    ["haproxy (pid 42)", "_start", "tcp_ack"],
    ["haproxy (pid 42)", "_start"],
  ]);
  expect(file.profiles[0]!.weights).toEqual([25, 1]);
  expect(file.shared.frames).toContainEqual({ name: "tcp_ack", file: "[kernel]" });
});

test("waits for kernel locks are a profile of their own; two locks of one stack are one entry", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(42, "haproxy");
  for (const lock of [capture.lock(), capture.lock()])
    capture.locks(thread, [u("_start"), k("pipe_write")], { lock, durationNs: 4e6 });
  capture.lockOwners(thread, [u("_start"), k("pipe_read")], { lock: 1, durationNs: 4e6 });
  const file = read(writeSpeedscope(buildProfile(capture.events()), ["locks"]));
  expect(file.profiles.map((p) => [p.name, p.weights])).toEqual([["Kernel locks (edge-1)", [8e6]]]);
  expect(stacks(file, 0)).toEqual([["haproxy (pid 42)", "_start", "pipe_write"]]);
});

test("lowflame's own process stands apart from another one of the same name", () => {
  const capture = new FakeCapture();
  capture.cpu(capture.process(42, "node").thread, [u("_start")], { weightNs: 10 });
  capture.cpu(capture.process(43, "node", { self: true }).thread, [u("_start")], { weightNs: 5 });
  const file = read(writeSpeedscope(buildProfile(capture.events()), ["cpu"]));
  expect(stacks(file, 0)).toEqual([
    ["node (pid 42)", "_start"],
    ["lowflame itself (pid 43)", "_start"],
  ]);
});

test("hostile names come back as they were", () => {
  const capture = new FakeCapture();
  for (const [i, name] of HOSTILE_NAMES.entries())
    capture.cpu(capture.process(i, name).thread, [u("_start"), u(name, `/srv/${name}`)]);
  const file = read(writeSpeedscope(buildProfile(capture.events()), ["cpu"]));
  expect(stacks(file, 0)).toEqual(HOSTILE_NAMES.map((name, i) => [`${name} (pid ${i})`, "_start", name]));
});

test("a source that saw nothing is an empty profile", () => {
  const file = read(writeSpeedscope(buildProfile(new FakeCapture().events()), ["cpu", "offcpu"]));
  expect(file.profiles.map((p) => [p.samples, p.weights, p.endValue])).toEqual([
    [[], [], 0],
    [[], [], 0],
  ]);
});
