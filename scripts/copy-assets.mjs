#!/usr/bin/env node
// Copies what tsc leaves behind (schemas and the like) from src/ to dist/. The page is not copied: dist/ and src/ both
// read it from build/web. Then makes what was built the `lowflame` of npx.
import { cpSync, existsSync, statSync } from "node:fs";
import { dirname, extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { linkCommand } from "./link-command.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const ASSETS = new Set([".proto", ".json"]);

if (!existsSync(join(root, "build/web/page.js"))) {
  console.error('copy-assets: build/web is missing; run "npm run build:web" first.');
  process.exit(1);
}
cpSync(join(root, "src"), join(root, "dist"), {
  recursive: true,
  filter: (path) => statSync(path).isDirectory() || ASSETS.has(extname(path)),
});
linkCommand(root);
