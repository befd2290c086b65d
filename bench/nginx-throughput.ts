// What an observer costs a proxy's throughput, in short slices of one load that never stops: a slice with the observer
// between two without it, many times over, observers interleaved. Requests are counted by nginx itself. An observer that
// does nothing is measured in the same way: its figure is the error of the method.
import { mkdtempSync, rmSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startNginxProxy } from "../test/support/servers.js";
import { startWrk } from "../test/support/wrk.js";
import { lowflame, lowflameIsBuilt, type Observer, peers, startObserver } from "./observers.js";
import type { BenchOptions, Part } from "./part.js";
import { type Estimate, estimate, table } from "./statistics.js";

const CONNECTIONS = 32;
const SLICE_S = 2;

interface Row {
  readonly name: string;
  /** Share of throughput lost, 0..1. */
  readonly lost: Estimate;
  /** The observer's own CPU time in its slices, as a share of one core. */
  readonly ownCpu: Estimate;
}

export interface NginxThroughput {
  readonly sliceSeconds: number;
  readonly connections: number;
  readonly requestsPerSecond: number;
  readonly rows: readonly Row[];
  readonly failures: readonly string[];
}

interface Measured {
  readonly observer: Observer;
  readonly lost: number[];
  readonly ownCpu: number[];
}

const nothing: Observer = { name: "nothing", covers: "", command: () => ["sleep", "3600"], idle: true };

async function run(options: BenchOptions): Promise<NginxThroughput> {
  const rounds = options.rounds ?? (options.quick ? 2 : 40);
  const observers = lowflameIsBuilt()
    ? [nothing, lowflame("cpu"), lowflame("cpu,offcpu"), peers.perfRecord]
    : [nothing, peers.perfRecord];
  const measured: Measured[] = observers.map((observer) => ({ observer, lost: [], ownCpu: [] }));
  const failures = new Set<string>();
  const baseline: number[] = [];
  const dir = mkdtempSync(join(tmpdir(), "lowflame-bench-"));
  const nginx = await startNginxProxy();
  const load = startWrk(nginx.url, { seconds: 36_000, connections: CONNECTIONS });
  try {
    await sleep(2000); // warm
    let before = await slice(nginx.url);
    for (let round = 0; round < rounds && !options.stopping(); round++) {
      for (let i = 0; i < measured.length && !options.stopping(); i++) {
        const { observer, lost, ownCpu } = measured[(i + round) % measured.length]!;
        try {
          const running = await startObserver(observer, { pids: nginx.pids(), dir });
          const cpu = running.cpuNs();
          const during = await slice(nginx.url);
          ownCpu.push((running.cpuNs() - cpu) / (SLICE_S * 1e9));
          await running.stop();
          await sleep(200);
          const after = await slice(nginx.url);
          lost.push(1 - during / ((before + after) / 2));
          baseline.push(after);
          before = after;
        } catch (error) {
          failures.add(`${observer.name}: ${(error as Error).message.split("\n")[0]}`);
        }
      }
      const soFar = measured
        .filter((m) => m.lost.length > 1)
        .map(({ observer, lost }) => `${observer.name} ${percent(estimate(lost), 1)}`);
      options.say(`round ${round + 1}/${rounds}: ${soFar.join("; ")}`);
    }
  } finally {
    await load.stop("SIGKILL");
    await nginx.stop();
    rmSync(dir, { recursive: true, force: true });
  }
  return {
    sliceSeconds: SLICE_S,
    connections: CONNECTIONS,
    requestsPerSecond: estimate(baseline).mean,
    rows: measured
      .filter((m) => m.lost.length > 1)
      .map((m) => ({ name: m.observer.name, lost: estimate(m.lost), ownCpu: estimate(m.ownCpu) })),
    failures: [...failures],
  };
}

/** Requests a second that nginx counted over one slice. */
async function slice(url: string): Promise<number> {
  const first = await requests(url);
  await sleep(SLICE_S * 1000);
  const last = await requests(url);
  return (last.count - first.count) / (last.seconds - first.seconds);
}

/** nginx's count of requests (third number of stub_status), and when it was read. */
function requests(url: string): Promise<{ count: number; seconds: number }> {
  return new Promise((resolve, reject) => {
    const request = get(`${url}status`, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (part: string) => (text += part));
      answer.on("end", () => {
        const numbers = /\s(\d+) (\d+) (\d+)\s/.exec(text);
        if (!numbers) return reject(new Error(`nginx gave no status: ${text.slice(0, 200)}`));
        resolve({ count: Number(numbers[3]), seconds: performance.now() / 1000 });
      });
    });
    request.on("error", reject);
  });
}

function percent({ mean, halfWidth95 }: Estimate, digits: number): string {
  return `${(mean * 100).toFixed(digits)} ± ${(halfWidth95 * 100).toFixed(digits)} %`;
}

function render(data: NginxThroughput): string {
  const rows = data.rows.map((r) => [
    r.name,
    percent(r.lost, 1),
    percent(r.ownCpu, 1),
    String(r.lost.count),
  ]);
  return [
    `nginx (2 workers) proxying to nginx (1 worker) over kept-alive connections, one wrk with ${data.connections} ` +
      `connections throughout (${data.requestsPerSecond.toFixed(0)} requests/s undisturbed). Slices of ` +
      `${data.sliceSeconds} s, each between two without an observer, observers interleaved. Mean without the lowest and ` +
      "highest tenth, with its 95 % confidence interval. `nothing` is a process that sleeps: the error of the method.",
    table(["observer", "throughput lost", "its own CPU, of one core", "slices"], rows),
    ...data.failures.map((f) => `Not measured: ${f}.`),
  ].join("\n\n");
}

export const nginxThroughput: Part<NginxThroughput> = { name: "nginx-throughput", run, render };
