// The documents keep up with the code: every exit code, option and JSON field is explained.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { Exit } from "../../src/cli/errors.js";
import { FORMATS } from "../../src/export/index.js";
import { repositoryRoot } from "../support/paths.js";
import { Harness } from "./helpers/cli-harness.js";

const text = (path: string) => readFileSync(join(repositoryRoot(), path), "utf8");

it("docs/cli.md explains every exit code and nothing else", () => {
  const section = text("docs/cli.md").split("## Exit codes")[1]!.split("\n## ")[0]!;
  const explained = [...section.matchAll(/^\| (\d+) \|/gm)].map((match) => Number(match[1]));
  expect(explained).toEqual(Object.values(Exit).sort((a, b) => a - b));
});

it("docs/cli.md has every option of record and every format", async () => {
  using harness = new Harness();
  await harness.run("record", "--help");
  const options = [...harness.stdout.text.matchAll(/^ {2}(?:-\w, )?(--[a-z]+)/gm)].map((match) => match[1]!);
  expect(options.length).toBeGreaterThan(10);
  for (const option of options) if (option !== "--help") expect(text("docs/cli.md")).toContain(option);
  for (const { name, extension } of FORMATS) {
    expect(text("docs/cli.md")).toContain(`| \`${name}\` | \`${extension}\` |`);
  }
});

it("docs/json.md names every field of src/cli/json.ts, json-sockets.ts and json-histogram.ts", () => {
  const types = ["json", "json-sockets", "json-histogram"].map((file) => text(`src/cli/${file}.ts`)).join("");
  const fields = [...types.matchAll(/readonly (\w+)\??:/g)].map((match) => match[1]!);
  expect(fields.length).toBeGreaterThan(60);
  const docs = text("docs/json.md");
  expect(fields.filter((field) => !new RegExp(`\`(?:\\w+\\.)*${field}\``).test(docs))).toEqual([]);
});
