// Cost of one event inside the kernel, by the kernel's own BPF statistics, under a load of context switches (ping-pong on
// one CPU). A program that does nothing on the same hook is measured in the same rounds and taken off: the statistics
// cost about 50 ns a run themselves. What a tool costs is told for each context switch, so that a tool with two
// programs a switch is not flattered.
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { contextSwitches } from "../test/support/proc.js";
import { runProgram } from "../test/support/programs.js";
import { buildObject, enableStatistics, growth, type ProgramRuns, readPrograms } from "./bpf-statistics.js";
import { lowflame, lowflameIsBuilt, type Observer, peers, startObserver } from "./observers.js";
import type { BenchOptions, Part } from "./part.js";
import { type Spread, show, spread, table } from "./statistics.js";

interface ProgramRow {
  readonly observer: string;
  readonly program: string;
  readonly runsPerSwitch: Spread;
  readonly nsPerRun: Spread;
}

interface ObserverRow {
  readonly observer: string;
  readonly covers: string;
  /** Over the floor, ns for each context switch of the machine. */
  readonly nsPerSwitch: Spread;
  /** All its programs together over the floor, as a share of one CPU under this load. */
  readonly cpuShare: Spread;
}

export interface EventCost {
  readonly switchesPerSecond: Spread;
  readonly floorNs: Readonly<Record<string, Spread>>;
  readonly observers: readonly ObserverRow[];
  readonly programs: readonly ProgramRow[];
  readonly failures: readonly { readonly name: string; readonly reason: string }[];
}

const NOOP = "no-op programs";

interface Round {
  readonly programs: readonly ProgramRuns[];
  readonly switches: number;
  readonly wallNs: number;
}

async function run(options: BenchOptions): Promise<EventCost> {
  const rounds = options.rounds ?? (options.quick ? 1 : 5);
  const ms = options.quick ? 500 : 2000;
  const { loader, object } = buildObject("noop");
  const noop: Observer = { name: NOOP, covers: "", command: () => [loader, object] };
  const observers: Observer[] = [
    noop,
    ...(lowflameIsBuilt() ? [lowflame("offcpu"), lowflame("cpu"), lowflame("cpu,offcpu")] : []),
    peers.offcputime,
    peers.runqlat,
    peers.bpftraceOffCpu,
    peers.bpftraceProfile,
  ];
  const failures = new Map<string, string>();
  if (!lowflameIsBuilt()) failures.set("lowflame", "not built (npm run build)");
  const results = new Map<string, Round[]>();
  const dir = mkdtempSync(join(tmpdir(), "lowflame-bench-"));
  const statistics = await enableStatistics(loader);
  try {
    for (let round = 0; round < rounds; round++) {
      for (const observer of observers) {
        if (failures.has(observer.name) || (round > 0 && options.stopping())) continue;
        try {
          const result = await measure(observer, dir, ms);
          results.set(observer.name, [...(results.get(observer.name) ?? []), result]);
          options.say(`round ${round + 1}/${rounds} ${observer.name}: ${result.programs.length} programs`);
        } catch (error) {
          failures.set(observer.name, (error as Error).message);
          options.say(`${observer.name} failed: ${(error as Error).message}`);
        }
      }
    }
  } finally {
    await statistics.stop();
    rmSync(dir, { recursive: true, force: true });
  }
  return summarize(observers, results, failures);
}

/** Programs that appeared with the observer and ran while the load ran. */
async function measure(observer: Observer, dir: string, ms: number): Promise<Round> {
  const others = new Set(readPrograms().map((p) => p.id));
  const running = await startObserver(observer, { pids: [], dir });
  try {
    const before = readPrograms();
    const own = new Set(before.map((p) => p.id).filter((id) => !others.has(id)));
    const switchesBefore = contextSwitches();
    const from = process.hrtime.bigint();
    await runProgram("ping-pong", "--ms", String(ms));
    const after = readPrograms();
    const wallNs = Number(process.hrtime.bigint() - from);
    const programs = growth(before, after, own).filter((p) => p.runs > 0);
    if (programs.length === 0)
      throw new Error(`none of its BPF programs ran. ${running.child.stderr.slice(-300)}`);
    return { programs, switches: contextSwitches() - switchesBefore, wallNs };
  } finally {
    await running.stop();
  }
}

function summarize(
  observers: readonly Observer[],
  results: ReadonlyMap<string, Round[]>,
  failures: ReadonlyMap<string, string>,
): EventCost {
  const noopRounds = results.get(NOOP);
  if (!noopRounds) throw new Error(`The no-op programs could not be measured: ${failures.get(NOOP)}`);
  const floorNs: Record<string, Spread> = {};
  for (const name of new Set(noopRounds.flatMap((r) => r.programs.map((p) => p.name))))
    floorNs[name] = spread(perRun(noopRounds, name));
  // The floor of the same round: the machine's speed swings between rounds, and both swing together.
  const floorOf = (p: ProgramRuns, round: number) => {
    const hook = /hrtimer|timer/.test(p.name) ? "noop_hrtimer" : "noop_switch";
    const floor = noopRounds[round] ? perRun([noopRounds[round]], hook)[0] : undefined;
    return floor ?? floorNs[hook]!.median;
  };

  const rows: ObserverRow[] = [];
  const programs: ProgramRow[] = [];
  for (const { name, covers } of observers) {
    const rounds = results.get(name);
    if (!rounds || name === NOOP) continue;
    const overFloor = (r: Round, i: number) =>
      r.programs.reduce((sum, p) => sum + Math.max(0, p.ns - p.runs * floorOf(p, i)), 0);
    rows.push({
      observer: name,
      covers,
      nsPerSwitch: spread(rounds.map((r, i) => overFloor(r, i) / r.switches)),
      cpuShare: spread(rounds.map((r, i) => overFloor(r, i) / r.wallNs)),
    });
    for (const program of new Set(rounds.flatMap((r) => r.programs.map((p) => p.name))))
      programs.push({
        observer: name,
        program,
        runsPerSwitch: spread(rounds.map((r) => sumOf(r, program).runs / r.switches)),
        nsPerRun: spread(perRun(rounds, program)),
      });
  }
  return {
    switchesPerSecond: spread(noopRounds.map((r) => r.switches / (r.wallNs / 1e9))),
    floorNs,
    observers: rows,
    programs,
    failures: [...failures].map(([name, reason]) => ({ name, reason })),
  };
}

function sumOf(round: Round, program: string): { runs: number; ns: number } {
  const same = round.programs.filter((p) => p.name === program);
  return { runs: same.reduce((n, p) => n + p.runs, 0), ns: same.reduce((n, p) => n + p.ns, 0) };
}

function perRun(rounds: readonly Round[], program: string): number[] {
  return rounds
    .map((r) => sumOf(r, program))
    .filter((s) => s.runs > 0)
    .map((s) => s.ns / s.runs);
}

function render(data: EventCost): string {
  const floors = Object.entries(data.floorNs).map(([name, s]) => `${name} ${show(s, 0)}`);
  return [
    `Load: two threads on one CPU hand a byte back and forth, ${show(data.switchesPerSecond, 0)} context switches a second ` +
      `on the machine of ${cpus().length} CPUs. Median (lowest to highest) over interleaved rounds. ` +
      `Floor, ns a run of a program that does nothing: ${floors.join(", ")}.`,
    table(
      ["observer (coverage)", "ns a context switch, over the floor", "of one CPU, under this load"],
      data.observers.map((r) => [
        `${r.observer} (${r.covers})`,
        show(r.nsPerSwitch, 0),
        `${show(r.cpuShare, 2, 100)} %`,
      ]),
    ),
    "Each program, floor included:",
    table(
      ["observer, program", "runs a context switch", "ns a run"],
      data.programs.map((p) => [
        `${p.observer}, \`${p.program}\``,
        show(p.runsPerSwitch, 3),
        show(p.nsPerRun, 0),
      ]),
    ),
    ...data.failures.map((f) => `Not measured: ${f.name} (${f.reason.split("\n")[0]}).`),
  ].join("\n\n");
}

export const eventCost: Part<EventCost> = { name: "event-cost", run, render };
