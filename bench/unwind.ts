// User stacks by unwind tables: whether they are right (against perf's), what a walk costs, what tables cost, and how long a
// new process is without; the same samples by perf's DWARF mode.
import { STACK_LOADS } from "../test/support/stack-loads.js";
import { compareShares, disagreements, topEnds } from "../test/support/stack-shape.js";
import { recordBoth } from "../test/support/unwind-oracle.js";
import type { BenchOptions, Part } from "./part.js";
import { type Spread, show, spread, table } from "./statistics.js";
import { type RecordingCost, recordNginx, TOOLS } from "./unwind-against-perf.js";
import { type FileTable, firstWholeStacks, loadNode, tablesOfFiles } from "./unwind-tables.js";
import { type How, type Walks, walkDeep, walkNginx } from "./unwind-walks.js";

interface OracleRow {
  readonly load: string;
  readonly yardstick: string;
  readonly stacks: number;
  readonly wholeShare: number;
  readonly ends: string;
  readonly theirStacks: number;
  readonly theirWholeShare: number;
  readonly functions: number;
  /** Largest difference of a share, and what chance allowed there. */
  readonly worst: { readonly name: string; readonly difference: number; readonly bound: number };
  readonly disagreements: readonly string[];
}
interface WalkRow {
  readonly load: string;
  readonly how: How;
  readonly ns: Spread;
  readonly frames: Spread;
}
interface ToolRow {
  readonly tool: string;
  /** Of a recorded second, from a short recording and a long one; CPU in cores. */
  readonly bytesPerSecond: Spread;
  readonly recordCpu: Spread;
  readonly readCpu: Spread;
  /** CPU time to begin and to end. */
  readonly onceNs: Spread;
  /** Of the CPU time of a recorded second, to record and to read: what lowflame takes in the same round. */
  readonly lowflamesShare: Spread;
}

export interface Unwind {
  readonly seconds: number;
  readonly oracle: readonly OracleRow[];
  readonly walks: readonly WalkRow[];
  readonly tables: readonly FileTable[];
  readonly nodeLoadMs?: Spread;
  /** From the start of a process, ms. */
  readonly firstKnownMs?: Spread;
  readonly firstFreshMs?: Spread;
  readonly tools: readonly ToolRow[];
  readonly failures: readonly string[];
}

const DEPTHS = [15, 100];
const COLD = "nginx, cold";
const HOWS: readonly How[] = ["tables", "frame pointers"];

async function run(options: BenchOptions): Promise<Unwind> {
  const rounds = options.rounds ?? (options.quick ? 1 : 5);
  const seconds = options.quick ? 2 : 10;
  const failures: string[] = [];
  const attempt = async <T>(what: string, measure: () => Promise<T>): Promise<T | undefined> => {
    if (options.stopping()) return undefined;
    try {
      const result = await measure();
      options.say(what);
      return result;
    } catch (error) {
      failures.push(`${what} (${(error as Error).message.split("\n")[0]})`);
      options.say(`${what} failed: ${(error as Error).message}`);
      return undefined;
    }
  };

  const oracle: OracleRow[] = [];
  for (const kind of Object.values(STACK_LOADS)) {
    if (!kind.isThere()) failures.push(`${kind.name} (not installed)`);
    else {
      const row = await attempt(`${kind.name} against perf`, () => holdAgainstPerf(kind, seconds));
      if (row) oracle.push(row);
    }
  }

  const walks = new Map<string, Walks[]>();
  const tools = new Map<string, RecordingCost[]>();
  // what a second takes when all is warm: Node compiles what is hot in the first ones
  const lengths = [seconds, seconds * 4] as const;
  const nodeMs: number[] = [];
  const add = <T>(to: Map<string, T[]>, key: string, value: T | undefined) =>
    value && to.set(key, [...(to.get(key) ?? []), value]);
  for (let round = 0; round < rounds && !(round > 0 && options.stopping()); round++) {
    const turn = (what: string) => `round ${round + 1}/${rounds} ${what}`;
    for (const how of HOWS) {
      for (const depth of DEPTHS) {
        const load = `${depth} calls, warm`;
        add(
          walks,
          `${load}\n${how}`,
          await attempt(turn(`${load}, ${how}`), () => walkDeep(how, depth, seconds * 200)),
        );
      }
      add(
        walks,
        `${COLD}\n${how}`,
        await attempt(turn(`${COLD}, ${how}`), () => walkNginx(how, seconds * 1000)),
      );
    }
    for (const tool of TOOLS)
      add(tools, tool.name, await attempt(turn(tool.name), () => recordNginx(tool, lengths)));
    const ms = await attempt(turn("node's tables"), loadNode);
    if (ms) nodeMs.push(ms);
  }
  const own = tools.get(TOOLS[0]!.name) ?? [];
  const processes = options.quick ? 4 : 20;
  const known = await attempt("new processes of a known file", () => firstWholeStacks(processes, false));
  const fresh = await attempt("new processes of new files", () => firstWholeStacks(processes, true));
  return {
    seconds,
    oracle,
    walks: [...walks].map(([key, list]) => {
      const [load, how] = key.split("\n") as [string, How];
      return { load, how, ns: spread(list.map((w) => w.ns)), frames: spread(list.map((w) => w.frames)) };
    }),
    tables: tablesOfFiles(),
    ...(nodeMs.length ? { nodeLoadMs: spread(nodeMs) } : {}),
    ...(known?.length ? { firstKnownMs: spread(known) } : {}),
    ...(fresh?.length ? { firstFreshMs: spread(fresh) } : {}),
    tools: [...tools].map(([tool, list]) => ({
      tool,
      bytesPerSecond: spread(list.map((c) => c.bytesPerSecond)),
      recordCpu: spread(list.map((c) => c.recordCpu)),
      readCpu: spread(list.map((c) => c.readCpu)),
      onceNs: spread(list.map((c) => c.onceNs)),
      lowflamesShare: spread(list.flatMap((c, round) => (own[round] ? [cpuOf(own[round]) / cpuOf(c)] : []))),
    })),
    failures,
  };
}

const cpuOf = (cost: RecordingCost): number => cost.recordCpu + cost.readCpu;

async function holdAgainstPerf(
  kind: (typeof STACK_LOADS)[keyof typeof STACK_LOADS],
  seconds: number,
): Promise<OracleRow> {
  const load = await kind.start();
  try {
    const dwarf = kind.dwarfBytes === undefined ? {} : { dwarfBytes: kind.dwarfBytes };
    const { ours, theirs } = await recordBoth(load.pids, { seconds, ...dwarf });
    if (!ours.whole || !theirs.whole) throw new Error("one of the two saw no whole stack");
    const pairs = compareShares(ours, theirs, kind.only ? { only: kind.only } : {});
    const used = (p: (typeof pairs)[number]) => Math.abs(p.ours - p.theirs) / p.bound;
    const worst = [...pairs].sort((a, b) => used(b) - used(a))[0];
    if (!worst) throw new Error("no function was seen by either");
    return {
      load: kind.name,
      yardstick: kind.dwarfBytes === undefined ? "frame pointers" : "DWARF",
      stacks: ours.stacks,
      wholeShare: ours.whole / ours.stacks,
      ends: topEnds(ours),
      theirStacks: theirs.stacks,
      theirWholeShare: theirs.whole / theirs.stacks,
      functions: pairs.length,
      worst: { name: worst.name, difference: Math.abs(worst.ours - worst.theirs), bound: worst.bound },
      disagreements: disagreements(pairs),
    };
  } finally {
    await load.stop();
  }
}

function render(data: Unwind): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const milliseconds = (of: Spread | undefined, digits = 1) =>
    of ? `${show(of, digits)} ms` : "(not measured)";
  const perFrame = (how: How): string => {
    const [few, many] = DEPTHS.map((d) =>
      data.walks.find((w) => w.how === how && w.load === `${d} calls, warm`),
    );
    if (!few || !many) return "not measured";
    return `${((many.ns.median - few.ns.median) / (many.frames.median - few.frames.median)).toFixed(0)} ns`;
  };
  /** Of nginx's cold walks: by tables over the one frame that frame pointers find. */
  const coldFrame = (): string => {
    const [many, one] = HOWS.map((how) => data.walks.find((w) => w.how === how && w.load === COLD));
    if (!one || !many) return "not measured";
    return `${((many.ns.median - one.ns.median) / (many.frames.median - one.frames.median)).toFixed(0)} ns`;
  };
  return [
    `**Right?** Each load recorded for ${data.seconds} s by lowflame and by perf at the same time. Difference: of the inclusive shares, among whole stacks, ` +
      "of the functions that are hottest in either, the one that comes nearest to what chance allows (four standard deviations and one point).",
    table(
      [
        "load",
        "stacks",
        "whole",
        "perf",
        "its stacks",
        "whole",
        "functions",
        "largest difference (allowed)",
        "beyond",
      ],
      data.oracle.map((r) => [
        r.load,
        String(r.stacks),
        percent(r.wholeShare),
        r.yardstick,
        String(r.theirStacks),
        percent(r.theirWholeShare),
        String(r.functions),
        `${percent(r.worst.difference)} (${percent(r.worst.bound)})`,
        String(r.disagreements.length),
      ]),
    ),
    "**A walk.** Time in the program that takes user halves, ns a sample, by the kernel's BPF statistics; all but the walk is the same " +
      "in both. Frame pointers: `bpf_get_stack`. Warm: 9,999 samples a second; cold: 199. A frame more costs " +
      `${perFrame("tables")} by tables, ${perFrame("frame pointers")} by frame pointers. Cold, a frame ` +
      `after the first costs ${coldFrame()} by tables. Median (lowest to highest).`,
    table(
      ["load", "walk", "ns a sample", "frames found"],
      data.walks.map((w) => [w.load, w.how, show(w.ns, 0), show(w.frames, 1)]),
    ),
    "**Tables.**",
    table(
      ["file", "text, MiB", "rows", "table, KiB", "KiB a MiB of text", "ms of CPU to make it"],
      data.tables.map((t) => [
        t.name,
        (t.textBytes / 2 ** 20).toFixed(2),
        String(t.rows),
        (t.bytes / 2 ** 10).toFixed(0),
        (t.bytes / 2 ** 10 / (t.textBytes / 2 ** 20)).toFixed(0),
        t.cpuMs.toFixed(1),
      ]),
    ),
    `A Node process, from nothing to the tables of its binary and libraries in the kernel: ${milliseconds(data.nodeLoadMs, 0)}. From the start ` +
      `of a new process to its first whole stack, sampled every 0.5 ms: ${milliseconds(data.firstKnownMs)} where its files are known, ` +
      `${milliseconds(data.firstFreshMs)} where its program is new.`,
    "**Against perf's DWARF mode**, 1,999 Hz on all CPUs, nginx under load: at 99 Hz neither takes two percent of a core. CPU time is that of the tool's own processes. What a recorded " +
      `second takes is the difference of recordings of ${data.seconds} and of ${data.seconds * 4} s; what remains is to begin and to end. Reading: ` +
      "until all stacks are text. The work in the kernel's timer is in neither: the walk above; for perf a copy of so many bytes.",
    table(
      [
        "tool",
        "KiB a second on disk",
        "CPU a recorded second",
        "CPU to read it",
        "once, s of CPU",
        "lowflame's CPU of it",
      ],
      data.tools.map((t) => [
        t.tool,
        show(t.bytesPerSecond, 1, 1 / 1024),
        `${show(t.recordCpu, 2, 100)} %`,
        `${show(t.readCpu, 2, 100)} %`,
        show(t.onceNs, 2, 1e-9),
        `${show(t.lowflamesShare, 0, 100)} %`,
      ]),
    ),
    ...data.failures.map((f) => `Not measured: ${f}.`),
  ].join("\n\n");
}

export const unwind: Part<Unwind> = { name: "unwind", run, render };
