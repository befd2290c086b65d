// Whose code an address was when the sample was taken: processes that fork and are gone in milliseconds, and libraries
// that follow one another at the same addresses. Wants root.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { hertz } from "../../src/model/units.js";
import { Child } from "../support/children.js";
import { recordWhile, rowsOf, sum } from "../support/record.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-changes-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const SPIN = `
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define FUNCTION __attribute__((noinline, noclone))
static double now(void) { /* of CPU time, whoever else wants the CPU */
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}
FUNCTION void burn(double seconds) {
  static volatile unsigned long sum;
  for (double end = now() + seconds; now() < end;)
    for (int i = 0; i < 20000; i++) sum = sum * 31 + i;
  __asm__ volatile("");
}
`;
const FORKER = `${SPIN}
FUNCTION void child_work(void) { burn(0.003); __asm__ volatile(""); }
int main(void) {
  for (int i = 0; i < 300; i++) {
    if (!fork()) { child_work(); _exit(0); }
    wait(NULL);
    usleep(1000);
  }
}
`;
const LIBRARY = (name: string) => `
extern void burn(double);
void work_of_${name}(double s) { burn(s); __asm__ volatile(""); }
void entry(double s) { work_of_${name}(s); __asm__ volatile(""); }
`;
const SWAPS = `${SPIN}
static void use(const char* file, double seconds) {
  void* library = dlopen(file, RTLD_NOW);
  void (*entry)(double) = (void (*)(double))dlsym(library, "entry");
  printf("%p\\n", (void*)entry);
  entry(seconds);
  dlclose(library);
}
int main(int argc, char** argv) {
  for (int i = 0; i < atoi(argv[1]); i++) {
    use("./first.so", atof(argv[2]));
    use("./second.so", atof(argv[3]));
  }
}
`;

/** Writes code into memory, thrice to the same address: what was there before, and what was there before the exec, is gone. */
const JIT = `${SPIN}
#include <string.h>
#include <sys/mman.h>
static void run(char* at, const char* name, const char* mode) {
  /* push %rbp; mov %rsp,%rbp; mov $100000,%ecx; 1: dec %ecx; jnz 1b; pop %rbp; ret */
  static const unsigned char kCode[] = {0x55, 0x48, 0x89, 0xe5, 0xb9, 0xa0, 0x86, 1, 0, 0xff, 0xc9, 0x75, 0xfc, 0x5d, 0xc3};
  memcpy(at, kCode, sizeof(kCode));
  char path[64];
  sprintf(path, "/tmp/perf-%d.map", getpid());
  FILE* map = fopen(path, mode);
  fprintf(map, "%lx %zx %s\\n", (unsigned long)at, sizeof(kCode), name);
  fclose(map);
  for (double end = now() + 0.5; now() < end;) ((void (*)(void))at)();
}
int main(int argc, char** argv) {
  char* at = mmap((void*)0x700000000000, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (argc > 1) return run(at, "code_after_exec", "a"), 0;
  run(at, "first_code", "w");
  run(at, "second_code", "a");
  execl(argv[0], argv[0], "again", NULL);
}
`;

const REWRITES =
  SWAPS.slice(0, SWAPS.indexOf("int main")) +
  `
static void write_over(const char* file, const char* with) { /* the file stays the same one, as with cp */
  static char bytes[1 << 20];
  FILE* f = fopen(with, "r");
  size_t size = fread(bytes, 1, sizeof(bytes), f);
  fclose(f);
  f = fopen(file, "w");
  fwrite(bytes, 1, size, f);
  fclose(f);
}
int main(void) {
  write_over("./changing.so", "./first.so");
  use("./changing.so", 0.5);
  write_over("./changing.so", "./second.so");
  use("./changing.so", 0.5);
}
`;

/** A child of which nothing is known but its parent's mappings works in a library that it inherited, and then closes it. */
const INHERITS =
  SWAPS.slice(0, SWAPS.indexOf("static void use")) +
  `
static void* library;
static void (*entry)(double);
static void open_it(const char* file) {
  library = dlopen(file, RTLD_NOW);
  entry = (void (*)(double))dlsym(library, "entry");
  printf("%p\\n", (void*)entry);
  fflush(stdout);
}
int main(void) {
  open_it("./first.so");
  entry(0.3); /* so that it is known when it forks */
  if (!fork()) {
    entry(0.4);
    dlclose(library);
    open_it("./second.so");
    entry(0.6);
    _exit(0);
  }
  wait(NULL);
}
`;

function compile(name: string, source: string, ...flags: string[]): string {
  writeFileSync(join(dir, `${name}.c`), source);
  const out = join(dir, name);
  execFileSync("gcc", ["-O2", "-w", "-fomit-frame-pointer", ...flags, `${out}.c`, "-o", out, "-ldl"]);
  return out;
}

let forker = "";
let swaps = "";
let rewrites = "";
let jit = "";
let inherits = "";
beforeAll(() => {
  forker = compile("forker", FORKER);
  swaps = compile("swaps", SWAPS, "-rdynamic");
  jit = compile("jit", JIT);
  inherits = compile("inherits", INHERITS, "-rdynamic");
  rewrites = compile("rewrites", REWRITES, "-rdynamic");
  for (const name of ["first", "second"]) compile(`${name}.so`, LIBRARY(name), "-shared", "-fPIC");
});

async function recordRun(command: readonly string[]) {
  let stdout = "";
  let pid = 0;
  const recorded = await recordWhile({ sources: ["cpu"], frequencyHz: hertz(499) }, async () => {
    const child = Child.start(command, { cwd: dir });
    pid = child.pid;
    expect((await child.exited).code).toBe(0);
    stdout = child.stdout;
  });
  return { ...recorded, pid, stdout };
}

test("children that live for 3 ms have the names of their parent", async () => {
  const { profile, pid } = await recordRun([forker]);
  const children = rowsOf(profile, "cpu").filter((row) => row.comm === "forker" && row.pid !== pid);
  const user = children.filter((row) => row.kinds[0] === "user" || row.kinds[0] === "unknown");
  const all = sum(user, (row) => row.weightNs);
  expect(all).toBeGreaterThan(5e8);
  const nameless = user.filter((row) =>
    row.stack.some((name, i) => row.kinds[i] !== "kernel" && /^\[unknown\]|\+0x/.test(name)),
  );
  expect(nameless.map((row) => row.stack.join(" > "))).toEqual([]);
  // young as they are, hardly any of it is cut short
  const cut = user.filter((row) => row.stack[0] === "[truncated]");
  expect(sum(cut, (row) => row.weightNs) / all).toBeLessThan(0.05);
  const named = user.filter((row) => row.stack.includes("burn"));
  expect(sum(named, (row) => row.weightNs) / all).toBeGreaterThan(0.7);
});

// 0.12 s are three rounds of the drain: the same library is there each time that samples are named
test.each([
  [2, 0.4, 0.6],
  [12, 0.03, 0.09],
])(
  "libraries that follow one another at the same address have each its own share: %d times %d and %d s",
  async (rounds, one, other) => {
    const { profile, pid, stdout } = await recordRun([swaps, String(rounds), String(one), String(other)]);
    expect(new Set(stdout.trim().split("\n")).size).toBe(1); // else this tests nothing
    const rows = rowsOf(profile, "cpu").filter((row) => row.pid === pid);
    const of = (name: string) =>
      sum(
        rows.filter((row) => row.stack.includes(name)),
        (row) => row.weightNs,
      );
    const [first, second] = [of("work_of_first"), of("work_of_second")];
    expect(first + second).toBeGreaterThan(8e8 * rounds * (one + other));
    // samples are 2 ms apart
    const share = one / (one + other);
    expect(Math.abs(first / (first + second) - share)).toBeLessThan(0.06);
  },
);

test("a child that closes its parent's library has its own in the place of it by its own name", async () => {
  const { profile, pid, stdout } = await recordRun([inherits]);
  expect(new Set(stdout.trim().split("\n")).size).toBe(1); // else this tests nothing
  const rows = rowsOf(profile, "cpu").filter((row) => row.comm === "inherits");
  const of = (name: string) =>
    sum(
      rows.filter((row) => row.stack.includes(name) && row.pid !== pid),
      (row) => row.weightNs,
    );
  for (const [name, seconds] of [
    ["work_of_first", 0.4],
    ["work_of_second", 0.6],
  ] as const)
    expect(Math.abs(of(name) / 1e9 - seconds), name).toBeLessThan(0.08);
});

test("a library that was written over in place, and loaded again at the same address, has its new names", async () => {
  const { profile, pid, stdout } = await recordRun([rewrites]);
  expect(new Set(stdout.trim().split("\n")).size).toBe(1); // else this tests nothing
  const rows = rowsOf(profile, "cpu").filter((row) => row.pid === pid);
  for (const name of ["work_of_first", "work_of_second"]) {
    const under = rows.filter((row) => row.stack.includes(name));
    const ns = sum(under, (row) => row.weightNs);
    expect([name, ns > 4e8 && ns < 6e8]).toEqual([name, true]);
  }
});

test("code that was written to the place of other code has its own name from then on, also after an exec", async () => {
  const { profile, pid } = await recordRun([jit]);
  rmSync(`/tmp/perf-${pid}.map`, { force: true });
  const rows = rowsOf(profile, "cpu").filter((row) => row.pid === pid);
  for (const name of ["first_code", "second_code", "code_after_exec"]) {
    const ns = sum(
      rows.filter((row) => row.stack.includes(name)),
      (row) => row.weightNs,
    );
    // a map is read on after each drain
    expect([name, ns > 3.5e8 && ns < 6.5e8]).toEqual([name, true]);
  }
});
