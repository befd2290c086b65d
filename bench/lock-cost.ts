// What watching one contended lock costs: threads that write to one pipe fight for its mutex, some million times a second.
// Two figures, in the same interleaved rounds: time in BPF programs a wait, over programs that do nothing on the same
// hooks; and how many writes are left, beside the programs that do nothing. lowflame's own figure for the latter comes from
// short slices of one load, since which CPU a thread happens to run on makes more difference than lowflame does.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { runProgram, startProgram } from "../test/support/programs.js";
import { buildObject, enableStatistics, growth, readPrograms } from "./bpf-statistics.js";
import { lowflame, lowflameIsBuilt, type Observer, peers, startObserver } from "./observers.js";
import type { BenchOptions, Part } from "./part.js";
import { Pause, SETTLE_MS } from "./pause.js";
import { type Estimate, estimate, type Spread, show, spread, table } from "./statistics.js";

interface Row {
  readonly name: string;
  readonly covers: string;
  /** Over the floor, ns a wait (begin and end). */
  readonly nsPerWait: Spread;
  /** Time a write takes, beside the programs that do nothing (1 = as long). */
  readonly slowdown: Spread;
}

export interface LockCost {
  readonly waitsPerSecond: Spread;
  readonly floorNs: Spread;
  readonly rows: readonly Row[];
  /** By load: share of writes lost to an observer, beside its own programs paused: they return at once. */
  readonly loads: readonly (Load & {
    readonly waitsPerSecond: number;
    readonly lowflame: Estimate;
    readonly conventional?: Estimate;
  })[];
  readonly failures: readonly string[];
}

interface Round {
  readonly writes: number;
  readonly waits: number;
  readonly programNs: number;
  readonly runs: number;
}

const NOOP = "no-op programs";

const SLICE_MS = 250;
/** How long a writer holds the mutex goes by the bytes; who has to wait, and how, by the threads. */
interface Load {
  readonly threads: number;
  readonly bytes: number;
}
const LOADS: readonly Load[] = [
  { threads: 2, bytes: 1 },
  { threads: 4, bytes: 1 },
  { threads: 2, bytes: 4096 },
  { threads: 4, bytes: 4096 },
  { threads: 8, bytes: 16_384 },
];

const startLoad = ({ threads, bytes }: Load) =>
  startProgram("lock-contention", {
    args: ["--mode", "0", "--ms", "3600000", "--bytes", String(bytes), "--threads", String(threads)],
  });

/** Writes lost to an observer, slice by slice, in one run of the load and of the observer. */
async function measureSlices(
  options: BenchOptions,
  dir: string,
  observer: Observer,
  load: Load,
): Promise<Estimate> {
  const program = await startLoad(load);
  const running = await startObserver(observer, { pids: [], dir });
  try {
    const pause = new Pause(running, observer);
    const lost: number[] = [];
    pause.on();
    let before = await writesASecond(program.pid);
    for (let pair = 0; pair < (options.quick ? 20 : 80) && !options.stopping(); pair++) {
      pause.off();
      const during = await writesASecond(program.pid);
      pause.on();
      const after = await writesASecond(program.pid);
      lost.push(1 - during / ((before + after) / 2));
      before = after;
    }
    pause.off();
    return estimate(lost);
  } finally {
    await running.stop();
    await program.stop();
  }
}

/** Waits a second under a load, by the kernel's tracepoint. */
async function waitsASecond(load: Load): Promise<number> {
  const program = await startLoad(load);
  try {
    await setTimeout(500);
    // prints to stderr: count, unit, event, ...
    const { stderr } = spawnSync(
      "perf",
      ["stat", "-a", "-x", ",", "-e", "lock:contention_begin", "sleep", "2"],
      {
        encoding: "utf8",
      },
    );
    return Number(stderr.split(",")[0]) / 2;
  } finally {
    await program.stop();
  }
}

/** System calls that write, as the kernel counts them (syscw, proc_pid_io(5)), over one slice that has settled. */
async function writesASecond(pid: number): Promise<number> {
  const read = () => ({
    count: Number(/^syscw: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))![1]),
    ms: performance.now(),
  });
  await setTimeout(SETTLE_MS);
  const first = read();
  await setTimeout(SLICE_MS);
  const last = read();
  return ((last.count - first.count) * 1000) / (last.ms - first.ms);
}

async function run(options: BenchOptions): Promise<LockCost> {
  const rounds = options.rounds ?? (options.quick ? 1 : 7);
  const ms = options.quick ? 500 : 2000;
  const { loader, object } = buildObject("noop");
  const noop: Observer = { name: NOOP, covers: "", command: () => [loader, object] };
  const observers: Observer[] = [
    noop,
    ...(lowflameIsBuilt() ? [lowflame("locks")] : []),
    peers.bpftraceLocks,
    peers.bpftraceLockStacks,
    peers.klockstat,
  ];
  const failures = new Map<string, string>();
  const results = new Map<string, Round[]>();
  const dir = mkdtempSync(join(tmpdir(), "lowflame-bench-"));
  const statistics = await enableStatistics(loader);
  const loads: LockCost["loads"][number][] = [];
  try {
    for (let round = 0; round < rounds && !(round > 0 && options.stopping()); round++) {
      for (let i = 0; i < observers.length; i++) {
        const observer = observers[(i + round) % observers.length]!;
        if (failures.has(observer.name)) continue;
        try {
          const result = await measure(observer, dir, ms);
          results.set(observer.name, [...(results.get(observer.name) ?? []), result]);
          options.say(`round ${round + 1}/${rounds} ${observer.name}: ${result.waits} waits`);
        } catch (error) {
          failures.set(observer.name, (error as Error).message.split("\n")[0]!);
          options.say(`${observer.name} failed: ${(error as Error).message}`);
        }
      }
    }
    if (lowflameIsBuilt()) {
      await statistics.stop();
      for (const load of LOADS) {
        if (options.stopping()) break;
        const own = await measureSlices(options, dir, lowflame("locks"), load);
        let conventional: Estimate | undefined;
        try {
          conventional = await measureSlices(options, dir, peers.bpftraceLockStacks, load);
        } catch (error) {
          failures.set(peers.bpftraceLockStacks.name, (error as Error).message.split("\n")[0]!);
        }
        loads.push({
          ...load,
          waitsPerSecond: await waitsASecond(load),
          lowflame: own,
          ...(conventional && { conventional }),
        });
        options.say(`${load.threads} threads, ${load.bytes} bytes: ${times(own)}`);
      }
    }
  } finally {
    await statistics.stop();
    rmSync(dir, { recursive: true, force: true });
  }
  const floors = results.get(NOOP);
  if (!floors) throw new Error(`The no-op programs could not be measured: ${failures.get(NOOP)}`);
  return {
    waitsPerSecond: spread(floors.map((r) => (r.waits * 1000) / ms)),
    floorNs: spread(floors.map((r) => r.programNs / r.runs)),
    rows: observers
      .filter(({ name }) => name !== NOOP && results.has(name))
      .map(({ name, covers }) => {
        const mine = results.get(name)!;
        const floor = (i: number) => floors[Math.min(i, floors.length - 1)]!;
        return {
          name,
          covers,
          nsPerWait: spread(
            mine.map((r, i) => (r.programNs - r.runs * (floor(i).programNs / floor(i).runs)) / r.waits),
          ),
          slowdown: spread(mine.map((r, i) => floor(i).writes / r.writes)),
        };
      }),
    loads,
    failures: [...failures].map(([name, reason]) => `${name} (${reason})`),
  };
}

/** Runs the load under an observer; a wait is a begin and an end, so half of the runs of its programs. */
async function measure(observer: Observer, dir: string, ms: number): Promise<Round> {
  const others = new Set(readPrograms().map((p) => p.id));
  const running = await startObserver(observer, { pids: [], dir });
  try {
    const before = readPrograms();
    const own = new Set(before.map((p) => p.id).filter((id) => !others.has(id)));
    const { operations } = await runProgram("lock-contention", "--mode", "0", "--ms", String(ms));
    const programs = growth(before, readPrograms(), own).filter(
      (p) => p.runs > 0 && !/switch|resumed|timer|exec/.test(p.name),
    );
    const runs = programs.reduce((sum, p) => sum + p.runs, 0);
    if (runs === 0) throw new Error(`none of its BPF programs ran. ${running.child.stderr.slice(-300)}`);
    const programNs = programs.reduce((sum, p) => sum + p.ns, 0);
    return { writes: operations, waits: runs / 2, programNs, runs };
  } finally {
    await running.stop();
  }
}

function render(data: LockCost): string {
  return [
    `Load: four threads write to one pipe, one reads, ${show(data.waitsPerSecond, 0)} waits for its mutex a second. ` +
      `Median (lowest to highest) over interleaved rounds. Floor, ns a run of a program that does nothing: ${show(data.floorNs, 0)}.`,
    table(
      ["observer (coverage)", "ns a wait, over the floor", "time a write takes, beside no-op programs"],
      data.rows.map((r) => [`${r.name} (${r.covers})`, show(r.nsPerWait, 0), `${show(r.slowdown, 2)} x`]),
    ),
    ...(data.loads.length === 0
      ? []
      : [
          `In ${data.loads[0]!.lowflame.count} slices of ${SLICE_MS} ms, each between two in which the observer's programs return at ` +
            "once, how many times as long a write takes:",
          table(
            [
              "threads",
              "bytes of a write",
              "waits a second",
              "under lowflame",
              `under ${peers.bpftraceLockStacks.name}`,
            ],
            data.loads.map((l) => [
              String(l.threads),
              String(l.bytes),
              l.waitsPerSecond.toFixed(0),
              times(l.lowflame),
              l.conventional ? times(l.conventional) : "",
            ]),
          ),
        ]),
    ...data.failures.map((f) => `Not measured: ${f}.`),
  ].join("\n\n");
}

/** A loss of throughput as a factor of time, with its 95 % confidence interval. */
const times = ({ mean, halfWidth95 }: Estimate): string =>
  `${(1 / (1 - mean)).toFixed(2)} (${(1 / (1 - mean + halfWidth95)).toFixed(2)} to ${(1 / Math.max(0.01, 1 - mean - halfWidth95)).toFixed(2)}) x`;

export const lockCost: Part<LockCost> = { name: "lock-cost", run, render };
