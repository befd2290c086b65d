// Waits for kernel locks: real contention, held against what the kernel's own tracepoint and perf count. The bucket lock
// of a BPF map is not here: two CPUs hardly ever reach the kernel's tracepoint on it; scripts/kernel-matrix has four.
import { readdirSync, readlinkSync } from "node:fs";
import { expect, test } from "vitest";
import { lockSummaries, lockTotalsExact } from "../../src/analysis/lock-summary.js";
import { LOCK_KINDS } from "../../src/capture/binding.js";
import { ProfileBuilder } from "../../src/model/build.js";
import { bucketBounds } from "../../src/model/histogram.js";
import type { Profile } from "../../src/model/profile.js";
import { hertz } from "../../src/model/units.js";
import { Child } from "../support/children.js";
import { runProgram, startProgram } from "../support/programs.js";
import { loss, recordWhile, rowsOf, sleep, sum } from "../support/record.js";

const PIPE = "0";
const MMAP = "1";
const FILES = "2";
const THREADS = "5";

/** Records `locks` while the program fights for one lock; gives its summary and the program's pid. */
async function contend(mode: string, threads: number, ms: number, filtered = true) {
  const program = await startProgram("lock-contention", {
    args: ["--mode", mode, "--threads", String(threads), "--ms", String(ms)],
    hold: true,
  });
  const filters = filtered ? { pids: [program.pid] } : {};
  const recorded = await recordWhile({ sources: ["locks"], filters }, async () => {
    program.go();
    await program.result(30_000);
  });
  return { ...recorded, pid: program.pid, locks: lockSummaries(recorded.profile) };
}

const weightOf = (profile: Profile, lock: number) => {
  const table = profile.weights.find((w) => w.source === "locks")!;
  let weight = 0;
  for (let row = 0; row < table.count; row++) if (table.lock![row] === lock) weight += table.weightNs[row]!;
  return weight;
};

test("the mutex of a pipe: its callers, its owners, and sampled stacks that add up to the exact total", async () => {
  let { locks, profile, final } = await contend(PIPE, 4, 2000);
  // where something else keeps a CPU busy the threads follow one another on the other, and do not contend
  for (let again = 0; again < 3 && !locks.some((l) => l.kind === "mutex" && l.count > 1000); again++)
    ({ locks, profile, final } = await contend(PIPE, 4, 2000));
  // the mutex's own spin lock can come out above it where the host takes a CPU away from its holder
  const top = locks.find((l) => l.kind === "mutex");
  expect(top!.count).toBeGreaterThan(1000);
  expect(top!.callers.map((c) => c.name).join(" ")).toMatch(/pipe_write|anon_pipe_write/);
  const estimate = weightOf(profile, top!.lock);
  const room = 0.02 + 2 * top!.relativeError!;
  expect(estimate / top!.sumNs, `relative error ${top!.relativeError}`).toBeGreaterThan(1 - room);
  expect(estimate / top!.sumNs).toBeLessThan(1 + room);
  expect(
    sum(
      top!.buckets.map((n) => ({ n })),
      (b) => b.n,
    ),
  ).toBe(top!.count);
  expect(top!.owners.length).toBeGreaterThan(0);
  expect(top!.owners[0]!.name).toContain("lock-contention");
  expect(loss(final, "locks.ring_full")).toBe(0);
  // the waiters' stacks have both halves, and nothing of lowflame at their leaf
  const rows = rowsOf(profile, "locks");
  expect(rows.some((r) => r.kinds.includes("user") && r.kinds.includes("kernel"))).toBe(true);
  expect(rows.filter((r) => /lf_lock|contention_begin|bpf_trace_run/.test(r.stack.at(-1) ?? ""))).toEqual([]);
});

test("callers of a lock whose waits are shorter than a stack takes: each has the share that its calls lost", async () => {
  const program = await startProgram("lock-callers", {
    args: ["--long", "90000", "--every", "2", "--ms", "4000"],
    hold: true,
  });
  const { profile } = await recordWhile(
    { sources: ["locks"], filters: { pids: [program.pid] } },
    async () => {
      program.go();
      await program.result(30_000);
    },
  );
  const lost = await program.result();
  expect(Math.abs(lost.oftenCalls - lost.seldomCalls)).toBeLessThan(2);
  const truth = lost.seldomNs / (lost.seldomNs + lost.oftenNs);
  expect(truth).toBeGreaterThan(0.7);
  const top = lockSummaries(profile).find((l) => l.kind === "mutex")!;
  const told = top.callers.find((c) => c.name === "pipe_ioctl")?.share ?? 0;
  expect(Math.abs(told - truth), `told ${told}, true ${truth}`).toBeLessThan(0.12);
});

test("a capture that was cut: as many waits and as long as the kernel's totals say, by its samples alone", async () => {
  const program = await startProgram("lock-contention", {
    args: ["--mode", PIPE, "--threads", "4", "--ms", "4000"],
    hold: true,
  });
  const { profile, events } = await recordWhile(
    { sources: ["locks"], filters: { pids: [program.pid] } },
    async () => {
      program.go();
      await program.result(30_000);
    },
  );
  const builder = new ProfileBuilder();
  for (const event of events) if (event.type !== "end") builder.add(event);
  const cut = builder.build();
  const whole = lockSummaries(profile).find((l) => l.kind === "mutex")!;
  const told = lockSummaries(cut).find((l) => l.locks.includes(whole.lock))!;
  expect(lockTotalsExact(cut, "locks")).toBe(false);
  expect(told.samples).toBeGreaterThan(200);
  for (const part of ["count", "sumNs"] as const) {
    expect(told[part] / whole[part], `${part}: ${told[part]} told of ${whole[part]}`).toBeGreaterThan(0.6);
    expect(told[part] / whole[part], `${part}: ${told[part]} told of ${whole[part]}`).toBeLessThan(1.6);
  }
});

test("mmap_lock is called so, with the process whose it is", async () => {
  const { locks, pid } = await contend(MMAP, 6, 2000);
  // a cache that the kernel has merged with others is not called as if one of them were known to be meant
  const caches = readdirSync("/sys/kernel/slab", { withFileTypes: true }).filter((cache) =>
    cache.isSymbolicLink(),
  );
  const target = (name: string) => readlinkSync(`/sys/kernel/slab/${name}`);
  const merged = caches.filter(({ name }) =>
    caches.some((c) => c.name !== name && target(c.name) === target(name)),
  );
  expect(merged.length).toBeGreaterThan(0);
  const named = locks.map(({ name }) => / in a (\S+) object$/.exec(name)?.[1]);
  expect(named.filter((cache) => merged.some(({ name }) => name === cache))).toEqual([]);
  // the spin lock of its queue is called so, too
  const mine = locks.filter(
    (l) => l.name.startsWith("mmap_lock of lock-contention") && l.kind !== "spin lock",
  );
  expect(mine.length).toBeGreaterThan(0);
  expect(mine[0]!.name).toBe(`mmap_lock of lock-contention (pid ${pid})`);
  expect(mine[0]!.kind).toMatch(/^rwsem/);
  expect(mine[0]!.waiters[0]!.count).toBeGreaterThan(0);
});

test("dup and close from several threads: the spin lock of the file table", async () => {
  const { locks, pid, profile } = await contend(FILES, 4, 2000);
  // a run queue's can come out above it where the host takes a CPU away from its holder
  const top = locks.find((l) => !l.name.startsWith("run queue"));
  expect(top).toMatchObject({
    kind: "spin lock",
    name: `file table (file_lock) of lock-contention (pid ${pid})`,
  });
  expect(top!.callers.map((c) => c.name).join(" ")).toMatch(
    /alloc_fd|file_close_fd|close_fd|fd_install|ksys_dup|pick_file/,
  );
  expect(LOCK_KINDS[profile.locks[top!.lock]!.kind]).toBe("spin lock");
});

test("as many waits as the kernel's tracepoint has ends", async () => {
  const program = await startProgram("lock-contention", { args: ["--ms", "6000"] });
  try {
    await sleep(300);
    let perf: Child | undefined;
    const recorded = await recordWhile({ sources: ["locks"], filters: { pids: [program.pid] } }, async () => {
      perf = Child.start([
        ...["perf", "stat", "-x", ",", "-e", "lock:contention_end", "-p", String(program.pid)],
        ...["--", "sleep", "2"],
      ]);
      await perf.exited;
    });
    const ends = Number(
      perf!.stderr
        .split("\n")
        .find((l) => l.includes("contention_end"))
        ?.split(",")[0],
    );
    const waits = sum(recorded.final.lockTotals, (t) => t.count);
    const missed = loss(recorded.final, "bpf.recursion_missed") + loss(recorded.final, "locks.nested");
    // perf counts within the recording: a little less of it
    expect(ends).toBeGreaterThan(1000);
    const seconds = Number(recorded.final.endMonotonicNs - recorded.start.startMonotonicNs) / 1e9;
    expect(waits + missed).toBeGreaterThan(ends * 0.98);
    expect(waits / seconds).toBeLessThan((ends / 2) * 1.35);
  } finally {
    await program.stop();
  }
});

test("a mutex held by a thread that sleeps: every wait, its length, and the owner with its stack", async () => {
  const program = await startProgram("held-mutex", { args: ["--holds", "13", "--ms", "40"], hold: true });
  const { profile, final } = await recordWhile(
    { sources: ["locks"], filters: { pids: [program.pid] } },
    async () => {
      program.go();
      await program.result(30_000);
    },
  );
  const { waits, heldNs, lengthNs } = await program.result();
  const top = lockSummaries(profile).find((l) => l.kind === "mutex");
  // the waits of known length are those in the buckets above half of it
  const long = sum(
    top!.buckets.map((n, i) => (bucketBounds(i).low >= lengthNs / 2 ? n : 0)),
    (n) => n,
  );
  expect(long).toBe(waits);
  expect(top!.sumNs / ((heldNs / 13) * waits)).toBeGreaterThan(0.95);
  expect(top!.sumNs / ((heldNs / 13) * waits)).toBeLessThan(1.1);
  expect(top!.maxNs).toBeGreaterThan(lengthNs * 0.9);
  const owners = rowsOf(profile, "lock-owners");
  const held = owners.filter((r) => r.stack.some((f) => f.startsWith("handle_userfault")));
  // the first waiter can be there before the owner has gone to sleep: a thread that runs has no stack to be read
  expect(sum(held, (r) => r.weightNs) / sum(owners, (r) => r.weightNs)).toBeGreaterThan(0.7);
  expect(new Set(held.map((r) => r.pid))).toEqual(new Set([program.pid]));
  expect(loss(final, "locks.slot_collision")).toBe(0);
});

test("who still waits at the end is charged, with its stack", async () => {
  const held = await startProgram("held-mutex", {
    args: ["--holds", "1", "--ms", "60000", "--waiters", "7"],
    hold: true,
  });
  try {
    const { profile, final } = await recordWhile(
      { sources: ["locks"], filters: { pids: [held.pid] } },
      async () => {
        held.go();
        await sleep(1500);
      },
    );
    const waiting = rowsOf(profile, "locks").filter((r) => r.flags & 16);
    expect(sum(waiting, (r) => r.samples)).toBe(7);
    expect(sum(waiting, (r) => r.weightNs)).toBeGreaterThan(7 * 1.2e9);
    expect(waiting.every((r) => r.stack.some((f) => f.includes("mutex_lock")))).toBe(true);
    const [total] = final.lockTotals.toSorted((a, b) => b.sumNs - a.sumNs);
    expect(total!.count).toBeGreaterThanOrEqual(7);
    expect(total!.sumNs).toBeGreaterThan(7 * 1.2e9);
  } finally {
    await held.stop();
  }
});

test("more sleeping waiters than slots: the rest is counted as lost, and those with a slot stay right", async () => {
  const program = await startProgram("held-mutex", {
    args: ["--holds", "3", "--ms", "40", "--waiters", "300"],
    hold: true,
  });
  const { final } = await recordWhile(
    { sources: ["locks"], filters: { pids: [program.pid] }, threadSlots: 64 },
    async () => {
      program.go();
      await program.result(30_000);
    },
  );
  const { waits } = await program.result();
  const counted = sum(final.lockTotals, (t) => t.count);
  expect(loss(final, "locks.slot_collision")).toBeGreaterThan(100);
  expect(counted).toBeGreaterThan(64);
  expect(counted + loss(final, "locks.slot_collision")).toBeGreaterThanOrEqual(waits);
});

test("nothing waits, nothing runs: an idle second costs no program run but a handful", async () => {
  const { final } = await recordWhile({ sources: ["locks"], filters: { pids: [process.pid] } }, () =>
    sleep(1000),
  );
  const runs = final.cost.programs.find((p) => p.name === "lf_lock_begin")!.runs;
  expect(runs).toBeLessThan(100_000);
});

test("a kernel lock that is waited for much gets a row, however many were waited for before it", async () => {
  const contention = (ms: string) =>
    runProgram("lock-contention", "--mode", FILES, "--threads", "4", "--ms", ms);
  const filters = { comms: ["lock-contention"] };
  const { final, profile } = await recordWhile({ sources: ["locks"], tableRows: 8, filters }, async () => {
    for (let i = 0; i < 40; i++) await contention("20");
    await contention("2000");
  });
  const rows = lockSummaries(profile);
  expect(loss(final, "locks.table_full")).toBeGreaterThan(0);
  expect(rows[0]!.lock).toBeGreaterThanOrEqual(0);
  expect(rows[0]!.name).toContain("file_lock");
});

test("spin locks among interrupts and threads that come and go: no wait is longer than the kernel's own", async () => {
  const { profile } = await recordWhile({ sources: ["cpu", "locks"], frequencyHz: hertz(999) }, async () => {
    await Promise.all([
      runProgram("lock-contention", "--mode", FILES, "--threads", "4", "--ms", "4000"),
      runProgram("lock-contention", "--mode", THREADS, "--threads", "4", "--ms", "4000"),
      runProgram("lock-contention", "--mode", MMAP, "--threads", "4", "--ms", "4000"),
    ]);
  });
  const spun = lockSummaries(profile).filter(({ kind }) => kind === "spin lock");
  expect(sum(spun, ({ count }) => count)).toBeGreaterThan(1000);
  // a beginning and an end that do not belong together lie seconds apart; a host that takes a CPU away, milliseconds
  for (const { name, maxNs } of spun) expect(maxNs, name).toBeLessThan(200e6);
});
