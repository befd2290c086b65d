// What each observer costs a proxy: nginx in front of nginx over kept-alive connections, under wrk. Each measurement has
// an undisturbed one right before and right after it, and is compared with their mean: a machine that drifts, drifts
// for both. All rounds visit all observers, each round in another order.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startNginxProxy } from "../test/support/servers.js";
import { runWrk, type WrkResult } from "../test/support/wrk.js";
import { lowflame, lowflameIsBuilt, type Observer, peers, startObserver } from "./observers.js";
import type { BenchOptions, Part } from "./part.js";
import { type Spread, show, spread, table } from "./statistics.js";

const CONNECTIONS = 32;
/**
 * A measurement whose undisturbed neighbours differ by more than this share is thrown away and taken again: something else
 * was using the machine. The rule looks at the neighbours alone, never at the measurement itself.
 */
const DRIFT_LIMIT = 0.08;
const ATTEMPTS = 4;
/** Length of one measurement: short, so that its neighbours are near. */
const SECONDS = 4;

interface Row {
  readonly name: string;
  readonly covers: string;
  /** Share of throughput lost, 0..1; below 0 is noise. */
  readonly throughputLost: Spread;
  /** p99 with / without. */
  readonly p99Ratio: Spread;
  /** Observer's own CPU time during the load, as a share of one core. */
  readonly ownCpu: Spread;
}

interface Failure {
  readonly name: string;
  readonly reason: string;
}

export interface NginxOverhead {
  readonly secondsEach: number;
  readonly connections: number;
  readonly baseline: { readonly requestsPerSecond: Spread; readonly p99Ns: Spread };
  /** How far two neighbouring undisturbed measurements are apart (share): the noise that a figure must beat. */
  readonly baselineNoise: Spread;
  /** Measurements thrown away because their neighbours differed too much. */
  readonly discarded: number;
  readonly rows: readonly Row[];
  readonly failures: readonly Failure[];
}

interface Measured {
  readonly throughputLost: number[];
  readonly p99Ratio: number[];
  readonly ownCpu: number[];
}

async function run(options: BenchOptions): Promise<NginxOverhead> {
  const rounds = options.rounds ?? (options.quick ? 1 : 5);
  const seconds = options.quick ? 2 : SECONDS;
  const observers: Observer[] = [
    ...(lowflameIsBuilt()
      ? [lowflame("cpu"), lowflame("cpu,offcpu"), lowflame("cpu,offcpu,locks,futex,sockets")]
      : []),
    peers.perfRecord,
    peers.bpftraceProfile,
    peers.offcputime,
    peers.syscount,
    peers.bpftraceCalls,
    peers.bpftraceEverything,
    peers.perfTrace,
    peers.strace,
  ];
  const failures = new Map<string, string>();
  if (!lowflameIsBuilt()) failures.set("lowflame", "not built (npm run build)");
  const measured = new Map<string, Measured>();
  const baselines: WrkResult[] = [];
  const noise: number[] = [];
  let discarded = 0;
  const dir = mkdtempSync(join(tmpdir(), "lowflame-bench-"));
  const nginx = await startNginxProxy();
  const load = () => runWrk(nginx.url, { seconds, connections: CONNECTIONS });
  try {
    await runWrk(nginx.url, { seconds: 1, connections: CONNECTIONS }); // warm
    for (let round = 0; round < rounds && !options.stopping(); round++) {
      let before = await load();
      baselines.push(before);
      for (let i = 0; i < observers.length; i++) {
        const observer = observers[(i + round) % observers.length]!;
        for (
          let attempt = 0;
          attempt < ATTEMPTS && !failures.has(observer.name) && !options.stopping();
          attempt++
        ) {
          try {
            const { during, ownCpu } = await observed(observer, { pids: nginx.pids(), dir }, load, seconds);
            const after = await load();
            const drift = Math.abs(after.requestsPerSecond / before.requestsPerSecond - 1);
            const bracket = { before, during, after, ownCpu };
            before = after;
            if (drift > DRIFT_LIMIT) {
              discarded++;
              options.say(`${observer.name}: discarded, neighbours differ by ${(drift * 100).toFixed(0)} %`);
              continue;
            }
            baselines.push(after);
            noise.push(drift);
            const m = measured.get(observer.name) ?? { throughputLost: [], p99Ratio: [], ownCpu: [] };
            measured.set(observer.name, m);
            const lost = add(m, bracket);
            options.say(`round ${round + 1}/${rounds} ${observer.name}: ${(lost * 100).toFixed(1)} % lost`);
            break;
          } catch (error) {
            failures.set(observer.name, (error as Error).message);
            options.say(`${observer.name} failed: ${(error as Error).message}`);
          }
        }
      }
    }
  } finally {
    await nginx.stop();
    rmSync(dir, { recursive: true, force: true });
  }
  for (const { name } of observers)
    if (!measured.has(name) && !failures.has(name))
      failures.set(name, "the machine was too busy with something else");
  return {
    secondsEach: seconds,
    connections: CONNECTIONS,
    baseline: {
      requestsPerSecond: spread(baselines.map((b) => b.requestsPerSecond)),
      p99Ns: spread(baselines.map((b) => b.p99Ns)),
    },
    discarded,
    baselineNoise: spread(noise.length ? noise : [0]),
    rows: observers
      .filter((o) => measured.has(o.name))
      .map(({ name, covers }) => {
        const m = measured.get(name)!;
        return {
          name,
          covers,
          throughputLost: spread(m.throughputLost),
          p99Ratio: spread(m.p99Ratio),
          ownCpu: spread(m.ownCpu),
        };
      }),
    failures: [...failures].map(([name, reason]) => ({ name, reason })),
  };
}

/** Adds one measurement with its neighbours; gives the share of throughput lost. */
function add(
  m: Measured,
  b: { before: WrkResult; during: WrkResult; after: WrkResult; ownCpu: number },
): number {
  const lost =
    1 - b.during.requestsPerSecond / ((b.before.requestsPerSecond + b.after.requestsPerSecond) / 2);
  m.throughputLost.push(lost);
  m.p99Ratio.push(b.during.p99Ns / ((b.before.p99Ns + b.after.p99Ns) / 2));
  m.ownCpu.push(b.ownCpu);
  return lost;
}

/** One load with the observer attached from before its start until after its end. */
async function observed(
  observer: Observer,
  target: { pids: readonly number[]; dir: string },
  load: () => Promise<WrkResult>,
  seconds: number,
): Promise<{ during: WrkResult; ownCpu: number }> {
  const running = await startObserver(observer, target);
  try {
    const cpuBefore = running.cpuNs();
    const during = await load();
    const ownCpu = (running.cpuNs() - cpuBefore) / (seconds * 1e9);
    if (!running.child.running)
      throw new Error(`${observer.name} ended during the load: ${running.child.stderr.trim().slice(-300)}`);
    return { during, ownCpu };
  } finally {
    await running.stop();
  }
}

function render(data: NginxOverhead): string {
  const { requestsPerSecond, p99Ns } = data.baseline;
  const rows = data.rows.map((r) => [
    `${r.name} (${r.covers})`,
    `${show(r.throughputLost, 1, 100)} %`,
    show(r.p99Ratio, 2),
    `${show(r.ownCpu, 1, 100)} %`,
    String(r.throughputLost.rounds),
  ]);
  const notes = data.failures.map((f) => `Not measured: ${f.name} (${f.reason.split("\n")[0]}).`);
  return [
    `nginx (2 workers) proxying to nginx (1 worker) over kept-alive connections, wrk with ${data.connections} ` +
      `connections for ${data.secondsEach} s a measurement, interleaved rounds. ` +
      "Median (lowest to highest). Each figure is relative to undisturbed measurements right before and after it; " +
      `two such neighbours differ by ${show(data.baselineNoise, 1, 100)} %; ${data.discarded} measurements whose ` +
      `neighbours differed by more than ${DRIFT_LIMIT * 100} % were thrown away and taken again.`,
    table(
      ["observer (coverage)", "throughput lost", "p99, with / without", "its own CPU, of one core", "rounds"],
      rows,
    ),
    `Absolute, this machine only: undisturbed ${show(requestsPerSecond, 0)} requests/s, p99 ${show(p99Ns, 2, 1e-6)} ms.`,
    ...notes,
  ].join("\n\n");
}

export const nginxOverhead: Part<NginxOverhead> = { name: "nginx-overhead", run, render };
