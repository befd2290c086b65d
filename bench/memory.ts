// Memory of `lowflame record --what cpu,offcpu` during a recording of nginx under load, looked at every second: resident
// anonymous memory of the process, and the kernel memory of its BPF maps and rings.
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { kernelMemory, residentBytes } from "../test/support/proc.js";
import { startNginxProxy } from "../test/support/servers.js";
import { startWrk } from "../test/support/wrk.js";
import { lowflameIsBuilt, lowflameRecord, startObserver } from "./observers.js";
import type { BenchOptions, Part } from "./part.js";
import { show, spread, table } from "./statistics.js";

const MIB = 2 ** 20;

interface Reading {
  readonly atMs: number;
  readonly anonymousBytes: number;
  readonly mapBytes: number;
  readonly perfRingBytes: number;
}

export interface Memory {
  readonly seconds: number;
  readonly onlineCpus: number;
  readonly readings: readonly Reading[];
  readonly failure?: string;
}

async function run(options: BenchOptions): Promise<Memory> {
  const seconds = options.quick ? 10 : 60;
  if (!lowflameIsBuilt())
    return {
      seconds,
      onlineCpus: cpus().length,
      readings: [],
      failure: "lowflame is not built (npm run build)",
    };
  const readings: Reading[] = [];
  let failure: string | undefined;
  const dir = mkdtempSync(join(tmpdir(), "lowflame-bench-"));
  const nginx = await startNginxProxy();
  const load = startWrk(nginx.url, { seconds: seconds + 10, connections: 32 });
  try {
    const recorder = {
      name: "lowflame",
      covers: "",
      command: () => lowflameRecord("cpu,offcpu", join(dir, "out.lowflame"), seconds),
    };
    const running = await startObserver(recorder, { pids: [], dir });
    const from = Date.now();
    try {
      // Until it ends by itself: writing the capture at the end counts as well.
      while (running.child.running && !options.stopping() && Date.now() - from < (seconds + 30) * 1000) {
        try {
          const { mapBytes, perfRingBytes } = kernelMemory(running.child.pid);
          const { anonymous } = residentBytes(running.child.pid);
          readings.push({ atMs: Date.now() - from, anonymousBytes: anonymous, mapBytes, perfRingBytes });
        } catch {
          break; // ended between two looks
        }
        if (readings.length % 10 === 0)
          options.say(`${readings.length} s: ${(readings.at(-1)!.anonymousBytes / MIB).toFixed(0)} MiB`);
        await sleep(1000);
      }
      const lasted = Math.round((Date.now() - from) / 1000);
      if (lasted < seconds - 2 && !options.stopping())
        failure = `the recording ended after ${lasted} s of ${seconds}: ${running.child.stderr.trim().slice(-300)}`;
    } finally {
      await running.stop();
    }
  } finally {
    await load.stop();
    await nginx.stop();
    rmSync(dir, { recursive: true, force: true });
  }
  return { seconds, onlineCpus: cpus().length, readings, ...(failure === undefined ? {} : { failure }) };
}

function render(data: Memory): string {
  if (data.failure || data.readings.length === 0)
    return `Not measured: ${data.failure?.split("\n")[0] ?? "no readings"}.`;
  const anonymous = spread(data.readings.map((r) => r.anonymousBytes));
  const kernel = spread(data.readings.map((r) => r.mapBytes + r.perfRingBytes));
  const limit = 8 + 2 * data.onlineCpus;
  return [
    `One recording of ${data.seconds} s, \`--what cpu,offcpu\`, nginx under load; ${data.readings.length} readings, ` +
      "one a second. Median (lowest to highest).",
    table(
      ["", "MiB", "limit"],
      [
        ["resident anonymous memory of the process", show(anonymous, 1, 1 / MIB), "150 at any time"],
        [
          `BPF maps and rings, ${data.onlineCpus} CPUs`,
          show(kernel, 1, 1 / MIB),
          `${limit} (8 + 2 for each CPU)`,
        ],
      ],
    ),
  ].join("\n\n");
}

export const memory: Part<Memory> = { name: "memory", run, render };
