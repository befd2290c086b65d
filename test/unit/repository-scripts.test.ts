// The scripts of a newcomer: they refuse clearly, and count so that nothing that did not run can look like success.
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { ROOT } from "./helpers/tracked-files.js";

const folder = mkdtempSync(join(tmpdir(), "lowflame-scripts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const NOBODY = 65534;

/** Runs a copy of scripts/ as a user who is not root, whoever runs the tests. */
function runAsUser(script: string, ...args: string[]) {
  chmodSync(folder, 0o755);
  cpSync(join(ROOT, "scripts"), join(folder, "scripts"), { recursive: true });
  const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  return spawnSync(join(folder, "scripts", script), args, { encoding: "utf8", ...user });
}

describe("without root", () => {
  test("test says what to type, and its last line counts a failure", () => {
    const done = runAsUser("test");
    expect(done.status).toBe(1);
    expect(done.stderr).toMatch(/^\ntest: root is needed .* Run: sudo \S*scripts\/test\n$/);
    expect(done.stdout).toBe("0 passed, 1 failed\n");
  });

  test("quickstart says what to type", () => {
    const done = runAsUser("quickstart");
    expect(done.status).toBe(1);
    expect(done.stderr).toMatch(/^\nquickstart: root is needed .* Run: sudo \S*scripts\/quickstart\n$/);
  });
});

test("an argument that means nothing is refused", () => {
  expect(runAsUser("quickstart", "--fast").stderr).toContain("takes no arguments");
  expect(runAsUser("test", "unit").stdout).toBe("0 passed, 1 failed\n");
  expect(runAsUser("check-format", "--all").status).toBe(2);
});

test("every script is bash without a syntax error, and can be executed", () => {
  const commands = ["quickstart", "test", "check-format"].map((name) => join(ROOT, "scripts", name));
  const parts = readdirSync(join(ROOT, "scripts/lib"))
    .filter((name) => name.endsWith(".sh"))
    .map((name) => join(ROOT, "scripts/lib", name));
  expect(parts).not.toEqual([]);
  for (const path of [...commands, ...parts])
    expect(spawnSync("bash", ["-n", path]).stderr.toString()).toBe("");
  for (const path of [...commands, join(ROOT, ".ci/run")]) expect(statSync(path).mode & 0o111).toBe(0o111);
});

describe("counting the tests of a run", () => {
  /** Prints of count-tests.mjs for files given as the states of their tests. */
  function count(files: { status: string; tests: string[] }[], exitStatus = 0) {
    const path = join(folder, "results.json");
    const testResults = files.map(({ status, tests }) => ({
      status,
      assertionResults: tests.map((state) => ({ status: state })),
    }));
    writeFileSync(path, JSON.stringify({ testResults }));
    return countFile(path, exitStatus);
  }
  function countFile(path: string, exitStatus: number) {
    const script = join(ROOT, "scripts/lib/count-tests.mjs");
    return spawnSync("node", [script, path, `${exitStatus}`], { encoding: "utf8" }).stdout;
  }

  test("tests that passed and failed", () => {
    expect(count([{ status: "passed", tests: ["passed", "passed"] }])).toBe("2 0\n");
    expect(count([{ status: "failed", tests: ["passed", "failed"] }], 1)).toBe("1 1\n");
  });

  test("a skipped test is a failure", () => {
    expect(count([{ status: "passed", tests: ["passed", "skipped", "todo"] }])).toBe("1 2\n");
  });

  test("a file that could not be loaded is a failure", () => {
    expect(
      count(
        [
          { status: "passed", tests: ["passed"] },
          { status: "failed", tests: [] },
        ],
        1,
      ),
    ).toBe("1 1\n");
  });

  test("a run that ends with an error, without tests or without a result is a failure", () => {
    expect(count([{ status: "passed", tests: ["passed"] }], 1)).toBe("1 1\n");
    expect(count([])).toBe("0 1\n");
    expect(countFile(join(folder, "nothing.json"), 0)).toBe("0 1\n");
  });
});
