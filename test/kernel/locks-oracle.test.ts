// Waits for kernel and user locks beside what Debian's perf says of the same load at the same time.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { LOCK_KINDS } from "../../src/capture/binding.js";
import { Child } from "../support/children.js";
import { startProgram } from "../support/programs.js";
import { loss, recordWhile, sleep, sum } from "../support/record.js";

interface PerfLock {
  readonly contended: number;
  readonly totalNs: number;
  readonly type: string;
}

/** Rows of `perf lock contention`: waits, total, longest, mean, type, caller. */
function perfLocks(text: string): PerfLock[] {
  const units: Record<string, number> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 };
  const row = /^\s*(\d+)\s+([\d.]+) (ns|us|ms|s)\s+[\d.]+ \S+\s+[\d.]+ \S+\s+(\S+)/;
  return text
    .split("\n")
    .map((line) => row.exec(line))
    .filter((m) => m !== null)
    .map((m) => ({ contended: Number(m[1]), totalNs: Number(m[2]) * units[m[3]!]!, type: m[4]! }));
}

test("perf lock contention counts and measures the same waits", async () => {
  const dir = mkdtempSync(join(tmpdir(), "lowflame-oracle-"));
  const program = await startProgram("held-mutex", { args: ["--holds", "13", "--ms", "40"], hold: true });
  const file = join(dir, "perf.data");
  try {
    const recorded = await recordWhile({ sources: ["locks"] }, async () => {
      const perf = Child.start(["perf", "lock", "record", "-a", "-o", file]);
      await sleep(1500);
      program.go();
      await program.result(30_000);
      await perf.stop("SIGINT");
    });
    const shown = Child.start(["perf", "lock", "contention", "-i", file]);
    await shown.exited;
    const theirs = perfLocks(shown.stdout + shown.stderr).filter((row) => row.type === "mutex");
    const ours = recorded.final.lockTotals.filter(
      (t) => LOCK_KINDS[recorded.profile.locks[t.lock]?.kind ?? 0] === "mutex",
    );
    const { waits } = await program.result();
    const count = sum(theirs, (row) => row.contended);
    expect(count, shown.stdout + shown.stderr).toBeGreaterThanOrEqual(waits);
    // other programs' short waits come and go with the few milliseconds by which the recordings differ
    expect(Math.abs(sum(ours, (t) => t.count) - count)).toBeLessThan(0.2 * count);
    const ratio = sum(ours, (t) => t.sumNs) / sum(theirs, (row) => row.totalNs);
    expect(ratio).toBeGreaterThan(0.97);
    expect(ratio).toBeLessThan(1.03);
    expect(loss(recorded.final, "locks.ring_full")).toBe(0);
  } finally {
    await program.stop();
    rmSync(dir, { recursive: true, force: true });
  }
});

/** Waits of one thread that `perf trace -e futex` printed: address and length. */
function tracedWaits(text: string, tid: number): { address: bigint; ns: number }[] {
  const begun = new Map<string, bigint>();
  const waits: { address: bigint; ns: number }[] = [];
  for (const line of text.split("\n")) {
    const m = /^\s*([\d.]+) \(\s*([\d.]+)?(?: ms)?\s*\): \S+?\/(\d+)\s+(.*)$/.exec(line);
    if (!m || Number(m[3]) !== tid) continue;
    const key = `${m[1]} ${m[3]}`;
    const address = /uaddr: (0x[0-9a-f]+), op: (?:WAIT|LOCK)/.exec(m[4]!)?.[1];
    if (address) begun.set(key, BigInt(address));
    const of = begun.get(key);
    // where it takes the times of a call from two CPUs the wrong way round, perf prints a length of 580 years
    if (m[2] && of !== undefined && Number(m[2]) < 1e6) waits.push({ address: of, ns: Number(m[2]) * 1e6 });
  }
  return waits;
}

test("perf trace sees the same waits for the C library's locks", async () => {
  const program = await startProgram("user-locks", { hold: true });
  let perf: Child | undefined;
  const recorded = await recordWhile({ sources: ["futex"], filters: { pids: [program.pid] } }, async () => {
    perf = Child.start(["perf", "trace", "-a", "-e", "futex"]);
    await sleep(1500);
    program.go();
    await program.result(30_000);
    await perf.stop();
  });
  const { locks, waiterTid } = await program.result();
  const traced = tracedWaits(perf!.stdout + perf!.stderr, waiterTid);
  expect(traced.length, (perf!.stdout + perf!.stderr).slice(0, 500)).toBeGreaterThan(50);
  for (const lock of locks) {
    const within = (address: bigint) =>
      address >= BigInt(lock.address) &&
      address < BigInt(lock.address) + (lock.name === "semaphore" || lock.name === "timeout" ? 4n : 56n);
    const theirs = traced.filter((w) => within(w.address));
    const ours = recorded.final.lockTotals.filter((t) => {
      const row = recorded.profile.locks[t.lock];
      return row && within(row.address);
    });
    // perf counts calls, also those that return without a wait; where the host stops the machine until a lock is free
    // there is no call
    expect(theirs.length, lock.name).toBeGreaterThanOrEqual(lock.count - 2);
    expect(Math.abs(sum(ours, (t) => t.count) - lock.count), lock.name).toBeLessThanOrEqual(1);
    const ratio = sum(ours, (t) => t.sumNs) / sum(theirs, (w) => w.ns);
    expect(ratio, lock.name).toBeGreaterThan(0.75);
    expect(ratio, lock.name).toBeLessThan(1.02 + 2.5 / lock.count);
  }
});
