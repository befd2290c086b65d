// perf record as the yardstick for CPU samples: its ring buffer sees time inside BPF programs. Runs it beside whatever a
// test does, then counts samples by CPU, by process and under frames of a given kind. Wants root and linux-perf.
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "./children.js";

export interface PerfSample {
  readonly comm: string;
  readonly pid: number;
  readonly tid: number;
  readonly cpu: number;
  /** CLOCK_MONOTONIC, ns (perf is told to use that clock). */
  readonly timeNs: number;
  /** Symbols, leaf first, kernel then user. */
  readonly frames: readonly string[];
  /** Files that those of user space are in, which are the last so many. */
  readonly userFiles: readonly string[];
  /** Their places there: perf prints file offsets, where it knows the file. */
  readonly userOffsets: readonly number[];
}

export interface PerfSummary {
  readonly samples: number;
  /** Samples that are not of the idle task. */
  readonly busy: number;
  /** Busy samples with a `bpf_prog_…` frame anywhere in the stack. */
  readonly inBpf: number;
  /** inBpf / busy. */
  readonly bpfShare: number;
  readonly busyByCpu: ReadonlyMap<number, number>;
  readonly totalByCpu: ReadonlyMap<number, number>;
}

export interface PerfRecording {
  readonly child: Child;
  /** Ends the recording and reads it. */
  stop(): Promise<readonly PerfSample[]>;
}

export interface PerfOptions {
  /** Samples a second and CPU. */
  readonly frequencyHz?: number;
  /** Samples this process alone. */
  readonly pid?: number;
  /** Samples the machine, and reads the samples of these processes when it has ended. */
  readonly only?: () => readonly number[];
  /** Bytes of each user stack to copy (at most 65,528) and to walk by .eh_frame afterwards; none: by frame pointer. */
  readonly dwarfBytes?: number;
}

/** Starts `perf record` with call chains on cpu-clock. Resolves when it says that events are on. */
export async function startPerfRecord(options: PerfOptions = {}): Promise<PerfRecording> {
  const dir = mkdtempSync(join(tmpdir(), "lowflame-perf-"));
  const data = join(dir, "perf.data");
  const scope = options.pid === undefined ? ["-a"] : ["-p", String(options.pid), "--sample-cpu"];
  const chains =
    options.dwarfBytes === undefined ? ["-g"] : ["--call-graph", `dwarf,${options.dwarfBytes}`, "-m", "16M"];
  const child = Child.start(
    [
      "perf",
      "record",
      "-e",
      "cpu-clock",
      "-k",
      "CLOCK_MONOTONIC",
      "-F",
      String(options.frequencyHz ?? 99),
    ].concat([...chains, ...scope, "-o", data]),
  );
  // The data file gets its header when the events are open; they are enabled right after.
  await child.until(() => existsSync(data) && statSync(data).size > 0, 20_000, "perf.data");
  return {
    child,
    async stop() {
      try {
        await child.stop("SIGINT", 20_000);
        const pids = options.only ? ["--pid", options.only().join(",")] : [];
        const fields = ["-F", "comm,pid,tid,cpu,time,ip,sym,dso", "--ns"];
        // what was inlined has no frame of its own
        const script = Child.start(["perf", "script", "-i", data, "--no-inline", ...fields, ...pids]);
        const { code } = await script.exited;
        if (code !== 0) throw new Error(`perf script failed: ${script.stderr.trim().slice(-400)}`);
        return parsePerfScript(script.stdout);
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    },
  };
}

/** Reads `perf script -F comm,pid,tid,cpu,time,ip,sym,dso --ns`: a head line a sample, its frames, an empty line. */
export function parsePerfScript(text: string): PerfSample[] {
  const samples: PerfSample[] = [];
  for (const block of text.split("\n\n")) {
    const [head, ...lines] = block.split("\n");
    const m = /^\s*(.*?)\s+(-?\d+)\/(-?\d+)\s+\[(\d+)\]\s+(\d+)\.(\d{9}):/.exec(head ?? "");
    if (!m) continue;
    const frames: string[] = [];
    const userFiles: string[] = [];
    const userOffsets: number[] = [];
    for (const line of lines) {
      const frame = /^\s*([0-9a-f]+) (.*) \((.*)\)$/.exec(line);
      if (!frame) continue;
      frames.push(frame[2]!);
      // the kernel's half of the address space has the highest bit
      if (frame[1]!.length === 16) continue;
      userFiles.push(frame[3]!);
      userOffsets.push(Number.parseInt(frame[1]!, 16));
    }
    samples.push({
      comm: m[1]!,
      pid: Number(m[2]),
      tid: Number(m[3]),
      cpu: Number(m[4]),
      timeNs: Number(m[5]) * 1e9 + Number(m[6]),
      frames,
      userFiles,
      userOffsets,
    });
  }
  return samples;
}

/** Counts over samples; `from`/`to` (monotonic ns) cut out the time that both tools were recording. */
export function summarizePerf(
  all: readonly PerfSample[],
  window: { fromNs?: number; toNs?: number } = {},
): PerfSummary {
  const from = window.fromNs ?? 0;
  const to = window.toNs ?? Number.POSITIVE_INFINITY;
  const samples = all.filter((s) => s.timeNs >= from && s.timeNs < to);
  const busy = samples.filter((s) => s.pid !== 0);
  const inBpf = busy.filter((s) => s.frames.some((f) => f.startsWith("bpf_prog_"))).length;
  return {
    samples: samples.length,
    busy: busy.length,
    inBpf,
    bpfShare: busy.length ? inBpf / busy.length : 0,
    busyByCpu: countByCpu(busy),
    totalByCpu: countByCpu(samples),
  };
}

function countByCpu(samples: readonly PerfSample[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const { cpu } of samples) counts.set(cpu, (counts.get(cpu) ?? 0) + 1);
  return counts;
}
