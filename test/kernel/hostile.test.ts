// Names that break careless tools, recorded for real: a process called like an image tag with a line break, threads called
// like markup, escape sequences and bytes that are no text, functions called like scripts or with thousands of characters.
// They must come out of every format as text.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Locator, Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { readCapture } from "../../src/capture/file/reader.js";
import { foldedName } from "../../src/export/folded.js";
import { ProfileBuilder } from "../../src/model/build.js";
import type { Profile } from "../../src/model/profile.js";
import { clip, visible } from "../../web/text.js";
import { Child } from "../support/children.js";
import { repositoryRoot } from "../support/paths.js";
import { type Results, startProgram } from "../support/programs.js";
import { rowsOf, sum } from "../support/record.js";
import { reportBrowser } from "../support/report-browser.js";

const PROCESS = '<img src=x>;\n"'; // at most 15 bytes, and no slash: it is a file's name
const SYMBOL = "<script>alert('symbol')</script>&amp;;";
const main = join(repositoryRoot(), "dist/cli/main.js");
const browser = reportBrowser();
const at = (name: string) => join(browser.folder, name);
const text = (name: string) => readFileSync(at(name), "utf8");
const report = (...args: string[]) =>
  spawnSync(process.execPath, [main, "report", "x.lowflame", ...args], {
    cwd: browser.folder,
    encoding: "utf8",
  });

let json: string;
let profile: Profile;
let threads: Results["hostile-names"]["threads"];

beforeAll(async () => {
  spawnSync(join(repositoryRoot(), "node_modules/.bin/tsc"), ["-p", "tsconfig.build.json", "--noCheck"], {
    cwd: repositoryRoot(),
  });
  const program = await startProgram("hostile-names", { args: ["--ms", "300"], comm: PROCESS, hold: true });
  const outputs = ["x.html", "x.lowflame", "x.folded", "x.pb.gz", "x.speedscope.json"];
  const recording = Child.start(
    [
      process.execPath,
      main,
      "record",
      "-d",
      "1m",
      "-F",
      "499",
      "--json",
      "--pid",
      String(program.pid),
    ].concat(outputs.flatMap((name) => ["-o", name])),
    { cwd: browser.folder },
  );
  const partial = () => readdirSync(browser.folder).find((name) => name.startsWith("lowflame-partial-"));
  const begun = () => partial() !== undefined && statSync(at(partial()!)).size > 0; // the header: events flow
  await recording.until(begun, 30_000, "header of a capture");
  program.go();
  ({ threads } = await program.result());
  const { code } = await recording.exited; // it ends with the process
  expect(code, recording.stderr).toBe(0);
  json = recording.stdout;
  const builder = new ProfileBuilder();
  for await (const event of readCapture(at("x.lowflame"))) builder.add(event);
  profile = builder.build();
});

describe("in the capture", () => {
  test("threads have the names that the kernel holds, decoded as UTF-8", () => {
    for (const { tid, commHex } of threads) {
      const named = profile.threads.find((t) => t?.tid === tid);
      expect(named?.comm, commHex).toBe(Buffer.from(commHex, "hex").toString("utf8"));
    }
    expect(threads.length).toBe(6);
    expect(rowsOf(profile, "cpu").every((r) => r.comm === PROCESS)).toBe(true);
  });

  test("functions have their names, and their samples", () => {
    const burnt = (name: RegExp) =>
      sum(
        rowsOf(profile, "cpu").filter((r) => r.stack.some((f) => name.test(f))),
        (r) => r.weightNs,
      );
    expect(profile.functions.name).toContain(SYMBOL);
    expect(burnt(/^<script>alert\('symbol'\)<\/script>&amp;;$/)).toBeGreaterThan(2 * 0.2e9);
    expect(burnt(/^burn_long_x{3990}$/)).toBeGreaterThan(2 * 0.2e9);
    expect(burnt(/burn_template<Pair<Pair</)).toBeGreaterThan(2 * 0.2e9);
  });
});

test("folded stacks keep one line a stack, with what separates frames replaced", () => {
  for (const source of ["cpu", "offcpu"] as const) {
    const lines = text(`x.${source}.folded`).trimEnd().split("\n");
    const weights = lines.map((line) => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may be in a line.
      const parts = /^([^;\x00-\x1f\x7f]+)((?:;[^;\x00-\x1f\x7f]+)*) (\d+)$/.exec(line);
      expect(parts, line.slice(0, 200)).not.toBeNull();
      expect(parts![1]).toBe(foldedName(PROCESS));
      return Number(parts![3]);
    });
    const rows = rowsOf(profile, source);
    expect(lines.length).toBeGreaterThan(2);
    expect(sum(weights, (w) => w) / sum(rows, (r) => r.weightNs)).toBeCloseTo(1, 4);
    expect(new Set(lines).size).toBe(lines.length);
  }
  expect(text("x.cpu.folded")).toContain(`;${foldedName(SYMBOL)} `);
});

test("JSON is JSON: the digest and speedscope", () => {
  const digest = JSON.parse(json);
  expect(digest).toMatchObject({ ok: true, recording: { endReason: "target exited" } });
  expect(json).toContain(JSON.stringify(SYMBOL).slice(1, -1));
  const speedscope = JSON.parse(text("x.speedscope.json"));
  const frames: { name: string }[] = speedscope.shared.frames;
  expect(frames.map((f) => f.name)).toContain(SYMBOL);
  expect(readdirSync(browser.folder)).toContain("x.cpu.pb.gz");
});

test("the summary sends no control character to the terminal", () => {
  const { status, stdout, stderr } = report("-o", "again.folded");
  expect(status).toBe(0);
  expect(stdout).toContain("<img src=x>");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: this is what is looked for.
  expect(stdout + stderr).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f]/);
  expect(stdout.split("\n").some((line) => line.startsWith('"'))).toBe(false); // the name's second line
});

describe("in the report", () => {
  const inserted = (page: Page): Locator =>
    page.locator("#report script, #report img, #report iframe, .tip img, .tip script");

  test("processes, threads and functions are text; no script runs", async () => {
    const page = await browser.openFile(at("x.html"));
    const options = (label: string) => page.getByLabel(label, { exact: true }).locator("option");
    const processes = await options("Process").allTextContents();
    expect(processes.some((name) => name.includes(visible(PROCESS)))).toBe(true);
    await page.getByLabel("Process", { exact: true }).selectOption({ index: 1 });
    const names = (await options("Thread").allTextContents()).join("\n");
    for (const { commHex } of threads) {
      const name = visible(Buffer.from(commHex, "hex").toString("utf8"));
      expect(names, commHex).toContain(name);
    }
    for (const name of [SYMBOL, `burn_long_${"x".repeat(3990)}`]) {
      await page.getByPlaceholder("Search frames").fill(`=${name}`);
      const match = page.locator("g.frame.match").first();
      await expect.poll(() => match.getAttribute("name")).toBe(clip(name, 240)); // what a label may have
      await match.hover();
      await expect.poll(() => page.locator(".tip.on .tip-name").textContent()).toContain(name.slice(0, 38));
      await match.click();
      expect(await page.locator(".frame-name").textContent()).toBe(name);
      await page.getByRole("button", { name: "Reset zoom" }).click();
    }
    expect(await inserted(page).count()).toBe(0);
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
  });

  test("the off-CPU tables show them as text", async () => {
    const page = await browser.openFile(at("x.html"));
    await page.getByRole("tab", { name: "Off-CPU" }).click();
    await expect.poll(() => page.locator("#panel-offcpu").textContent()).toContain(visible(PROCESS));
    expect(await inserted(page).count()).toBe(0);
  });
});
