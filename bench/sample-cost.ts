// Cost of one CPU sample on busy CPUs, at 9,999 Hz so that there are many. Two figures:
// - the whole sample: how long the sampling timer's interrupt keeps the CPU (sample.bpf.c), the kernel's own work for the
//   perf event and the BPF programs that run at it together. perf alone shows what the first part is.
// - of it in BPF: the kernel's statistics of the tool's programs at the timer, over a program that does nothing on the
//   same hook, a sample. lf_cpu_timer runs for every timer of the machine: what it takes to turn away those of others is
//   charged to the samples as well.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Child } from "../test/support/children.js";
import { runProgram } from "../test/support/programs.js";
import { buildObject, enableStatistics, growth, readPrograms } from "./bpf-statistics.js";
import { lowflameIsBuilt, lowflameRecord, type Observer, startObserver } from "./observers.js";
import type { BenchOptions, Part } from "./part.js";
import { type Spread, show, spread, table } from "./statistics.js";

const FREQUENCY = 9_999;
const CPUS = cpus().length;

interface Load {
  readonly name: string;
  run(ms: number): Promise<unknown>;
}
const LOADS: readonly Load[] = [
  {
    name: "in user code (known-cpu)",
    run: (ms) => runProgram("known-cpu", "--threads", String(CPUS), "--ms", String(ms)),
  },
  {
    name: "in the kernel, mostly (page-fault)",
    run: (ms) =>
      Promise.all(Array.from({ length: CPUS }, () => runProgram("page-fault", "--ms", String(ms)))),
  },
];

interface Row {
  readonly observer: string;
  readonly load: string;
  /** Interrupt to end of the timer, ns; two clock reads of the measurement included. */
  readonly wholeNs: Spread;
  /** In BPF programs over the floor, ns a sample. */
  readonly bpfNs: Spread;
  /** Runs of BPF programs at timers a sample: over 1, timers of others were turned away. */
  readonly runsPerSample: Spread;
}

export interface SampleCost {
  readonly floorNs: Spread;
  readonly rows: readonly Row[];
  readonly failures: readonly string[];
}

interface Round {
  readonly samples: number;
  readonly wholeNs: number;
  readonly runs: number;
  readonly programNs: number;
}

const perf = (name: string, ...more: string[]): Observer => ({
  name,
  covers: "",
  command: ({ dir }) =>
    ["perf", "record", "-e", "cpu-clock", "-F", String(FREQUENCY), "-a", ...more].concat(
      "-o",
      join(dir, "p"),
    ),
});
const OBSERVERS: readonly Observer[] = [
  perf("perf record, no stacks"),
  perf("perf record -g"),
  {
    name: "bpftrace profile, kernel and user stack",
    covers: "",
    command: () => ["bpftrace", "-e", `profile:hz:${FREQUENCY} { @[kstack, ustack, comm] = count(); }`],
  },
];
const lowflameAt = (name: string): Observer => ({
  name,
  covers: "",
  command: ({ dir }) => [...lowflameRecord("cpu", join(dir, "out.lowflame")), "-F", String(FREQUENCY)],
});

async function run(options: BenchOptions): Promise<SampleCost> {
  const rounds = options.rounds ?? (options.quick ? 1 : 5);
  const ms = options.quick ? 400 : 2000;
  const { loader, object } = buildObject("sample");
  const noop = buildObject("noop").object;
  const observers = [...(lowflameIsBuilt() ? [lowflameAt("lowflame --what cpu")] : []), ...OBSERVERS];
  const failures = new Map<string, string>();
  const results = new Map<string, Round[]>();
  const floors: number[] = [];
  const dir = mkdtempSync(join(tmpdir(), "lowflame-bench-"));
  const statistics = await enableStatistics(loader);
  try {
    for (let round = 0; round < rounds && !(round > 0 && options.stopping()); round++) {
      floors.push(await measureFloor([loader, noop], ms));
      for (const observer of observers) {
        if (failures.has(observer.name)) continue;
        try {
          for (const [load, result] of await measure([loader, object], observer, dir, ms)) {
            const key = `${observer.name}\n${load}`;
            results.set(key, [...(results.get(key) ?? []), result]);
            options.say(`round ${round + 1}/${rounds} ${observer.name}, ${load}: ${result.samples} samples`);
          }
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
  return {
    floorNs: spread(floors),
    rows: [...results].map(([key, list]) => {
      const [observer, load] = key.split("\n") as [string, string];
      return {
        observer,
        load,
        wholeNs: spread(list.map((r) => r.wholeNs / r.samples)),
        bpfNs: spread(list.map((r, i) => Math.max(0, r.programNs - r.runs * floors[i]!) / r.samples)),
        runsPerSample: spread(list.map((r) => r.runs / r.samples)),
      };
    }),
    failures: [...failures].map(([name, reason]) => `${name} (${reason})`),
  };
}

/** What the statistics show for a program that does nothing at timers, ns a run. */
async function measureFloor(command: readonly string[], ms: number): Promise<number> {
  const child = Child.start(command);
  try {
    await child.until(() => child.stdout.includes("\n"), 10_000, "attached programs");
    const before = readPrograms();
    await LOADS[0]!.run(ms);
    const ids = new Set(before.filter((p) => p.name === "noop_hrtimer").map((p) => p.id));
    const [noop] = growth(before, readPrograms(), ids);
    if (!noop?.runs) throw new Error("the no-op program at timers did not run");
    return noop.ns / noop.runs;
  } finally {
    await child.stop();
  }
}

/** Each load under one observer. */
async function measure(
  timer: readonly string[],
  observer: Observer,
  dir: string,
  ms: number,
): Promise<Map<string, Round>> {
  const rounds = new Map<string, Round>();
  // first, so that it runs before the observer's programs at each timer
  const clock = Child.start(timer);
  try {
    await clock.until(() => clock.stdout.includes("\n"), 10_000, "attached programs");
    const quiet = readTimer();
    await sleep(200);
    if (readTimer().samples !== quiet.samples)
      throw new Error("something else on this machine samples by cpu-clock: its samples would be counted");
    const others = new Set(readPrograms().map((p) => p.id));
    const running = await startObserver(observer, { pids: [], dir });
    try {
      for (const load of LOADS) {
        const programsBefore = readPrograms();
        const own = new Set(programsBefore.map((p) => p.id).filter((id) => !others.has(id)));
        const before = readTimer();
        await load.run(ms);
        const after = readTimer();
        const programs = growth(programsBefore, readPrograms(), own).filter((p) => !/exec/.test(p.name));
        const samples = after.samples - before.samples;
        if (samples === 0) throw new Error("no sampling timer ran");
        rounds.set(load.name, {
          samples,
          wholeNs: after.ns - before.ns,
          runs: programs.reduce((sum, p) => sum + p.runs, 0),
          programNs: programs.reduce((sum, p) => sum + p.ns, 0),
        });
      }
    } finally {
      await running.stop();
    }
  } finally {
    await clock.stop();
  }
  return rounds;
}

/** Sums of all CPUs from the map of sample.bpf.o. */
function readTimer(): { samples: number; ns: number } {
  const text = execFileSync("bpftool", ["-j", "map", "dump", "name", "sample.bss"], { encoding: "utf8" });
  type Sums = { ns: number; samples: number }[];
  const find = (value: unknown): Sums | undefined => {
    if (typeof value !== "object" || value === null) return undefined;
    if ("cpu_sums" in value) return value.cpu_sums as Sums;
    for (const inner of Object.values(value)) {
      const found = find(inner);
      if (found) return found;
    }
    return undefined;
  };
  const sums = find(JSON.parse(text));
  if (!sums) throw new Error(`bpftool shows no sums: ${text.slice(0, 200)}`);
  return {
    samples: sums.reduce((n, s) => n + s.samples, 0),
    ns: sums.reduce((n, s) => n + s.ns, 0),
  };
}

function render(data: SampleCost): string {
  return [
    `Load: all ${CPUS} CPUs busy; sampled at ${FREQUENCY} Hz a CPU. Median (lowest to highest) over interleaved rounds. ` +
      `Floor, ns a run of a program that does nothing at timers: ${show(data.floorNs, 0)}.`,
    table(
      [
        "observer, where the CPU was",
        "ns a sample, all in all",
        "of it in BPF, over the floor",
        "BPF runs a sample",
      ],
      data.rows.map((r) => [
        `${r.observer}, ${r.load}`,
        show(r.wholeNs, 0),
        show(r.bpfNs, 0),
        show(r.runsPerSample, 2),
      ]),
    ),
    ...data.failures.map((f) => `Not measured: ${f}.`),
  ].join("\n\n");
}

export const sampleCost: Part<SampleCost> = { name: "sample-cost", run, render };
