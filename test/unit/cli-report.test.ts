// `lowflame report`: saved captures, whole, cut, damaged and hostile.

import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import type { ResultJson } from "../../src/cli/json.js";
import { Harness } from "./helpers/cli-harness.js";
import { FakeBinding } from "./helpers/fake-binding.js";
import { FakeCapture, k, u } from "./helpers/fake-capture.js";

const open: Harness[] = [];
afterEach(() => {
  for (const harness of open.splice(0)) harness[Symbol.dispose]();
});

/** A directory with `day.lowflame`, recorded from two batches. */
async function withCapture(): Promise<Harness> {
  const capture = new FakeCapture();
  const { thread } = capture.process(4711, "haproxy");
  capture.cpu(thread, [u("main"), k("early")], { times: 10 }).flush();
  capture.cpu(thread, [u("main"), k("late")], { times: 20 }).flush();
  const harness = new Harness({ binding: new FakeBinding({ batches: capture.batches() }) });
  open.push(harness);
  expect(await harness.run("record", "-d", "50ms", "-q", "-o", "day.lowflame")).toBe(0);
  harness.stdout.text = "";
  return harness;
}

describe("report", () => {
  it("makes the report under the capture's name", async () => {
    const harness = await withCapture();
    expect(await harness.run("report", "day.lowflame")).toBe(0);
    expect(harness.files()).toEqual(["day.html", "day.lowflame"]);
    expect(harness.stdout.text).toContain("late");
  });

  it("makes anything that record can write, also a capture that gives the same again", async () => {
    const harness = await withCapture();
    const files = ["x.html", "x.folded", "x.pb.gz", "x.speedscope.json", "x.lowflame"];
    expect(await harness.run("report", "day.lowflame", ...files.flatMap((file) => ["-o", file]))).toBe(0);
    expect(harness.files()).toEqual([
      "day.lowflame",
      "x.cpu.folded",
      "x.cpu.pb.gz",
      "x.html",
      "x.lowflame",
      "x.offcpu.folded",
      "x.offcpu.pb.gz",
      "x.speedscope.json",
    ]);
    harness.stdout.text = "";
    await harness.run("report", "day.lowflame", "--json");
    const first = JSON.parse(harness.stdout.text) as ResultJson;
    harness.stdout.text = "";
    await harness.run("report", "x.lowflame", "--json");
    const second = JSON.parse(harness.stdout.text) as ResultJson;
    expect({ ...second, files: [] }).toEqual({ ...first, files: [] });
    expect(first.cpu?.samples).toBe(30);
  });

  it("never replaces the capture that it reads", async () => {
    const harness = await withCapture();
    expect(await harness.run("report", "day.lowflame", "-o", "day.lowflame")).toBe(2);
    expect(harness.stderr.text).toContain("this is the capture itself");
    expect(await harness.run("report", "day.lowflame")).toBe(0);
  });
});

describe("a capture that is not whole", () => {
  it("cut before its end: what is whole is reported, one warning, exit 7", async () => {
    const harness = await withCapture();
    const bytes = readFileSync(harness.path("day.lowflame"));
    writeFileSync(harness.path("cut.lowflame"), bytes.subarray(0, bytes.length - 40));
    expect(await harness.run("report", "cut.lowflame", "--json")).toBe(7);
    const document = JSON.parse(harness.stdout.text) as ResultJson;
    expect(document).toMatchObject({ ok: false, exitCode: 7, error: { code: "CAPTURE_DAMAGED" } });
    expect(document.recording.complete).toBe(false);
    expect(document.cpu?.samples).toBe(30);
    expect(harness.files()).toContain("cut.html");
  });

  it("cut at any place: a report or one clear line, never a stack trace, never exit 0", async () => {
    const harness = await withCapture();
    const bytes = readFileSync(harness.path("day.lowflame"));
    for (let cut = 0; cut < bytes.length; cut += Math.ceil(bytes.length / 60)) {
      writeFileSync(harness.path("cut.lowflame"), bytes.subarray(0, cut));
      harness.stderr.text = "";
      const code = await harness.run("report", "cut.lowflame", "-q");
      expect([6, 7]).toContain(code);
      expect(harness.stderr.text).toMatch(/^lowflame: [^\n]+\n( {2}[^\n]+\n)?$/);
    }
  });

  it.each([
    ["random bytes", () => randomBytes(4_096)],
    ["nothing", () => Buffer.alloc(0)],
    ["text", () => Buffer.from("stack;a;b 12\n")],
  ])("%s: one line, exit 6, no file", async (_what, content) => {
    const harness = await withCapture();
    writeFileSync(harness.path("bad.lowflame"), content());
    expect(await harness.run("report", "bad.lowflame", "-o", "bad.html")).toBe(6);
    expect(harness.stderr.text).toMatch(/^lowflame: [^\n]+\n( {2}[^\n]+\n)?$/);
    expect(harness.files()).toEqual(["bad.lowflame", "day.lowflame"]);
  });

  it("that is not there: one line, exit 6", async () => {
    const harness = await withCapture();
    expect(await harness.run("report", "gone.lowflame")).toBe(6);
    expect(harness.stderr.text).toContain("gone.lowflame");
  });
});

it("a report that is interrupted leaves no half-written file", async () => {
  const harness = await withCapture();
  const deps = {
    ...harness.deps,
    render: async () => {
      harness.signal("SIGTERM");
      return "whole";
    },
  };
  const { runCli } = await import("../../src/cli/program.js");
  await runCli(["report", "day.lowflame", "-o", "r.html"], deps);
  expect(harness.exits).toEqual([143]);
  expect(harness.files().filter((name) => name.includes(".part"))).toEqual([]);
});
