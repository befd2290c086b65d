// The command line as a whole: help, version, mistakes, and the names of output files.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { planOutputs, recordingStem } from "../../src/cli/outputs.js";
import { progressText } from "../../src/cli/progress.js";
import { addonError } from "../../src/cli/real-deps.js";
import { closest } from "../../src/cli/suggest.js";
import { Harness } from "./helpers/cli-harness.js";

async function run(...argv: string[]) {
  using harness = new Harness();
  const code = await harness.run(...argv);
  return { code, out: harness.stdout.text, err: harness.stderr.text };
}

describe("help", () => {
  it.each([
    [["--help"], "lowflame doctor"],
    [["record", "--help"], "sudo lowflame record -o build.html -- make -j8"],
    [["report", "--help"], "lowflame report slow.lowflame -o slow.html"],
    [["doctor", "--help"], "sudo lowflame doctor --json"],
  ])("%j exits 0 and has examples", async (argv, example) => {
    const { code, out, err } = await run(...argv);
    expect(code).toBe(0);
    expect(out).toContain(example);
    expect(err).toBe("");
  });

  it("is shown for no command at all, as a mistake", async () => {
    const { code, err } = await run();
    expect(code).toBe(2);
    expect(err).toContain("Usage: lowflame");
  });

  it("of the version is the version", async () => {
    expect(await run("--version")).toEqual({ code: 0, out: "0.1.0\n", err: "" });
  });
});

describe("mistakes", () => {
  it.each([
    [["recrod"], "Did you mean record?"],
    [["record", "--pids", "4"], "Did you mean --pid?"],
    [["record", "-d"], "argument missing"],
    [["report"], "capture"],
    [["doctor", "now"], "too many arguments"],
  ])("%j is one line, a hint and exit 2", async (argv, words) => {
    const { code, out, err } = await run(...argv);
    expect(code).toBe(2);
    expect(out).toBe("");
    expect(err).toContain(words);
    expect(err).toMatch(/^lowflame: [^\n]+\n {2}[^\n]+\n$/);
  });

  it("inside lowflame are told as such, with the stack only on request", async () => {
    using harness = new Harness({
      deps: {
        createBuilder: async () => {
          throw new Error("boom");
        },
      },
    });
    expect(await harness.run("report", "x.lowflame")).toBe(1);
    expect(harness.stderr.text).toContain("lowflame: boom\n");
    expect(harness.stderr.text).not.toContain("    at ");
    harness.env.LOWFLAME_DEBUG = "1";
    await harness.run("report", "x.lowflame");
    expect(harness.stderr.text).toContain("    at ");
  });
});

describe("an addon that cannot be loaded", () => {
  /** What Node says when the file behind a package's "#native" import is not there, or is no addon. */
  function loadError(content: string | null): unknown {
    const dir = mkdtempSync(join(tmpdir(), "lowflame-addon-"));
    try {
      writeFileSync(join(dir, "package.json"), JSON.stringify({ imports: { "#native": "./lowflame.node" } }));
      if (content !== null) writeFileSync(join(dir, "lowflame.node"), content);
      createRequire(join(dir, "main.js"))("#native");
    } catch (error) {
      return error;
    } finally {
      rmSync(dir, { recursive: true });
    }
    throw new Error("it was loaded");
  }

  it.each([
    ["not built", null, /: it is not built$/],
    ["not an addon", "text", /(file too short|invalid ELF header)/],
  ])("%s: one line with the command that helps, exit 3", async (_name, content, words) => {
    const error = addonError(loadError(content));
    expect(error.message).toMatch(words);
    using harness = new Harness({
      deps: {
        loadBinding: () => {
          throw error;
        },
      },
    });
    expect(await harness.run("record", "-o", "r.html")).toBe(3);
    expect(harness.stderr.text).toMatch(
      /^lowflame: the native addon cannot be loaded: [^\n]+\n {2}[^\n]*npm run build:native[^\n]*\n$/,
    );
    expect(harness.files()).toEqual([]);
  });
});

describe("output names", () => {
  const request = { sources: ["cpu", "offcpu"] as const, cwd: "/tmp", defaultStem: "run", format: undefined };
  const names = (files: string[], format?: string) =>
    planOutputs({ ...request, files, format }).outputs.map(
      (output) => `${output.path} ${output.format.name}`,
    );

  it("choose the format, whatever the case", () => {
    expect(names(["a.HTML", "b.speedscope.json", "c.lowflame"])).toEqual([
      "/tmp/a.HTML html",
      "/tmp/b.speedscope.json speedscope",
      "/tmp/c.lowflame lowflame",
    ]);
  });

  it("do not matter with --format, which takes names and extensions", () => {
    expect(names(["a.txt"], "html")).toEqual(["/tmp/a.txt html"]);
    expect(names(["out"], "pb.gz")).toEqual(["/tmp/out.cpu pprof", "/tmp/out.offcpu pprof"]);
    expect(names([], "folded")).toEqual(["/tmp/run.cpu.folded folded", "/tmp/run.offcpu.folded folded"]);
  });

  it("are as many as there are sources, and all of them are told", () => {
    const three = planOutputs({ ...request, sources: ["cpu", "offcpu", "locks"], files: ["a.pb.gz"] });
    expect(three.outputs.map(({ source }) => source)).toEqual(["cpu", "offcpu", "locks"]);
    expect(three.notes).toEqual([
      "a .pb.gz file holds one source, so a.pb.gz becomes a.cpu.pb.gz, a.offcpu.pb.gz and a.locks.pb.gz",
    ]);
  });

  it("stay as they are with one source", () => {
    const one = planOutputs({ ...request, sources: ["offcpu"], files: ["a.pb.gz"] });
    expect(one.outputs).toMatchObject([{ path: "/tmp/a.pb.gz", source: "offcpu" }]);
    expect(one.notes).toEqual([]);
  });

  it("by default hold host and UTC time, without anything that a path could trip over", () => {
    const stem = recordingStem("../evil host", new Date("2025-11-21T04:56:09.123Z"));
    expect(stem).toBe("lowflame-.._evil_host-20251121T045609Z");
  });
});

describe("progress", () => {
  it("tells the time left and what came so far", () => {
    const counts = { samples: 1_234, stacks: 56, lost: 0 };
    expect(progressText(2_500, 10_000, counts)).toBe("8 s left, 1,234 samples, 56 stacks");
    expect(progressText(65_000, undefined, { ...counts, lost: 7 })).toBe(
      "65 s recorded, 1,234 samples, 56 stacks, 7 lost",
    );
    expect(progressText(10_001, 10_000, counts)).toMatch(/^finishing/);
  });
});

describe("suggestions", () => {
  it("are near, or none", () => {
    expect(closest("pprf", ["html", "pprof"])).toBe("pprof");
    expect(closest("off_cpu", ["cpu", "offcpu"])).toBe("offcpu");
    expect(closest("banana", ["html", "pprof"])).toBeUndefined();
    expect(closest("x".repeat(1_000_000), ["html"])).toBeUndefined();
  });
});
