// The scripts of a newcomer: they refuse clearly, and count so that nothing that did not run can look like success.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
// @ts-expect-error a build script in JavaScript, without types
import { linkCommand } from "../../scripts/link-command.mjs";
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
  for (const words of [["--all"], ["six"], ["--ci", "6.1"], ["6.1", "--"]]) {
    const done = runAsUser("kernel-matrix", ...words);
    expect(done.status).toBe(2);
    expect(done.stderr).toMatch(/^kernel-matrix: [^\n]+\n$/);
  }
});

test("every script is bash without a syntax error, and can be executed", () => {
  const names = ["quickstart", "test", "check-format", "kernel-matrix", "boot-kernel"];
  const commands = names.map((name) => join(ROOT, "scripts", name));
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

  test("a test that passed at a later try is named, with the reason of the first", () => {
    const path = join(folder, "results.json");
    const again = {
      status: "passed",
      fullName: "a wait",
      failureMessages: ["Error: expected 3 to be 4\n    at x"],
    };
    writeFileSync(path, JSON.stringify({ testResults: [{ status: "passed", assertionResults: [again] }] }));
    const script = join(ROOT, "scripts/lib/count-tests.mjs");
    const { stdout, stderr } = spawnSync("node", [script, path, "0"], { encoding: "utf8" });
    expect(stdout).toBe("1 0\n");
    expect(stderr).toContain('"a wait" passed at try 2; before: Error: expected 3 to be 4');
  });

  test("what failed beside others is named for a run of its own, in which only that counts", () => {
    const path = join(folder, "results.json");
    const again = join(folder, "again");
    const script = join(ROOT, "scripts/lib/count-tests.mjs");
    const run = (...rest: string[]) =>
      spawnSync("node", [script, path, ...rest], { encoding: "utf8" }).stdout;
    const test = (fullName: string, status: string) => ({ fullName, status, failureMessages: [] });
    const row = [
      {
        name: "a.test.ts",
        status: "failed",
        assertionResults: [test("b (c)", "failed"), test("d", "passed")],
      },
      { name: "e.test.ts", status: "failed", assertionResults: [] },
      { name: "f.test.ts", status: "passed", assertionResults: [test("g", "passed")] },
    ];
    writeFileSync(path, JSON.stringify({ testResults: row }));
    expect(run("1", "--again", again)).toBe("2 0\n");
    expect(readFileSync(again, "utf8")).toBe("a.test.ts\tb \\(c\\)\ne.test.ts\t\n");
    const alone = (status: string) => [
      { status: "passed", assertionResults: [test("b (c)", status), test("d", "skipped")] },
    ];
    writeFileSync(path, JSON.stringify({ testResults: alone("passed") }));
    expect(run("0", "--of", "1")).toBe("1 0\n");
    expect(run("0", "--of", "2")).toBe("1 1\n");
    writeFileSync(path, JSON.stringify({ testResults: alone("failed") }));
    expect(run("1", "--of", "1")).toBe("0 1\n");
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

describe("installing what is missing", () => {
  /** Output of a line of bash with scripts/lib/packages.sh loaded and `fakes` in front of the machine's commands. */
  function withPackages(line: string, fakes: Record<string, string>) {
    const bin = mkdtempSync(join(folder, "bin-"));
    for (const [name, body] of Object.entries(fakes))
      writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    const lib = join(ROOT, "scripts/lib");
    const program = `set -euo pipefail; PATH=${bin}:$PATH; . ${lib}/steps.sh; . ${lib}/packages.sh; ${line}`;
    return spawnSync("bash", ["-c", program], { encoding: "utf8" });
  }

  test("takes the first package that apt could install, however much apt says about it", () => {
    // more than a pipe holds: whoever stops reading at the candidate makes apt-cache fail
    const fakes = {
      "apt-cache": `
        case $2 in
          gone) exit 0 ;;
          virtual) echo "  Candidate: (none)" ;;
          *) echo "  Candidate: 1:2.39"; head -c 200000 /dev/zero | tr '\\0' x ;;
        esac`,
    };
    expect(withPackages("first_available gone virtual git other", fakes).stdout).toBe("git\n");
    expect(withPackages("first_available gone virtual", fakes).status).toBe(1);
  });

  test("does not touch apt when nothing is missing", () => {
    const done = withPackages("install_needs 'sh dash'", { "apt-get": "echo called; exit 1" });
    expect(done.status).toBe(0);
    expect(done.stdout.trim()).toBe("nothing is missing");
  });

  test("a service that is new here is kept from starting, one that was here before is not touched", () => {
    const log = join(folder, "systemctl.log");
    const fakes = {
      // nginx was enabled before; the installation brings redis-server
      install: `touch ${folder}/installed`,
      systemctl: `
        case "$*" in
          *is-enabled*nginx) exit 0 ;;
          *is-enabled*redis-server) test -e ${folder}/installed ;;
          *is-active*) exit 3 ;;
          *is-enabled*) exit 1 ;;
          *) echo "$*" >> ${log} ;;
        esac`,
    };
    const line = `POLICY=${folder}/policy; INSTALL_LOG=${folder}/apt.log; install_without_services install`;
    const done = withPackages(line, fakes);
    expect(done.status).toBe(0);
    expect(readFileSync(log, "utf8")).toBe("--quiet disable redis-server\n");
    expect(existsSync(join(folder, "policy"))).toBe(false);
  });
});

describe("npx lowflame in the checkout", () => {
  /** What `lowflame` in node_modules/.bin of a checkout prints, where main.js prints the node that runs it. */
  function runLinked(checkout: string) {
    mkdirSync(join(checkout, "dist/cli"), { recursive: true });
    writeFileSync(
      join(checkout, "dist/cli/main.js"),
      "#!/usr/bin/env node\nconsole.log(process.execPath);\n",
    );
    linkCommand(checkout);
    linkCommand(checkout);
    const done = spawnSync(join(checkout, "node_modules/.bin/lowflame"), { encoding: "utf8" });
    return done.stdout || done.stderr;
  }

  test("runs the built command with the machine's node", () => {
    expect(runLinked(mkdtempSync(join(folder, "checkout-")))).toMatch(/^\/.*node\n$/);
  });

  test("runs it with the checkout's own node where one was fetched", () => {
    const checkout = mkdtempSync(join(folder, "checkout-"));
    mkdirSync(join(checkout, ".tools/node/bin"), { recursive: true });
    writeFileSync(join(checkout, ".tools/node/bin/node"), '#!/bin/sh\necho "own node: $*"\n', {
      mode: 0o755,
    });
    expect(runLinked(checkout)).toBe(`own node: ${checkout}/dist/cli/main.js\n`);
  });
});
