// Programs of 32 bits: another ELF class, addresses below 4 GiB, a vdso of their own.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Child } from "../support/children.js";
import { BUILD_MS, buildDriver, Naming } from "./symbols/driver.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-32-bit-"));
beforeAll(buildDriver, BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Waits for ever in `pause`, by a system call of its own: no 32-bit C library is needed. */
const SOURCE = `
__attribute__((noinline, used)) int thirty_two_bits(int x) { return x * 3 + 1; }
__attribute__((noinline, used)) static int local_one(int x) { return x * 5 + 2; }
void _start(void) {
  for (;;) {
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(29));
    thirty_two_bits(local_one(result));
  }
}
`;

test("a program of 32 bits has names while it lives and after its end; its vdso has none, not ours", async () => {
  const source = join(dir, "program.c");
  const file = join(dir, "program");
  writeFileSync(source, SOURCE);
  const flags = ["-m32", "-O1", "-nostdlib", "-static", "-no-pie", "-fno-pie", "-Wl,--build-id=sha1"];
  execFileSync("gcc", [...flags, source, "-o", file]);
  const nm = execFileSync("nm", [file], { encoding: "utf8" });
  const address = (name: string) => new RegExp(`^(\\w+) . ${name}$`, "m").exec(nm)![1]!;

  const program = Child.start([file]);
  try {
    const maps = () => readFileSync(`/proc/${program.pid}/maps`, "utf8");
    await program.until(() => maps().includes(file), 5000, "the program");
    const vdso = /^(\w+)-\w+ r-xp .*\[vdso\]$/m.exec(maps())![1]!;
    const naming = await Naming.start(program.pid, [address("thirty_two_bits"), address("local_one"), vdso]);
    expect(naming.located.map((l) => l.kind)).toEqual(["user", "user", "unknown"]);
    expect(naming.located[0]!.buildId).toMatch(/^[0-9a-f]{40}$/);
    expect(await naming.names()).toEqual(["thirty_two_bits", "local_one", ""]);
    await program.stop("SIGKILL");
    expect(await naming.names()).toEqual(["thirty_two_bits", "local_one", ""]);
    await naming.stop();
  } finally {
    await program.stop("SIGKILL");
  }
});
