// What walks of user stacks cost in the kernel, by tables and by frame pointers: the program that takes user halves at the
// sampling timer, by the kernel's statistics, over the samples of the recording. All but the walk is the same in both.
import { cpus } from "node:os";
import { hertz } from "../src/model/units.js";
import { startProgram } from "../test/support/programs.js";
import { RawStacks } from "../test/support/raw-stacks.js";
import { recordEvents, sleep, sum } from "../test/support/record.js";
import { startNginxProxy } from "../test/support/servers.js";
import { startWrk } from "../test/support/wrk.js";
import { readPrograms } from "./bpf-statistics.js";

export interface Walks {
  /** In the program, ns a sample. */
  readonly ns: number;
  /** Of the load's samples, mean. */
  readonly frames: number;
}
export type How = "tables" | "frame pointers";

/** Mean cost of a sample while `load` runs, and how deep the stacks of `pids` were found. */
async function measure(
  how: How,
  frequencyHz: number,
  ms: number,
  pids: () => readonly number[],
): Promise<Walks> {
  const raw = new RawStacks();
  let own: readonly number[] = [];
  let programNs = 0;
  const others = new Set(readPrograms().map((p) => p.id));
  const { final } = await recordEvents(
    { frequencyHz: hertz(frequencyHz), sources: ["cpu"], unwind: how === "tables" },
    async () => {
      await sleep(ms);
      own = pids();
      programNs = sum(
        readPrograms().filter((p) => p.name === "lf_cpu_timer" && !others.has(p.id)),
        (p) => p.ns,
      );
    },
    (event) => event.type === "batch" && raw.add(event.batch),
  );
  const stacks = raw.of(own);
  const samples = sum(final.samplesPerCpu, (row) => row.received);
  if (!programNs || !stacks.length) throw new Error("the recording saw nothing of the load");
  return { ns: programNs / samples, frames: sum(stacks, (s) => s.frames.length) / stacks.length };
}

/** All CPUs busy at the bottom of `depth` calls, sampled so often that caches stay warm. */
export async function walkDeep(how: How, depth: number, ms: number): Promise<Walks> {
  const args = ["--depth", String(depth), "--ms", "600000", "--threads", String(cpus().length)];
  const program = await startProgram("deep-calls", { args });
  try {
    return await measure(how, 9_999, ms, () => [program.pid]);
  } finally {
    await program.stop();
  }
}

/** nginx as a proxy, sampled so seldom that each walk finds cold caches. */
export async function walkNginx(how: How, ms: number): Promise<Walks> {
  const nginx = await startNginxProxy();
  const load = startWrk(nginx.url, { seconds: 600 });
  try {
    return await measure(how, 199, ms, () => nginx.pids());
  } finally {
    await load.stop();
    await nginx.stop();
  }
}
