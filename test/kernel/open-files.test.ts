// What doctor says about the limit of open files is what a recording opens.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { SOURCES } from "../../src/capture/binding.js";
import { filesWanted } from "../../src/cli/doctor-files.js";
import { onlineCpus } from "../../src/cli/host.js";
import { realSystem } from "../../src/cli/system.js";
import { Child } from "../support/children.js";
import { repositoryRoot } from "../support/paths.js";

const root = repositoryRoot();
const main = join(root, "dist/cli/main.js");
const dir = mkdtempSync(join(tmpdir(), "lowflame-files-"));
const cpus = onlineCpus(realSystem())!.length;
/** Fewest files that are held open for names (src/cli/doctor-files.ts). */
const SYMBOL_FILES = 64;

beforeAll(() => {
  execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", "tsconfig.build.json", "--noCheck"], {
    cwd: root,
  });
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Descriptors of a process that are no files with a path: maps, programs, links, events, pipes. */
function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return !readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith("/");
    } catch {
      return false; // closed meanwhile
    }
  }).length;
}

function limited(limit: number, ...args: string[]) {
  const line = `ulimit -n ${limit}; exec "$@"`;
  const done = spawnSync("bash", ["-c", line, "bash", process.execPath, main, ...args], {
    cwd: dir,
    encoding: "utf8",
    timeout: 60_000,
  });
  return { code: done.status, out: done.stdout, err: done.stderr };
}

it.each([[["cpu", "offcpu"]], [["locks"]], [[...SOURCES]]] as const)(
  "a recording of %j opens no more than doctor counts with, and not much less",
  async (sources) => {
    const child = Child.start(
      [process.execPath, main, "record", "-q", "-d", "1h", "--what", sources.join(","), "-o", "r.html"],
      { cwd: dir },
    );
    try {
      const partial = () => readdirSync(dir).some((name) => name.startsWith("lowflame-partial-"));
      await child.until(partial, 15_000, "a partial capture");
      const counted = filesWanted(sources, cpus) - SYMBOL_FILES;
      // loading takes its time on a busy machine
      let open = 0;
      for (let tries = 0; tries < 20 && open <= counted * 0.6; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        open = descriptors(child.pid);
      }
      expect(open).toBeLessThan(counted);
      expect(open).toBeGreaterThan(counted * 0.6);
    } finally {
      await child.stop("SIGTERM", 15_000);
    }
  },
);

it("with ulimit -n 40 doctor exits 1 and names the remedy", () => {
  const done = limited(40, "doctor");
  expect(done.code).toBe(1);
  expect(done.out).toMatch(/missing +limit of open files +40, .*\n.*prlimit --nofile=1024/);
});

it("where doctor is content, a recording works", () => {
  const fewest = filesWanted(["cpu", "offcpu"], cpus);
  expect(limited(fewest, "doctor").code).toBe(0);
  expect(limited(fewest, "record", "-q", "-d", "1s", "-o", "a.html")).toMatchObject({ code: 0, err: "" });
  const all = ["--what", SOURCES.join(",")];
  expect(
    limited(filesWanted(SOURCES, cpus), "record", "-q", "-d", "1s", ...all, "-o", "b.html"),
  ).toMatchObject({ code: 0, err: "" });
});
