// Speedscope's file format (https://www.speedscope.app/file-format-schema.json): one sampled profile a source, with the
// process at the root of each stack, weights in nanoseconds. Rows are sums, so the left-heavy view is the one to read.
// The format knows no inlining: an inlined function is a frame of its own that says so.
import type { StackSource } from "../capture/sample-sources.js";
import type { Profile, WeightTable } from "../model/profile.js";
import { withoutLines } from "../model/without-lines.js";
import { inPieces, nodesLeafFirst, ownerOf, utf8, weightsOf } from "./stacks.js";

const SCHEMA = "https://www.speedscope.app/file-format-schema.json";
const TITLES: Record<StackSource, string> = {
  cpu: "CPU",
  offcpu: "Off-CPU",
  locks: "Kernel locks",
  futex: "User locks",
};

/** UTF-8 JSON. Sources without weights give an empty profile, so that the reader sees that nothing was seen. */
export function writeSpeedscope(profile: Profile, sources: readonly StackSource[]): Uint8Array {
  return utf8(speedscopeChunks(profile, sources));
}

/** The same in pieces of about 64 KiB. */
export function speedscopeChunks(profile: Profile, sources: readonly StackSource[]): Iterable<string> {
  return inPieces(json(withoutLines(profile).profile, sources));
}

function* json(profile: Profile, sources: readonly StackSource[]): Generator<string> {
  const { facts, functions } = profile;
  const title = `lowflame: ${facts.host.hostname}`;
  yield `{"$schema":${JSON.stringify(SCHEMA)},"exporter":${JSON.stringify(`lowflame ${facts.toolVersion}`)},`;
  yield `"name":${JSON.stringify(title)},"activeProfileIndex":0,"shared":{"frames":[`;
  // Functions are frames 0 to count-2 (function 0 is unused); processes follow.
  for (let id = 1; id < functions.count; id++) {
    const frame = { name: functions.name[id]!, file: functions.module[id]! };
    yield `${id > 1 ? "," : ""}${JSON.stringify(frame)}`;
  }
  const firstProcess = functions.count - 1;
  const processes = processFrames(profile, firstProcess);
  let comma = functions.count > 1;
  for (const name of processes.names) {
    yield `${comma ? "," : ""}${JSON.stringify({ name })}`;
    comma = true;
  }
  const inlined = inlinedFrames(profile, firstProcess + processes.names.length);
  for (const func of inlined.keys()) {
    const frame = { name: `${functions.name[func]!} (inlined)`, file: functions.module[func]! };
    yield `,${JSON.stringify(frame)}`;
  }
  yield `]},"profiles":[`;
  for (const [i, source] of sources.entries()) {
    if (i > 0) yield ",";
    yield* sampled(profile, source, processes.ofThread, inlined);
  }
  yield "]}\n";
}

function* sampled(
  profile: Profile,
  source: StackSource,
  processOf: Uint32Array,
  inlined: ReadonlyMap<number, number>,
): Generator<string> {
  const { tree } = profile;
  const frameOf = (id: number): number =>
    tree.inlined?.[id] === 1 ? inlined.get(tree.func[id]!)! : tree.func[id]! - 1;
  const table = weightsOf(profile, source);
  const { stacks, weights, total } = sumByStack(table, processOf);
  const name = `${TITLES[source]} (${profile.facts.host.hostname})`;
  yield `{"type":"sampled","name":${JSON.stringify(name)},"unit":"nanoseconds","startValue":0,"endValue":${total},`;
  yield `"samples":[`;
  const path: number[] = [];
  for (let i = 0; i < stacks.length; i++) {
    const { process, node } = stacks[i]!;
    nodesLeafFirst(tree, node, path);
    let line = `${i > 0 ? "," : ""}[${process}`;
    for (let d = path.length - 1; d >= 0; d--) line += `,${frameOf(path[d]!)}`;
    yield `${line}]`;
  }
  yield `],"weights":[`;
  for (let i = 0; i < weights.length; i++) yield `${i > 0 ? "," : ""}${weights[i]}`;
  yield "]}";
}

/** Functions that are inlined somewhere, each with the index of its frame there. */
function inlinedFrames({ tree }: Profile, first: number): ReadonlyMap<number, number> {
  const frames = new Map<number, number>();
  if (tree.inlined === undefined) return frames;
  for (let node = 1; node < tree.count; node++) {
    const func = tree.func[node]!;
    if (tree.inlined[node] === 1 && !frames.has(func)) frames.set(func, first + frames.size);
  }
  return frames;
}

/** One entry for each (process, node), so that threads and system calls of one stack do not repeat it. */
function sumByStack(table: WeightTable | undefined, processOf: Uint32Array) {
  const byProcess = new Map<number, Map<number, number>>();
  for (let row = 0; row < (table?.count ?? 0); row++) {
    const process = processOf[table!.thread[row]!]!;
    let byNode = byProcess.get(process);
    if (byNode === undefined) {
      byNode = new Map();
      byProcess.set(process, byNode);
    }
    const node = table!.node[row]!;
    byNode.set(node, (byNode.get(node) ?? 0) + table!.weightNs[row]!);
  }
  const stacks: { process: number; node: number }[] = [];
  const weights: number[] = [];
  let total = 0;
  for (const [process, byNode] of byProcess) {
    for (const [node, weight] of byNode) {
      const rounded = Math.round(weight);
      if (rounded === 0) continue;
      stacks.push({ process, node });
      weights.push(rounded);
      total += rounded;
    }
  }
  return { stacks, weights, total };
}

/** Frames for processes, "nginx (pid 4711)", and the frame index of each thread's process. */
function processFrames(profile: Profile, first: number): { names: string[]; ofThread: Uint32Array } {
  const names: string[] = [];
  const ids = new Map<string, number>();
  const ofThread = new Uint32Array(profile.threads.length);
  for (let thread = 0; thread < profile.threads.length; thread++) {
    const owner = ownerOf(profile, thread);
    const name = `${owner.process} (pid ${owner.pid})`;
    let id = ids.get(name);
    if (id === undefined) {
      id = first + names.length;
      ids.set(name, id);
      names.push(name);
    }
    ofThread[thread] = id;
  }
  return { names, ofThread };
}
