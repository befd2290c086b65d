// What watching one contended lock costs: threads that write to one pipe fight for its mutex, some million times a second.
// Two figures, in the same interleaved rounds: time in BPF programs a wait, over programs that do nothing on the same
// hooks; and how many writes are left, beside the programs that do nothing.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runProgram } from "../test/support/programs.js";
import { buildNoop, enableStatistics, growth, readPrograms } from "./bpf-statistics.js";
import { lowflame, lowflameIsBuilt, type Observer, peers, startObserver } from "./observers.js";
import type { BenchOptions, Part } from "./part.js";
import { type Spread, show, spread, table } from "./statistics.js";

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
  readonly failures: readonly string[];
}

interface Round {
  readonly writes: number;
  readonly waits: number;
  readonly programNs: number;
  readonly runs: number;
}

const NOOP = "no-op programs";

async function run(options: BenchOptions): Promise<LockCost> {
  const rounds = options.rounds ?? (options.quick ? 1 : 7);
  const ms = options.quick ? 500 : 2000;
  const { loader, object } = buildNoop();
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
    ...data.failures.map((f) => `Not measured: ${f}.`),
  ].join("\n\n");
}

export const lockCost: Part<LockCost> = { name: "lock-cost", run, render };
