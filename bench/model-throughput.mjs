// How many samples a second one thread turns from batches into a profile. Goal: 2 million.
// Needs dist/ (npm run build:ts). Usage: node bench/model-throughput.mjs [SAMPLES] [STACKS]
// Prints one JSON line, so that bench/run.mjs or a reader can take the median of several runs.
import { ProfileBuilder } from "../dist/model/build.js";

const samples = Number(process.argv[2] ?? 4_000_000);
const stacks = Number(process.argv[3] ?? 20_000);
const BATCH = 8192;
const THREADS = 500;
const DEPTH = 20;

// Numerical Recipes' linear congruential generator: the same input on each run.
let seed = 1;
const random = (below) => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return Math.floor((seed / 2 ** 32) * below);
};

const noTables = {
  processes: [],
  threads: [],
  modules: [],
  names: [],
  locks: [],
  endpoints: [],
  calls: [],
  socketCounts: [],
  frames: {
    firstId: 1,
    count: 0,
    module: new Uint32Array(),
    offset: new BigUint64Array(),
    kind: new Uint8Array(),
  },
  stacks: { firstId: 1, count: 0, parent: new Uint32Array(), frame: new Uint32Array() },
};

function tables() {
  const frames = Math.max(DEPTH, Math.floor(stacks / 4));
  const nodes = stacks * DEPTH;
  const parent = new Uint32Array(nodes);
  const frame = new Uint32Array(nodes);
  for (let s = 0; s < stacks; s++)
    for (let d = 0; d < DEPTH; d++) {
      parent[s * DEPTH + d] = d === 0 ? 0 : s * DEPTH + d;
      frame[s * DEPTH + d] = 1 + random(frames);
    }
  return {
    processes: [{ id: 1, pid: 100, startTimeNs: 1n, comm: "nginx", kernelThread: false, self: false }],
    threads: Array.from({ length: THREADS }, (_, i) => ({
      id: i + 1,
      tid: 100 + i,
      process: 1,
      comm: "nginx",
    })),
    modules: [{ id: 1, path: "/usr/sbin/nginx", buildId: "" }],
    names: Array.from({ length: frames }, (_, i) => ({ frame: i + 1, name: `function_${i}` })),
    locks: [],
    endpoints: [],
    calls: [],
    socketCounts: [],
    frames: {
      firstId: 1,
      count: frames,
      module: new Uint32Array(frames).fill(1),
      offset: BigUint64Array.from({ length: frames }, (_, i) => BigInt(i * 16)),
      kind: new Uint8Array(frames).fill(2),
    },
    stacks: { firstId: 1, count: nodes, parent, frame },
  };
}

function columns(source) {
  return {
    source,
    count: BATCH,
    timeNs: Float64Array.from({ length: BATCH }, (_, i) => i),
    cpu: new Uint32Array(BATCH),
    thread: Uint32Array.from({ length: BATCH }, () => 1 + random(THREADS)),
    // Skewed like real stacks: half of the samples in a hundredth of the stacks.
    stack: Uint32Array.from({ length: BATCH }, () => {
      const s = random(2) === 0 ? random(Math.max(1, stacks / 100)) : random(stacks);
      return (Math.floor(s) + 1) * DEPTH;
    }),
    weightNs: new Float64Array(BATCH).fill(10_101_010),
    durationNs: new Float64Array(BATCH),
    state: new Uint8Array(BATCH),
    syscall: new Int32Array(BATCH).fill(-1),
    flags: new Uint32Array(BATCH),
  };
}

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
const prepared = Array.from({ length: 64 }, () => ({ tables: noTables, samples: [columns("cpu")] }));
const startTables = performance.now();
builder.add({ type: "batch", batch: { tables: tables(), samples: [] } });
const start = performance.now();
const batches = Math.ceil(samples / BATCH);
for (let i = 0; i < batches; i++) builder.add({ type: "batch", batch: prepared[i % prepared.length] });
const added = performance.now();
const profile = builder.build();
const built = performance.now();
console.log(
  JSON.stringify({
    samples: batches * BATCH,
    stacks,
    rows: profile.weights[0].count,
    tablesMs: Math.round(start - startTables),
    addMs: Math.round(added - start),
    buildMs: Math.round(built - added),
    samplesPerSecond: Math.round((batches * BATCH) / ((added - start) / 1000)),
    samplesPerSecondWithBuild: Math.round((batches * BATCH) / ((built - start) / 1000)),
    rssMiB: Math.round(process.memoryUsage().rss / 2 ** 20),
  }),
);
