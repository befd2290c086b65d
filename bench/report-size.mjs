#!/usr/bin/env node
// Measures the HTML report at its stated size: one million samples of 200,000 distinct frames. Prints one JSON line:
// how long the file takes to write (goal: 5 s) and how long Chromium needs until the graph is painted (goal: 1 s,
// counted from the start of the navigation). Medians of several runs; nothing leaves this machine.
// Usage: node bench/report-size.mjs [--runs N] [--keep FILE]    (after npm run build:web)
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const SAMPLES = 1_000_000;
const FRAMES = 200_000;
const THREADS = 256;
const DEPTH = 40;
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const option = (name) => {
  const at = process.argv.indexOf(name);
  return at > 0 ? process.argv[at + 1] : undefined;
};
const runs = Number(option("--runs") ?? 5);

/** A small generator with a seed, so that every run measures the same report. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A profile whose every tree node is a function of its own: the worst case for names, tree and table alike. */
function syntheticProfile() {
  const random = generator(42);
  const parent = new Uint32Array(FRAMES + 1);
  const depth = new Uint8Array(FRAMES + 1);
  for (let node = 1; node <= FRAMES; node++) {
    // Mostly below a recent node (deep branches), now and then far up (new branches).
    const back = random() < 0.7 ? Math.min(node, 1 + Math.floor(random() * 8)) : Math.ceil(random() * node);
    const above = node - back;
    parent[node] = depth[above] < DEPTH ? above : 0;
    depth[node] = depth[parent[node]] + 1;
  }
  const rows = new Map();
  for (let sample = 0; sample < SAMPLES; sample++) {
    // Half of the samples on a few hot stacks, the rest everywhere.
    const node = 1 + Math.floor((random() < 0.5 ? random() ** 6 : random()) * FRAMES);
    const thread = 1 + Math.floor(random() * THREADS);
    const key = thread * (FRAMES + 1) + node;
    rows.set(key, (rows.get(key) ?? 0) + 1);
  }
  const keys = [...rows.keys()];
  const count = keys.length;
  const period = Math.round(1e9 / 99);
  const name = (index) =>
    `module_${index % 97}::Handler<${index}>::process_request(Connection&, unsigned long)`;
  const functions = FRAMES + 1;
  return {
    facts: {
      toolVersion: "0",
      host: { hostname: "bench", kernel: "0", arch: "x86_64", cpuModel: "", cpus: 64, memoryBytes: 0 },
      command: ["lowflame", "record"],
      sources: ["cpu"],
      frequencyHz: 99,
      filters: [],
      endReason: "duration",
    },
    start: { startMonotonicNs: 0n, startWallNs: 1_700_000_000_000_000_000n, onlineCpus: [], notes: [] },
    final: null,
    durationNs: (SAMPLES * period) / 64,
    processes: Array.from({ length: 65 }, (_, id) => ({
      id,
      pid: 1000 + id,
      comm: `proxy-${id % 8}`,
      self: false,
      kernelThread: false,
    })),
    threads: Array.from({ length: THREADS + 1 }, (_, id) => ({
      id,
      tid: 1000 + id,
      comm: "worker",
      process: 1 + (id % 64),
    })),
    functions: {
      count: functions,
      name: Array.from({ length: functions }, (_, index) => (index === 0 ? "" : name(index))),
      module: Array.from({ length: functions }, (_, index) => `/usr/lib/module_${index % 97}.so`),
      kind: Array.from({ length: functions }, (_, index) => ["user", "user", "kernel", "jit"][index % 4]),
    },
    tree: { count: FRAMES + 1, parent, func: Uint32Array.from({ length: FRAMES + 1 }, (_, node) => node) },
    weights: [
      {
        source: "cpu",
        count,
        thread: Uint32Array.from(keys, (key) => Math.floor(key / (FRAMES + 1))),
        node: Uint32Array.from(keys, (key) => key % (FRAMES + 1)),
        weightNs: Float64Array.from(keys, (key) => rows.get(key) * period),
        samples: Uint32Array.from(keys, (key) => rows.get(key)),
        maxNs: new Float64Array(count),
        state: new Uint8Array(count),
        syscall: new Int32Array(count).fill(-1),
        flags: new Uint32Array(count),
      },
    ],
    userStacks: { total: SAMPLES, truncated: 0 },
    notes: [],
  };
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

const folder = mkdtempSync(join(tmpdir(), "lowflame-report-size-"));
try {
  const bundle = join(folder, "export.mjs");
  await build({
    stdin: {
      contents:
        'export * from "./src/export/html/from-profile.ts"; export * from "./src/export/html/write.ts"; export * from "./src/export/html/assets.ts";',
      resolveDir: root,
    },
    outfile: bundle,
    bundle: true,
    platform: "node",
    format: "esm",
    logLevel: "warning",
  });
  const { toDocument, writeHtml, loadPageAssets } = await import(pathToFileURL(bundle));
  const assets = await loadPageAssets(join(root, "build/web"));
  const profile = syntheticProfile();
  const file = resolve(option("--keep") ?? join(folder, "report.html"));
  const writes = [];
  let bytes = 0;
  for (let run = 0; run < Math.min(runs, 3); run++) {
    const start = performance.now();
    const html = await writeHtml(toDocument(profile, []), assets);
    writeFileSync(file, html);
    writes.push(performance.now() - start);
    bytes = html.length;
  }

  const paints = [];
  let drawn = 0;
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
    for (let run = 0; run < runs; run++) {
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
      drawn = await page.locator("g.frame").count();
      await page.close();
    }
  } finally {
    await browser.close();
  }
  console.log(
    JSON.stringify({
      samples: SAMPLES,
      frames: FRAMES,
      rows: profile.weights[0].count,
      fileMiB: Number((bytes / 2 ** 20).toFixed(1)),
      writeMs: Math.round(median(writes)),
      paintMs: Math.round(median(paints)),
      framesDrawn: drawn,
    }),
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
