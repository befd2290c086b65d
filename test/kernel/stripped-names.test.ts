// Programs without symbols in a real recording: a Go program by its runtime's table, a program of Fedora's kind by its
// mini debug info; and one that has neither, by its file and offset. Wants root.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { hertz } from "../../src/model/units.js";
import { Child } from "../support/children.js";
import { hasGo } from "../support/compilers.js";
import { recordWhile, rowsOf, sleep, sum } from "../support/record.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-stripped-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const GO = `package main

type Server struct{ sum uint64 }

//go:noinline
func (s *Server) Work(n uint64) { for i := uint64(0); i < n; i++ { s.sum = s.sum*31 + i } }

func main() { s := new(Server); for { s.Work(1 << 20) } }
`;
const C = `
__attribute__((noinline)) static unsigned long work(unsigned long n) {
  static volatile unsigned long sum;
  for (unsigned long i = 0; i < n; i++) sum = sum * 31 + i;
  return sum;
}
int main(void) { for (;;) work(1 << 20); }
`;

/** Share of the process's own CPU time that has a function called so on its stack. */
async function shareOf(command: string, functionName: RegExp): Promise<number> {
  return (await record(command, functionName)).share;
}

async function record(command: string, functionName: RegExp) {
  const program = Child.start([command]);
  try {
    const { profile, final } = await recordWhile({ sources: ["cpu"], frequencyHz: hertz(499) }, () =>
      sleep(1500),
    );
    const rows = rowsOf(profile, "cpu").filter((row) => row.pid === program.pid);
    const total = sum(rows, (row) => row.weightNs);
    expect(total).toBeGreaterThan(0);
    const named = rows.filter((row) => row.stack.some((name) => functionName.test(name)));
    return { share: sum(named, (row) => row.weightNs) / total, final };
  } finally {
    await program.stop("SIGKILL");
  }
}

if (hasGo)
  test("a Go program that its linker stripped", async () => {
    writeFileSync(join(dir, "main.go"), GO);
    writeFileSync(join(dir, "go.mod"), "module example.org/burns\n\ngo 1.18\n");
    const file = join(dir, "go-burns");
    execFileSync("go", ["build", "-ldflags=-s -w", "-o", file, "."], { cwd: dir, stdio: "pipe" });
    expect(await shareOf(file, /^main\.\(\*Server\)\.Work$/)).toBeGreaterThan(0.8);
  });

test("a stripped program, and the same with mini debug info", async () => {
  const whole = join(dir, "whole");
  const bare = join(dir, "bare");
  const mini = join(dir, "mini");
  writeFileSync(join(dir, "burns.c"), C);
  execFileSync("gcc", ["-O1", join(dir, "burns.c"), "-o", whole]);
  execFileSync("strip", ["-o", bare, whole]);
  expect(await shareOf(bare, /^bare\+0x[0-9a-f]{1,6}$/)).toBeGreaterThan(0.8);

  execFileSync("objcopy", ["--only-keep-debug", whole, join(dir, "debug")]);
  execFileSync("objcopy", ["-S", "--keep-symbol=work", join(dir, "debug"), join(dir, "symbols")]);
  const packed = execFileSync("xz", ["-c"], { input: readFileSync(join(dir, "symbols")) });
  writeFileSync(join(dir, "symbols.xz"), packed);
  execFileSync("objcopy", ["--add-section", `.gnu_debugdata=${join(dir, "symbols.xz")}`, bare, mini]);
  expect(await shareOf(mini, /^work$/)).toBeGreaterThan(0.8);

  // damaged: no names, and it is told
  writeFileSync(join(dir, "symbols.xz"), packed.subarray(0, packed.length / 2));
  execFileSync("objcopy", ["--add-section", `.gnu_debugdata=${join(dir, "symbols.xz")}`, bare, mini]);
  const { share, final } = await record(mini, /^mini\+0x[0-9a-f]{1,6}$/);
  expect(share).toBeGreaterThan(0.8);
  expect(final.losses.find((loss) => loss.id === "symbols.tables_refused")!.count).toBeGreaterThan(0);
});
