// The same samples by perf's DWARF mode, which copies stacks and walks them later: bytes and CPU time on nginx under load.
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "../test/support/children.js";
import { endedChildrenCpuNs } from "../test/support/proc.js";
import { startNginxProxy } from "../test/support/servers.js";
import { startWrk } from "../test/support/wrk.js";
import { lowflameRecord, type Observer, startObserver } from "./observers.js";

export interface RecordingCost {
  readonly bytesPerSecond: number;
  /** CPU time of the tool's own processes, in cores: to record, and until stacks can be read. */
  readonly recordCpu: number;
  readonly readCpu: number;
  /** To begin and to end. */
  readonly onceNs: number;
}
/** Of one recording. */
interface OneCost {
  readonly bytes: number;
  readonly recordNs: number;
  readonly readNs: number;
}

/** At 99 Hz neither takes two percent of a core, and the machine's noise is more. */
const HZ = "1999";

interface Tool {
  readonly name: string;
  readonly file: string;
  record(output: string): readonly string[];
  /** Prints all stacks. */
  read(output: string): readonly string[];
}
const perf = (bytes: number): Tool => ({
  name: `perf record --call-graph dwarf,${bytes}`,
  file: "perf.data",
  record: (output) =>
    ["perf", "record", "-q", "-a", "-F", HZ, "-e", "cpu-clock"].concat([
      "--call-graph",
      `dwarf,${bytes}`,
      "-o",
      output,
    ]),
  read: (output) => ["perf", "script", "--no-inline", "-i", output],
});
export const TOOLS: readonly Tool[] = [
  {
    name: "lowflame record --what cpu",
    file: "out.lowflame",
    record: (output) => [...lowflameRecord("cpu", output), "-F", HZ],
    read: (output) => [
      process.execPath,
      "dist/cli/main.js",
      "report",
      output,
      "-q",
      "-o",
      `${output}.folded`,
    ],
  },
  perf(8192),
  perf(16_384),
];

/** @param lengths of a short recording and a long one, s: their difference is what a second takes */
export async function recordNginx(tool: Tool, lengths: readonly [number, number]): Promise<RecordingCost> {
  const [less, more] = [await recordOnce(tool, lengths[0]), await recordOnce(tool, lengths[1])];
  const seconds = lengths[1] - lengths[0];
  const recordCpu = (more.recordNs - less.recordNs) / seconds / 1e9;
  return {
    bytesPerSecond: (more.bytes - less.bytes) / seconds,
    recordCpu,
    readCpu: (more.readNs - less.readNs) / seconds / 1e9,
    onceNs: less.recordNs - recordCpu * lengths[0] * 1e9,
  };
}

async function recordOnce(tool: Tool, seconds: number): Promise<OneCost> {
  const dir = mkdtempSync(join(tmpdir(), "lowflame-bench-"));
  const output = join(dir, tool.file);
  const nginx = await startNginxProxy();
  const load = startWrk(nginx.url, { seconds: 600 });
  try {
    const observer: Observer = { name: tool.name, covers: "", command: () => tool.record(output) };
    const before = endedChildrenCpuNs();
    const running = await startObserver(observer, { pids: [], dir });
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    await running.stop();
    const recorded = endedChildrenCpuNs();
    const reader = Child.start(["sh", "-c", '"$@" >/dev/null', "sh", ...tool.read(output)]);
    const { code } = await reader.exited;
    if (code !== 0)
      throw new Error(`${tool.name}: its output could not be read: ${reader.stderr.trim().slice(-200)}`);
    return {
      bytes: statSync(output).size,
      recordNs: recorded - before,
      readNs: endedChildrenCpuNs() - recorded,
    };
  } finally {
    await load.stop();
    await nginx.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}
