// Stacks through signal handlers: the function that was interrupted is named where it was, also at its very first
// instruction, and what the handler returns to has its name, with symbols and without any. Wants root.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { hertz } from "../../src/model/units.js";
import { Child } from "../support/children.js";
import { recordWhile, rowsOf, sum } from "../support/record.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-signals-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const SOURCE = `
#include <setjmp.h>
#include <signal.h>
#include <time.h>
static sigjmp_buf back;
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}
__attribute__((noinline)) static void in_handler(double seconds) {
  static volatile unsigned long sum;
  for (double end = now() + seconds; now() < end;)
    for (int i = 0; i < 20000; i++) sum = sum * 31 + i;
}
static void on_fault(int signal) {
  in_handler(0.05);
  siglongjmp(back, signal);
}
/* two functions without a gap; the second one faults at its first instruction */
__asm__(".text\\n.globl innocent\\n.type innocent,@function\\ninnocent:\\n.cfi_startproc\\n lea 1(%rdi),%eax\\n ret\\n"
        ".cfi_endproc\\n.size innocent,.-innocent\\n"
        ".globl faults\\n.type faults,@function\\nfaults:\\n.cfi_startproc\\n movl $1,(%rdi)\\n ret\\n"
        ".cfi_endproc\\n.size faults,.-faults\\n");
extern int innocent(int);
extern void faults(int*);
__attribute__((noinline)) static void calls_it(void) {
  if (!sigsetjmp(back, 1)) faults((int*)8);
  __asm__ volatile("");
}
int main(void) {
  struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
  sigaction(SIGSEGV, &action, 0);
  for (double end = now() + 1; now() < end;) calls_it();
  return innocent(-1);
}
`;

async function stacksOf(file: string) {
  let pid = 0;
  const { profile } = await recordWhile({ sources: ["cpu"], frequencyHz: hertz(499) }, async () => {
    const child = Child.start([file]);
    pid = child.pid;
    expect((await child.exited).code).toBe(0);
  });
  const rows = rowsOf(profile, "cpu").filter((row) => row.pid === pid && row.stack[0] !== "[truncated]");
  const all = sum(rows, (row) => row.weightNs);
  expect(all).toBeGreaterThan(5e8);
  const share = (text: RegExp) =>
    sum(
      rows.filter((row) => text.test(row.stack.join(" > "))),
      (row) => row.weightNs,
    ) / all;
  return { share, text: rows.map((row) => row.stack.join(" > ")).join("\n") };
}

test("the interrupted function, not the one that ends where it begins, and the way back", async () => {
  writeFileSync(join(dir, "signals.c"), SOURCE);
  const file = join(dir, "signals");
  execFileSync("gcc", ["-O1", "-w", "-fomit-frame-pointer", join(dir, "signals.c"), "-o", file]);
  const { share, text } = await stacksOf(file);
  expect(share(/main > calls_it > faults > __restore_rt > on_fault > in_handler/), text).toBeGreaterThan(0.9);
  expect(text).not.toContain("innocent");
});

test("without any symbol the way back is told by its code", async () => {
  const file = join(dir, "bare");
  execFileSync("gcc", ["-O1", "-w", "-static", join(dir, "signals.c"), "-o", file]);
  execFileSync("strip", [file]);
  const { share, text } = await stacksOf(file);
  expect(share(/bare\+0x\w+ > bare\+0x\w+ > __restore_rt > bare\+0x\w+/), text).toBeGreaterThan(0.9);
});
