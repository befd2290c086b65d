// `npm run bench`: bundles bench/main.ts with esbuild (so that the bench shares the tests' helpers) and runs it.
// Options: --quick  --only NAME (repeatable)  --rounds N  --list. Wants root; see docs/performance.md.
import { mkdirSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const outfile = `${root}build/bench/main.mjs`;
mkdirSync(`${root}build/bench`, { recursive: true });
await build({
  entryPoints: [`${root}bench/main.ts`],
  outfile,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  sourcemap: "inline",
  logLevel: "warning",
});
process.chdir(root);
const { main } = await import(pathToFileURL(outfile).href);
process.exitCode = await main(process.argv.slice(2));
