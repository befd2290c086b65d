// A real npx: what it does with signals, and that lowflame does not stay behind with its programs in the kernel.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { readCapture } from "../../src/capture/file/reader.js";
import { Child } from "../support/children.js";
import { repositoryRoot } from "../support/paths.js";

const root = repositoryRoot();
let dir: string;

beforeAll(() => {
  execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", "tsconfig.build.json", "--noCheck"], {
    cwd: root,
  });
});
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "lowflame-npx-"));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** Starts npx below a shell that outlives it, since the leash would kill what npx leaves behind. */
async function startUnderNpx(): Promise<{ shell: Child; npm: number }> {
  const out = join(dir, "r.lowflame");
  const line = `npx --no-install lowflame record -q -d 1h -o ${out} & echo "npm $!"; wait $!; echo "code $?"; exec sleep 60`;
  const shell = Child.start(["sh", "-c", line], { cwd: root });
  await shell.until(() => readdirSync(dir).length > 0, 30_000, "a partial capture");
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  return { shell, npm: Number(/npm (\d+)/.exec(shell.stdout)![1]) };
}

it.each([
  ["SIGTERM", 143],
  ["SIGHUP", 129],
  ["SIGKILL", 137],
] as const)("%s to npx alone: lowflame sees it, keeps what was recorded and ends", async (signal, code) => {
  const { shell, npm } = await startUnderNpx();
  try {
    process.kill(npm, signal);
    await shell.until(() => shell.stdout.includes("code"), 5_000, "the end of npx");
    expect(shell.stdout).toContain(`code ${code}\n`);
    await shell.until(() => `${readdirSync(dir)}` === "r.lowflame", 10_000, "the result");
    const programs: number[] = [];
    let end = "";
    for await (const event of readCapture(join(dir, "r.lowflame"))) {
      if (event.type === "header") programs.push(...event.start.programs.map((program) => program.id));
      if (event.type === "end") end = event.endReason;
    }
    expect(end).toBe("interrupted by SIGTERM");
    const loaded = () =>
      programs.filter((id) => spawnSync("bpftool", ["prog", "show", "id", `${id}`]).status === 0);
    await shell.until(() => loaded().length === 0, 5_000, "an empty kernel");
  } finally {
    await shell.stop("SIGKILL");
  }
});

it("npx passes on the code of a command line that is wrong", () => {
  const done = spawnSync("npx", ["--no-install", "lowflame", "record", "-F", "0"], {
    cwd: root,
    encoding: "utf8",
  });
  expect(done.status).toBe(2);
});
