// Programs whose code is in no file that has a name any more: run from a memfd, deleted, or copied into memory for
// large pages, as Node does. Their functions have names and their stacks are whole. Wants root.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hertz } from "../../src/model/units.js";
import { Child } from "../support/children.js";
import { type Row, recordWhile, rowsOf, sleep, sum } from "../support/record.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-moved-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const BURNS = `
__attribute__((noinline)) unsigned long inner(unsigned long n) {
  static volatile unsigned long sum;
  for (unsigned long i = 0; i < n; i++) sum = sum * 31 + i;
  return sum;
}
__attribute__((noinline)) unsigned long outer(unsigned long n) { return inner(n) + 1; }
int main(void) { for (;;) outer(1 << 20); }
`;
const FROM_MEMORY = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int argc, char** argv, char** env) {
  int from = open(argv[1], O_RDONLY), to = memfd_create("burns", MFD_CLOEXEC);
  char block[65536];
  for (ssize_t n; (n = read(from, block, sizeof(block))) > 0;) write(to, block, n);
  return fexecve(to, argv + 1, env);
}
`;

let burns = "";
beforeAll(() => {
  for (const [name, source] of Object.entries({ burns: BURNS, "from-memory": FROM_MEMORY })) {
    writeFileSync(join(dir, `${name}.c`), source);
    const out = join(dir, name);
    execFileSync("gcc", ["-O1", "-w", "-fomit-frame-pointer", `${out}.c`, "-o", out]);
  }
  burns = join(dir, "burns");
});

/** Rows of a process that is started before the recording, or during it. */
async function rowsOfRun(start: () => Child, before: boolean): Promise<Row[]> {
  let child = before ? start() : undefined;
  try {
    if (before) await sleep(500);
    const { profile } = await recordWhile({ sources: ["cpu"], frequencyHz: hertz(499) }, async () => {
      child ??= start();
      await sleep(1_500);
    });
    return rowsOf(profile, "cpu").filter((row) => row.pid === child!.pid);
  } finally {
    await child?.stop("SIGKILL");
  }
}

const weight = (rows: readonly Row[]) => sum(rows, (row) => row.weightNs);
function share(rows: readonly Row[], is: (row: Row) => boolean): number {
  expect(weight(rows)).toBeGreaterThan(2e8);
  return weight(rows.filter(is)) / weight(rows);
}
const whole = (row: Row) => / > main > outer > inner( >|$)/.test(` > ${row.stack.join(" > ")}`);

describe.each([
  ["before the recording", true],
  ["during the recording", false],
])("started %s", (_, before) => {
  test("a program in a memfd", async () => {
    const rows = await rowsOfRun(() => Child.start([join(dir, "from-memory"), burns]), before);
    expect(share(rows, whole)).toBeGreaterThan(0.85);
    expect(rows.filter((row) => row.stack.includes("[jit]"))).toEqual([]);
  });

  test("a program whose file is deleted as soon as it runs", async () => {
    const file = join(dir, before ? "deleted-before" : "deleted-during");
    copyFileSync(burns, file);
    const start = () => {
      const child = Child.start(["sh", "-c", `chmod +x ${file}; exec ${file}`]);
      setTimeout(() => unlinkSync(file), 200);
      return child;
    };
    expect(share(await rowsOfRun(start, before), whole)).toBeGreaterThan(0.85);
  });

  test.skipIf(/\[never\]/.test(readFileSync("/sys/kernel/mm/transparent_hugepage/enabled", "utf8")))(
    "Node with its text in large pages",
    async () => {
      const script =
        'const zlib = require("zlib"); const data = Buffer.alloc(1 << 20, "ab"); for (;;) zlib.deflateSync(data);';
      let moved = false;
      const rows = await rowsOfRun(() => {
        const child = Child.start([process.execPath, "--use-largepages=on", "-e", script]);
        setTimeout(() => {
          const maps = readFileSync(`/proc/${child.pid}/maps`, "utf8");
          moved = /r-xp .*\/node\n[^/]+ r-xp [^/]+ 0 *\n[^/]+ r-xp .*\/node\n/.test(maps);
        }, 400);
        return child;
      }, before);
      expect(moved).toBe(true); // else this tests nothing
      expect(share(rows, (row) => row.stack.some((name) => /^deflate/.test(name)))).toBeGreaterThan(0.5);
      expect(share(rows, (row) => row.stack[0] !== "[truncated]")).toBeGreaterThan(0.85);
      // of the text that was moved nothing is taken for compiled JavaScript, which never is the leaf of deflate
      expect(share(rows, (row) => row.stack.at(-1) === "[jit]")).toBeLessThan(0.1);
    },
  );
});
