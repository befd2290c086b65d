#!/usr/bin/env node
// Bundles web/ into build/web: page.js, page.css and the licence texts of the libraries that are inside.
// Usage: node scripts/build-web.mjs [--out FOLDER]
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const outFlag = process.argv.indexOf("--out");
const out = outFlag > 0 ? resolve(process.argv[outFlag + 1]) : join(root, "build/web");

const result = await build({
  absWorkingDir: root,
  entryPoints: { page: "web/main.ts" },
  outdir: out,
  bundle: true,
  minify: true,
  // d3-flame-graph asks for `constructor.name === "Node"`, which minifying would change.
  keepNames: true,
  format: "iife",
  target: ["chrome115", "firefox115", "safari17"],
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  write: false,
  logLevel: "warning",
});

/** Licence text of each npm package that ended up in the bundle. */
function licences(inputs) {
  const packages = new Set();
  for (const input of Object.keys(inputs)) {
    const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match) packages.add(match[1]);
  }
  return [...packages]
    .sort()
    .map((folder) => {
      const { name, version } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
      const file = readdirSync(join(root, folder)).find((entry) => /^licen[cs]e/i.test(entry));
      if (!file) throw new Error(`${name} has no licence file; it cannot go into a report`);
      return `${name} ${version}\n\n${readFileSync(join(root, folder, file), "utf8").trim()}\n`;
    })
    .join(`\n${"-".repeat(72)}\n\n`);
}

/** Whole or not at all: a report may be written by another process at the same time. */
function replaceFile(path, text) {
  const partial = `${path}.${process.pid}.partial`;
  writeFileSync(partial, text);
  renameSync(partial, path);
}

if (!existsSync(out)) mkdirSync(out, { recursive: true });
for (const file of result.outputFiles) replaceFile(file.path, file.text);
replaceFile(join(out, "licences.txt"), licences(result.metafile.inputs));
