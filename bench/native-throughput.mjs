// Events a second from raw stacks in the addon to stack counts in the model, all on one thread: interning in C++, columns
// to JavaScript, weights by stack. Goal: 2 million. Needs the addon and dist/ (npm run build).
// Usage: node bench/native-throughput.mjs [EVENTS] [STACKS] [DEPTH]; prints one JSON line.
import { createRequire } from "node:module";
import { ProfileBuilder } from "../dist/model/build.js";

const events = Number(process.argv[2] ?? 4_000_000);
const stacks = Number(process.argv[3] ?? 5_000);
const depth = Number(process.argv[4] ?? 32);
const BATCH = 65_536;

const addon = createRequire(import.meta.url)("../build/Release/lowflame.node");
const next = addon.makeSyntheticSource(stacks, depth);
const builder = new ProfileBuilder();
builder.add({
  type: "header",
  facts: { toolVersion: "", host: {}, command: [], sources: ["cpu"], frequencyHz: 99, filters: [] },
  start: {
    startMonotonicNs: 0n,
    startWallNs: 0n,
    cpuEvent: "",
    onlineCpus: [],
    programs: [],
    maps: [],
    notes: [],
  },
});
let nativeMs = 0;
let modelMs = 0;
let done = 0;
while (done < events) {
  const start = performance.now();
  const batch = next(BATCH);
  const taken = performance.now();
  builder.add({ type: "batch", batch });
  nativeMs += taken - start;
  modelMs += performance.now() - taken;
  done += BATCH;
}
const started = performance.now();
const profile = builder.build();
const buildMs = performance.now() - started;
const counted = profile.weights[0].samples.reduce((sum, n) => sum + n, 0);
if (counted !== done) throw new Error(`${done} events went in, ${counted} came out`);
console.log(
  JSON.stringify({
    events: done,
    stacks,
    depth,
    nativeMs: Math.round(nativeMs),
    modelMs: Math.round(modelMs),
    buildMs: Math.round(buildMs),
    eventsPerSecond: Math.round(done / ((nativeMs + modelMs + buildMs) / 1000)),
  }),
);
