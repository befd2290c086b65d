// Contention alerts: raised, with the right names, on a contended lock; silent on healthy services at full load.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { Finding } from "../../src/analysis/finding.js";
import { conditionLocks } from "../../src/analysis/futex-conditions.js";
import { LOCK_KINDS, SOURCES } from "../../src/capture/binding.js";
import { startProgram } from "../support/programs.js";
import { recordWhile, sleep, sum } from "../support/record.js";
import { startHaproxy, startNginx, startNginxProxy, startRedis } from "../support/servers.js";
import { runWrk } from "../support/wrk.js";

const run = promisify(execFile);
const LOCK_RULES = [
  "lock-contention",
  "lock-convoy",
  "user-lock-contention",
  "user-lock-convoy",
  "lock-held-asleep",
  "lock-held-running",
  "spinlock-share",
  "optimistic-spin",
];
const locksOnly = (findings: readonly Finding[]) => findings.filter((f) => LOCK_RULES.includes(f.rule));
const sources = [...SOURCES];

test("a convoy at a mutex whose owner sleeps: which lock, who holds it, on what the owner sleeps", async () => {
  const program = await startProgram("lock-convoy", { args: ["--holds", "5", "--ms", "300"], hold: true });
  const { profile } = await recordWhile({ sources }, async () => {
    program.go();
    await program.result(30_000);
  });
  const { holderTid } = await program.result();
  const findings = locksOnly(analyze(profile));
  const rules = findings.map((f) => f.rule);
  expect(rules).toContain("user-lock-convoy");
  expect(rules).toContain("lock-held-asleep");
  const inversion = findings.find((f) => f.rule === "lock-held-asleep")!;
  expect(inversion.title).toContain(`pid ${holderTid}`);
  expect(inversion.title).toMatch(/nanosleep/);
  for (const finding of findings) expect(finding.next.length, finding.rule).toBeGreaterThan(0);
});

for (const waiters of [3, 1])
  test(`a mutex held for 300 ms of computing while ${waiters} wait: which lock, who holds it, and what it runs`, async () => {
    const program = await startProgram("lock-convoy", {
      args: ["--holds", "3", "--ms", "300", "--waiters", String(waiters), "--compute"],
      hold: true,
      // on a busy machine it would be off the CPU for most of the time
      wrap: ["chrt", "-f", "1"],
    });
    const { profile } = await recordWhile({ sources }, async () => {
      program.go();
      await program.result(30_000);
    });
    const { holderTid, waitedNs } = await program.result();
    const held = analyze(profile).filter((f) => f.rule.startsWith("lock-held"));
    expect(held.map((f) => f.rule)).toEqual(["lock-held-running"]);
    const [finding] = held;
    expect(finding!.title).toContain(`(pid ${holderTid}) ran for 3`);
    expect(finding!.title).toContain(waiters === 1 ? "another thread waited" : "3 other threads waited");
    // who calls the C library, whose own functions have no frame pointers
    expect(finding!.detail).toMatch(/The lock is wanted in wait_for_the_mutex\b/);
    expect(finding!.detail).toContain("main > compute_with_the_mutex");
    expect(finding!.contributors[0]).toMatchObject({ name: "compute_with_the_mutex" });
    expect(finding!.contributors[0]!.share).toBeGreaterThan(0.9);
    expect(finding).toMatchObject({ tab: "cpu", search: "=compute_with_the_mutex" });
    const waited = profile.heldLocks.filter(({ lengthNs }) => lengthNs >= 100e6);
    expect(sum(waited, (hold) => hold.waitedNs) / waitedNs).toBeGreaterThan(0.9);
    expect(sum(waited, (hold) => hold.waitedNs) / waitedNs).toBeLessThanOrEqual(1.01);
  });

test("the same where CPU time is not recorded: the owner has no waits of its own", async () => {
  const program = await startProgram("lock-convoy", {
    args: ["--holds", "3", "--ms", "300", "--waiters", "3", "--compute"],
    hold: true,
    wrap: ["chrt", "-f", "1"],
  });
  const { profile } = await recordWhile({ sources: ["offcpu", "futex"] }, async () => {
    program.go();
    await program.result(30_000);
  });
  const { holderTid } = await program.result();
  const held = analyze(profile).filter((f) => f.rule.startsWith("lock-held"));
  expect(held.map((f) => f.rule)).toEqual(["lock-held-running"]);
  expect(held[0]!.title).toContain(`(pid ${holderTid}) ran for 3`);
  expect(held[0]!.next.join(" ")).toContain("--what cpu,offcpu,futex");
});

test("a quiet pool of threads that wait for work is no contention", async () => {
  // until it is told to go on, its 24 threads wait for a semaphore
  const program = await startProgram("lock-convoy", { args: ["--waiters", "24"], hold: true });
  const { profile, final } = await recordWhile({ sources: ["futex"], filters: { pids: [program.pid] } }, () =>
    sleep(1500),
  );
  await program.stop();
  const waits = final.lockTotals.filter((t) => profile.processes[t.process]?.pid === program.pid);
  expect(waits.map((t) => LOCK_KINDS[profile.locks[t.lock]!.kind])).toEqual(["user condition or idle wait"]);
  expect(waits[0]!.count).toBe(24);
  expect(locksOnly(analyze(profile)).map((f) => `${f.title} ${f.detail}`)).toEqual([]);
});

for (const name of ["atomic-pool", "atomic-pool-stripped"] as const)
  test(`idle threads in std::atomic::wait are no contention, a lock made of it is: ${name}`, async () => {
    const program = await startProgram(name, { hold: true });
    const { profile, final } = await recordWhile(
      { sources: ["futex"], filters: { pids: [program.pid] } },
      async () => {
        program.go();
        await program.result(30_000);
      },
    );
    const { version, idle, lock } = await program.result();
    const conditions = conditionLocks(profile);
    const rowsAt = (address: number) =>
      final.lockTotals.filter((t) => profile.locks[t.lock]?.address === BigInt(address));
    const lockNs = (address: number) =>
      sum(rowsAt(address), (t) => (conditions.has(t.lock) ? 0 : t.sumNs)) /
      sum(rowsAt(address), (t) => t.sumNs);
    // by the value alone it is one; of the other word a look at memory may tell
    expect(rowsAt(version).some((t) => LOCK_KINDS[profile.locks[t.lock]!.kind] === "user lock")).toBe(true);
    expect(lockNs(version)).toBe(0);
    expect(lockNs(idle)).toBe(0);
    expect(lockNs(lock)).toBe(1);
    const found = locksOnly(analyze(profile));
    expect(found.length).toBeGreaterThan(0);
    for (const { title } of found) expect(title).toContain(`0x${lock.toString(16)}`);
  });

test("nginx proxying at full load, and a healthy redis: no contention alert", async () => {
  const nginx = await startNginxProxy();
  try {
    const load = runWrk(nginx.url, { seconds: 5, connections: 64 });
    await sleep(500);
    const { profile } = await recordWhile({ sources, filters: { pids: nginx.pids() } }, () => sleep(3500));
    expect((await load).requests).toBeGreaterThan(1000);
    expect(locksOnly(analyze(profile)).map((f) => `${f.title} ${f.detail}`)).toEqual([]);
  } finally {
    await nginx.stop();
  }
  const redis = await startRedis();
  try {
    const { profile } = await recordWhile({ sources, filters: { pids: redis.pids() } }, async () => {
      await run("redis-benchmark", [
        ...["-p", String(redis.port), "-t", "set,get", "-n", "40000", "-c", "50", "-q"],
      ]);
    });
    expect(locksOnly(analyze(profile)).map((f) => `${f.title} ${f.detail}`)).toEqual([]);
  } finally {
    await redis.stop();
  }
});

test("a healthy haproxy, and redis whose main thread parks its I/O threads at mutexes: nobody runs with a lock held", async () => {
  const nginx = await startNginx();
  const haproxy = await startHaproxy(nginx.port);
  try {
    const load = runWrk(haproxy.url, { seconds: 4, connections: 64 });
    await sleep(500);
    const { profile } = await recordWhile({ sources, filters: { pids: haproxy.pids() } }, () => sleep(2500));
    expect((await load).requests).toBeGreaterThan(1000);
    expect(locksOnly(analyze(profile)).map((f) => `${f.title} ${f.detail}`)).toEqual([]);
  } finally {
    await haproxy.stop();
    await nginx.stop();
  }
  const redis = await startRedis({ ioThreads: 3 });
  try {
    const { profile } = await recordWhile({ sources, filters: { pids: redis.pids() } }, async () => {
      // one client that sends many at once: the main thread computes, and wants no help
      const load = ["-p", String(redis.port), "-t", "set", "-n", "300000", "-c", "1", "-P", "64", "-q"];
      await run("redis-benchmark", load);
    });
    // parked for long, by an owner that runs: what would be told if nobody knew better
    expect(profile.heldLocks.some(({ lengthNs }) => lengthNs >= 100e6)).toBe(true);
    expect(
      analyze(profile)
        .filter(({ rule }) => ["lock-held-running", "lock-held-asleep"].includes(rule))
        .map(({ title }) => title),
    ).toEqual([]);
    // a load that leaves the main thread waiting for events with the mutexes held
    const busy = await recordWhile({ sources, filters: { pids: redis.pids() } }, async () => {
      await run("redis-benchmark", ["-p", String(redis.port), "-t", "set", "-n", "8000", "-c", "20", "-q"]);
      await sleep(2500);
    });
    expect(
      analyze(busy.profile)
        .filter(({ rule }) => rule === "lock-held-asleep")
        .map(({ title }) => title),
    ).toEqual([]);
  } finally {
    await redis.stop();
  }
});
