// The kernel's own statistics of BPF programs: runs and nanoseconds, as bpftool shows them.
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Child } from "../test/support/children.js";
import { repositoryRoot } from "../test/support/paths.js";

export interface ProgramRuns {
  readonly id: number;
  readonly name: string;
  readonly type: string;
  readonly runs: number;
  readonly ns: number;
}

/** All programs in the kernel, with what they ran while statistics were on. */
export function readPrograms(): ProgramRuns[] {
  const text = execFileSync("bpftool", ["prog", "show", "-j"], {
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
  });
  type Row = { id: number; name?: string; type: string; run_cnt?: number; run_time_ns?: number };
  return (JSON.parse(text) as Row[]).map((p) => ({
    id: p.id,
    name: p.name ?? "",
    type: p.type,
    runs: p.run_cnt ?? 0,
    ns: p.run_time_ns ?? 0,
  }));
}

/** Growth of the given programs between two readings. */
export function growth(
  before: readonly ProgramRuns[],
  after: readonly ProgramRuns[],
  ids: ReadonlySet<number>,
): ProgramRuns[] {
  const old = new Map(before.map((p) => [p.id, p]));
  return after
    .filter((p) => ids.has(p.id))
    .map((p) => ({ ...p, runs: p.runs - (old.get(p.id)?.runs ?? 0), ns: p.ns - (old.get(p.id)?.ns ?? 0) }));
}

/** Builds the loader and one of the bench's own objects; gives their paths. */
export function buildObject(name: "noop" | "noop-calls" | "conventional-calls" | "sample"): {
  loader: string;
  object: string;
} {
  const root = repositoryRoot();
  const out = join(root, "build/bench");
  mkdirSync(out, { recursive: true });
  const loader = join(out, "bpf-loader");
  const object = join(out, `${name}.bpf.o`);
  const inherit = { stdio: "inherit" } as const;
  const warnings = ["-Wall", "-Wextra", "-Werror"];
  const c = ["-O2", ...warnings, join(root, "bench/bpf-loader.c"), "-lbpf"];
  execFileSync("cc", [...c, "-o", loader], inherit);
  const bpf = ["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-D__TARGET_ARCH_x86", ...warnings];
  const quiet = ["-Wno-unused-parameter", "-Wno-missing-declarations"];
  execFileSync("clang", [...bpf, ...quiet, "-c", join(root, `bench/${name}.bpf.c`), "-o", object], inherit);
  return { loader, object };
}

/** Switches statistics on until the child is stopped. */
export async function enableStatistics(loader: string): Promise<Child> {
  const child = Child.start([loader]);
  await child.until(() => child.stdout.includes("\n"), 10_000, "statistics");
  return child;
}
