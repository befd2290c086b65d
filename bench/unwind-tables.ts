// Tables of real programs: how large they are, how long they take to make and to load, and how long a new process is without.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { hertz } from "../src/model/units.js";
import { Child } from "../test/support/children.js";
import { repositoryRoot } from "../test/support/paths.js";
import { programPath } from "../test/support/programs.js";
import { isWhole, RawStacks } from "../test/support/raw-stacks.js";
import { recordEvents, sleep } from "../test/support/record.js";

export interface FileTable {
  readonly name: string;
  readonly textBytes: number;
  readonly rows: number;
  readonly bytes: number;
  readonly cpuMs: number;
}

const PLACES = [
  ...["/usr/sbin/nginx", "/usr/sbin/haproxy", "/usr/bin/redis-server", process.execPath],
  ...["/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3"],
];

/** Tables of the programs of the other measurements, so far as they are installed. */
export function tablesOfFiles(): FileTable[] {
  const postgres = "/usr/lib/postgresql";
  const versions = existsSync(postgres) ? readdirSync(postgres) : [];
  const files = [...PLACES, ...versions.map((v) => join(postgres, v, "bin/postgres"))].filter(existsSync);
  const driver = join(repositoryRoot(), "build/test-unwind/lowflame-unwind");
  const lines = execFileSync(driver, ["table", ...files], { encoding: "utf8" })
    .trimEnd()
    .split("\n");
  return lines.map((line, i) => ({
    ...(JSON.parse(line) as Omit<FileTable, "name">),
    name: basename(files[i]!),
  }));
}

/** From nothing to all tables of a Node process in the kernel: its binary and its libraries, ms. */
export async function loadNode(): Promise<number> {
  const node = Child.start([process.execPath, "-e", "for (;;) JSON.stringify(process.env)"]);
  await sleep(300);
  const loader = Child.start([
    join(repositoryRoot(), "build/test-loader/lowflame-loader"),
    ...["--only", String(node.pid)],
  ]);
  try {
    await loader.until(() => loader.stdout.includes("\n"), 20_000, "ready line");
    return (JSON.parse(loader.stdout.split("\n")[0]!) as { ms: number }).ms;
  } finally {
    await loader.stop();
    await node.stop("SIGKILL");
  }
}

/**
 * From the start of a process to its first sample with a whole stack, ms, each of some processes.
 * @param fresh each runs a file that nobody has run before
 */
export async function firstWholeStacks(count: number, fresh: boolean): Promise<number[]> {
  const dir = mkdtempSync(join(tmpdir(), "lowflame-first-"));
  const raw = new RawStacks();
  const pids: number[] = [];
  const starts = new Map<number, number>();
  try {
    const { start } = await recordEvents(
      { frequencyHz: hertz(1_999), sources: ["cpu"] },
      async () => {
        for (let i = 0; i < count; i++) {
          const own = join(dir, `program-${i}`);
          // a table is known by its build ID
          if (fresh)
            execFileSync("objcopy", [
              "--remove-section=.note.gnu.build-id",
              programPath("known-cpu-nofp"),
              own,
            ]);
          else if (i === 0) copyFileSync(programPath("known-cpu-nofp"), own);
          const child = Child.start([fresh ? own : join(dir, "program-0"), "--ms", "300"]);
          await child.exited;
          pids.push(child.pid);
        }
      },
      (event) => {
        if (event.type !== "batch") return;
        raw.add(event.batch);
        for (const row of event.batch.tables.processes) starts.set(row.pid, Number(row.startTimeNs));
      },
    );
    // the first of a known program is what makes it known
    return pids.slice(fresh ? 0 : 1).flatMap((pid) => {
      const first = raw.of([pid]).find(isWhole);
      return first ? [(Number(start.startMonotonicNs) + first.timeNs - starts.get(pid)!) / 1e6] : [];
    });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
