// What lowflame costs a proxy's throughput, in half-second slices of one load and one recording that never stop: the
// recording is paused (its process stopped, its programs told to return at once) and resumed, many hundred times. nginx
// itself counts the requests. A process that only sleeps is paused in the same way: its figure is the error of the method.
import { mkdtempSync, rmSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startNginxProxy } from "../test/support/servers.js";
import { startWrk } from "../test/support/wrk.js";
import {
  lowflame,
  lowflameIsBuilt,
  type Observer,
  peers,
  type RunningObserver,
  startObserver,
} from "./observers.js";
import type { BenchOptions, Part } from "./part.js";
import { Pause, SETTLE_MS } from "./pause.js";
import { type Estimate, estimate, table } from "./statistics.js";

const WHAT = ["cpu", "cpu,offcpu", "cpu,offcpu,locks,futex", "cpu,offcpu,locks,futex,sockets"];
const CONNECTIONS = 32;
const SLICE_S = 0.5;
/** Slices of one observer before the next one has its turn. */
const PAIRS_A_TURN = 40;
/** What a recording does once (names of the first frames) is not part of its running cost, ms. */
const WARM_MS = 5000;

interface Row {
  readonly name: string;
  /** Share of throughput lost, 0..1. */
  readonly lost: Estimate;
  /** The observer's own CPU time while it is not paused, as a share of one core. */
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

const nothing: Observer = {
  name: "nothing",
  covers: "",
  command: () => ["sleep", "3600"],
  idle: true,
};

async function run(options: BenchOptions): Promise<NginxThroughput> {
  const rounds = options.rounds ?? (options.quick ? 1 : 4);
  const failures = new Set<string>();
  if (!lowflameIsBuilt()) failures.add("lowflame: not built (npm run build)");
  const observers = lowflameIsBuilt()
    ? [
        nothing,
        ...WHAT.map((what) => lowflame(what)),
        lowflame("cpu", "--user-stacks", "frame-pointers"),
        peers.bpftraceEverything,
      ]
    : [nothing, peers.bpftraceEverything];
  const measured: Measured[] = observers.map((observer) => ({ observer, lost: [], ownCpu: [] }));
  const baseline: number[] = [];
  const dir = mkdtempSync(join(tmpdir(), "lowflame-bench-"));
  const nginx = await startNginxProxy();
  const load = startWrk(nginx.url, { seconds: 36_000, connections: CONNECTIONS });
  try {
    for (let turn = 0; turn < rounds * measured.length && !options.stopping(); turn++) {
      const { observer, lost, ownCpu } = measured[turn % measured.length]!;
      let running: RunningObserver | undefined;
      try {
        running = await startObserver(observer, { pids: nginx.pids(), dir });
        await sleep(WARM_MS);
        const pause = new Pause(running, observer);
        pause.on();
        await sleep(SETTLE_MS);
        let before = await slice(nginx.url);
        for (let pair = 0; pair < PAIRS_A_TURN && !options.stopping(); pair++) {
          pause.off();
          await sleep(SETTLE_MS);
          const cpu = running.cpuNs();
          const during = await slice(nginx.url);
          ownCpu.push((running.cpuNs() - cpu) / (SLICE_S * 1e9));
          pause.on();
          await sleep(SETTLE_MS);
          const after = await slice(nginx.url);
          lost.push(1 - during / ((before + after) / 2));
          baseline.push(after);
          before = after;
        }
        pause.off();
        options.say(`${observer.name}: ${percent(estimate(lost), 1)} lost so far`);
      } catch (error) {
        failures.add(`${observer.name}: ${(error as Error).message.split("\n")[0]}`);
      } finally {
        await running?.stop();
      }
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
  const rows = data.rows.map((r) => [r.name, percent(r.lost, 1), percent(r.ownCpu, 1), String(r.lost.count)]);
  return [
    `nginx (2 workers) proxying to nginx (1 worker) over kept-alive connections, one wrk with ${data.connections} ` +
      `connections throughout (${data.requestsPerSecond.toFixed(0)} requests/s while paused). Slices of ` +
      `${data.sliceSeconds} s, each between two in which the recording is paused. Mean without the lowest and highest ` +
      "tenth, with its 95 % confidence interval. `nothing` is a process that sleeps, paused in the same way: the error of " +
      "the method. Paused programs still return at once: those bare hooks are the floor in the next section.",
    table(["observer", "throughput lost", "its own CPU, of one core", "slices"], rows),
    ...data.failures.map((f) => `Not measured: ${f}.`),
  ].join("\n\n");
}

export const nginxThroughput: Part<NginxThroughput> = { name: "nginx-throughput", run, render };
