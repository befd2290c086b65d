// A current directory that was deleted: one line, a hint and an exit code, from every command, with the real process.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CliError } from "../../src/cli/errors.js";
import { workingDirectory } from "../../src/cli/real-deps.js";
import { repositoryRoot } from "../support/paths.js";

const root = repositoryRoot();
const folder = mkdtempSync(join(tmpdir(), "lowflame-cwd-"));
const main = join(root, "build/test-cli/main.mjs");

beforeAll(async () => {
  // Below the repository, since it looks for package.json two directories above its own file.
  await build({
    entryPoints: [join(root, "src/cli/main.ts")],
    outfile: main,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    logLevel: "silent",
  });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a command in a directory that is removed before it starts. */
function runInDeleted(...args: string[]) {
  const line = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"';
  const done = spawnSync("sh", ["-c", line, "sh", process.execPath, main, ...args], {
    cwd: folder,
    encoding: "utf8",
    timeout: 20_000,
  });
  return { code: done.status, out: done.stdout, err: done.stderr };
}

describe("in a directory that was deleted", () => {
  it.each([[["record", "-d", "10ms"]], [["report", "x.lowflame"]]])(
    "%j says so in one line and exits 5",
    (args) => {
      expect(runInDeleted(...args)).toEqual({
        code: 5,
        out: "",
        err:
          "lowflame: the current directory cannot be used, it was deleted\n" +
          "  change to one that exists, such as: cd /tmp   (a directory made again under the same name is another one)\n",
      });
      expect(readdirSync(folder)).toEqual([]);
    },
  );

  it("doctor tells it among its checks and exits 1", () => {
    const { code, out, err } = runInDeleted("doctor");
    expect({ code, err }).toEqual({ code: 1, err: "" });
    expect(out).toMatch(/missing +current directory +\S+\/gone \(deleted\)\n +-> .*cd \/tmp/);
  });

  it("--version needs no directory", () => {
    expect(runInDeleted("--version")).toMatchObject({ code: 0, err: "" });
    expect(existsSync(main)).toBe(true);
  });
});

it("other reasons are told as they are", () => {
  const denied = () => {
    throw Object.assign(new Error("uv_cwd"), { code: "EACCES" });
  };
  expect(() => workingDirectory(denied)).toThrow(CliError);
  expect(() => workingDirectory(denied)).toThrow("cannot be used, permission was denied");
});
