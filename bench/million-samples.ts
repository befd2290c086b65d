// A capture at the report's stated size, made up: by default a million CPU samples of 200,000 distinct frames, in the
// batches that the addon would hand over. Every node of the tree is a function of its own: the worst case for names,
// tree and table alike.
import type { Batch, SampleColumns, Tables } from "../src/capture/binding.js";
import type { WritableEvent } from "../src/capture/file/writer.js";
import { bytes, ns } from "../src/model/units.js";

const BATCH_ROWS = 8_192;
const THREADS = 256;
const PROCESSES = 64;
const MODULES = 97;
const DEPTH = 40;
/** From here down a stack is in the kernel. */
const KERNEL_FROM = 28;
const CPUS = 64;
const PERIOD_NS = Math.round(1e9 / 99);
/** Index into FRAME_KINDS. */
const KERNEL = 0;
const USER = 2;

export interface CaptureSize {
  readonly samples: number;
  readonly frames: number;
}

/** The events of one recording, in order; the same ones each time. */
export function* madeUpCapture({ samples, frames }: CaptureSize): Generator<WritableEvent> {
  const random = generator(42);
  const durationNs = (samples * PERIOD_NS) / CPUS;
  yield { type: "header", facts: FACTS, start: START };
  const tree = makeTree(frames, random);
  yield { type: "batch", batch: { tables: { ...NO_TABLES, ...owners(), modules: modules() }, samples: [] } };
  for (let first = 1; first <= frames; first += BATCH_ROWS) {
    const count = Math.min(BATCH_ROWS, frames - first + 1);
    yield { type: "batch", batch: nodes(tree, first, count) };
  }
  for (let sent = 0; sent < samples; sent += BATCH_ROWS) {
    const count = Math.min(BATCH_ROWS, samples - sent);
    const cpu = columns(frames, count, random, (durationNs * sent) / samples);
    yield { type: "batch", batch: { tables: NO_TABLES, samples: [cpu] } };
  }
  const end = START.startMonotonicNs + BigInt(Math.round(durationNs));
  yield { type: "end", final: { ...FINAL, endMonotonicNs: end }, endReason: "duration" };
}

interface Tree {
  readonly parent: Uint32Array;
  readonly depth: Uint8Array;
}

function makeTree(frames: number, random: () => number): Tree {
  const parent = new Uint32Array(frames + 1);
  const depth = new Uint8Array(frames + 1);
  for (let node = 1; node <= frames; node++) {
    // Mostly below a recent node (deep branches), now and then far up (new branches).
    const back = random() < 0.7 ? Math.min(node, 1 + Math.floor(random() * 8)) : Math.ceil(random() * node);
    const above = node - back;
    parent[node] = depth[above]! < DEPTH ? above : 0;
    depth[node] = depth[parent[node]!]! + 1;
  }
  return { parent, depth };
}

/** Frames, tree nodes and names of one range; a frame has the id of its node. */
function nodes({ parent, depth }: Tree, first: number, count: number): Batch {
  const ids = Array.from({ length: count }, (_, i) => first + i);
  const inKernel = (id: number) => depth[id]! >= KERNEL_FROM;
  return {
    tables: {
      ...NO_TABLES,
      frames: {
        firstId: first,
        count,
        module: Uint32Array.from(ids, (id) => (inKernel(id) ? 1 : 2 + (id % MODULES))),
        offset: BigUint64Array.from(ids, (id) => BigInt(id) * 64n),
        kind: Uint8Array.from(ids, (id) => (inKernel(id) ? KERNEL : USER)),
      },
      stacks: {
        firstId: first,
        count,
        parent: parent.slice(first, first + count),
        frame: Uint32Array.from(ids),
      },
      names: ids.map((id) => ({
        frame: id,
        name: inKernel(id)
          ? `kernel_function_${id}`
          : `module_${id % MODULES}::Handler<${id}>::process_request(Connection&, unsigned long)`,
      })),
    },
    samples: [],
  };
}

/** Half of the samples on a few hot stacks, the rest everywhere. */
function columns(frames: number, count: number, random: () => number, fromNs: number): SampleColumns {
  const node = () => 1 + Math.floor((random() < 0.5 ? random() ** 6 : random()) * frames);
  return {
    source: "cpu",
    count,
    timeNs: Float64Array.from({ length: count }, (_, i) => Math.round(fromNs + (i * PERIOD_NS) / CPUS)),
    cpu: Uint32Array.from({ length: count }, (_, i) => i % CPUS),
    thread: Uint32Array.from({ length: count }, () => 1 + Math.floor(random() * THREADS)),
    stack: Uint32Array.from({ length: count }, node),
    weightNs: new Float64Array(count).fill(PERIOD_NS),
    durationNs: new Float64Array(count),
    state: new Uint8Array(count),
    syscall: new Int32Array(count).fill(-1),
    flags: new Uint32Array(count),
  };
}

const owners = (): Pick<Tables, "processes" | "threads"> => ({
  processes: Array.from({ length: PROCESSES }, (_, i) => ({
    id: i + 1,
    pid: 1_000 + i,
    startTimeNs: BigInt(i),
    comm: `proxy-${i % 8}`,
    kernelThread: false,
    self: false,
  })),
  threads: Array.from({ length: THREADS }, (_, i) => ({
    id: i + 1,
    tid: 1_000 + i,
    process: 1 + (i % PROCESSES),
    comm: "worker",
  })),
});

const modules = (): Tables["modules"] => [
  { id: 1, path: "[kernel]", buildId: "" },
  ...Array.from({ length: MODULES }, (_, i) => ({ id: i + 2, path: `/usr/lib/module_${i}.so`, buildId: "" })),
];

const NO_TABLES: Tables = {
  processes: [],
  threads: [],
  modules: [],
  frames: {
    firstId: 1,
    count: 0,
    module: new Uint32Array(),
    offset: new BigUint64Array(),
    kind: new Uint8Array(),
  },
  stacks: { firstId: 1, count: 0, parent: new Uint32Array(), frame: new Uint32Array() },
  names: [],
  locks: [],
  endpoints: [],
  calls: [],
  socketCounts: [],
};

const FACTS = {
  toolVersion: "0",
  host: { hostname: "bench", kernel: "0", arch: "x86_64", cpuModel: "", cpus: CPUS, memoryBytes: 0 },
  command: ["lowflame", "record"],
  sources: ["cpu"] as const,
  frequencyHz: 99,
  filters: [],
};

const START = {
  startMonotonicNs: 0n,
  startWallNs: 1_700_000_000_000_000_000n,
  cpuEvent: "cpu-clock",
  onlineCpus: Array.from({ length: CPUS }, (_, cpu) => cpu),
  programs: [],
  maps: [],
  notes: [],
};

const FINAL = {
  losses: [],
  cost: {
    programs: [],
    agentUserNs: ns(0),
    agentSystemNs: ns(0),
    peakRssBytes: bytes(0),
    kernelMemoryBytes: bytes(0),
  },
  cpuTimesStart: [],
  cpuTimesEnd: [],
  samplesPerCpu: [],
  offcpuTotals: [],
  runQueue: [],
  lockTotals: [],
  callTotals: [],
  endpointTotals: [],
  descriptorTotals: [],
  tcpTotals: [],
  connecting: [],
  closeWaits: [],
  listenQueues: [],
  otherPrograms: [],
  offcpuThresholdMaxNs: ns(0),
};

/** A small generator with a seed, so that every run measures the same report. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
