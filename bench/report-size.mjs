#!/usr/bin/env node
// Measures the HTML report at its stated size, the whole way of `lowflame report`: from a capture on the disk through
// model and analysis to the written file (goal: 5 s), then how long Chromium needs until the graph is painted (goal:
// 1 s, counted from the start of the navigation). Prints one JSON line with every part; medians of several runs.
// Usage: node bench/report-size.mjs [--runs N] [--keep FILE] [--samples N --frames N]    (after npm run build:web)
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const option = (name) => {
  const at = process.argv.indexOf(name);
  return at > 0 ? process.argv[at + 1] : undefined;
};
const runs = Number(option("--runs") ?? 5);
const size = {
  samples: Number(option("--samples") ?? 1_000_000),
  frames: Number(option("--frames") ?? 200_000),
};

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** What `lowflame report` is made of, and the made-up capture, as one module. */
async function loadParts() {
  const outfile = join(root, "build/bench/report-size-parts.mjs"); // inside, so that packages are found from it
  mkdirSync(dirname(outfile), { recursive: true });
  const modules = [
    "bench/million-samples.ts",
    "src/capture/file/reader.ts",
    "src/capture/file/writer.ts",
    "src/model/build.ts",
    "src/analysis/analyze.ts",
    "src/export/html/from-profile.ts",
    "src/export/html/write.ts",
    "src/export/html/assets.ts",
  ];
  await build({
    stdin: { contents: modules.map((path) => `export * from "./${path}";`).join("\n"), resolveDir: root },
    outfile,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    logLevel: "warning",
  });
  return await import(pathToFileURL(outfile));
}

/** One run of `lowflame report`; times of its parts in ms. */
async function reportOnce(parts, capture, assets, file) {
  const { readCapture, ProfileBuilder, analyze, toDocument, writeHtml } = parts;
  const marks = [performance.now()];
  const mark = () => marks.push(performance.now());
  const builder = new ProfileBuilder();
  let addMs = 0;
  for await (const event of readCapture(capture)) {
    const before = performance.now();
    builder.add(event);
    addMs += performance.now() - before;
  }
  mark();
  const profile = builder.build();
  mark();
  const findings = analyze(profile);
  mark();
  const document = toDocument(profile, findings);
  mark();
  const html = await writeHtml(document, assets);
  await writeFile(file, html);
  mark();
  const [readAndAdd, buildMs, analyzeMs, documentMs, htmlMs] = marks.slice(1).map((at, i) => at - marks[i]);
  const reportMs = marks.at(-1) - marks[0];
  return {
    rows: profile.weights[0].count,
    bytes: html.length,
    times: { readMs: readAndAdd - addMs, addMs, buildMs, analyzeMs, documentMs, htmlMs, reportMs },
  };
}

/** Opens the file `times` times; when it was painted, ms, and how many frames were drawn. */
async function paint(file, times) {
  const paints = [];
  let framesDrawn = 0;
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  try {
    for (let run = 0; run < times; run++) {
      const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
      await page.goto(pathToFileURL(file).href);
      await page.waitForFunction(() => performance.getEntriesByName("lowflame-painted").length > 0);
      const marks = await page.evaluate(() =>
        Object.fromEntries(
          performance.getEntriesByType("mark").map((mark) => [mark.name, Math.round(mark.startTime)]),
        ),
      );
      if (process.env.LOWFLAME_BENCH_MARKS) console.error(JSON.stringify(marks));
      paints.push(marks["lowflame-painted"]);
      framesDrawn = await page.locator("g.frame").count();
      await page.close();
    }
  } finally {
    await browser.close();
  }
  return { paintMs: median(paints), framesDrawn };
}

const folder = mkdtempSync(join(tmpdir(), "lowflame-report-size-"));
try {
  const parts = await loadParts();
  const assets = await parts.loadPageAssets(join(root, "build/web"));
  const capture = join(folder, "made-up.lowflame");
  const writer = await parts.CaptureWriter.open(capture);
  for (const event of parts.madeUpCapture(size)) await writer.event(event);
  await writer.close();

  const file = resolve(option("--keep") ?? join(folder, "report.html"));
  const reports = [];
  for (let run = 0; run < Math.min(runs, 3); run++)
    reports.push(await reportOnce(parts, capture, assets, file));
  const { rows, bytes, times } = reports[0];
  const medianOf = (name) => Math.round(median(reports.map((report) => report.times[name])));
  console.log(
    JSON.stringify({
      ...size,
      rows,
      fileMiB: Number((bytes / 2 ** 20).toFixed(1)),
      ...Object.fromEntries(Object.keys(times).map((name) => [name, medianOf(name)])),
      ...(await paint(file, runs)),
    }),
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
