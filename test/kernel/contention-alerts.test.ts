// Contention alerts: raised, with the right names, on a contended lock; silent on healthy services at full load.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { Finding } from "../../src/analysis/finding.js";
import { LOCK_KINDS, SOURCES } from "../../src/capture/binding.js";
import { startProgram } from "../support/programs.js";
import { recordWhile, sleep } from "../support/record.js";
import { startNginxProxy, startRedis } from "../support/servers.js";
import { runWrk } from "../support/wrk.js";

const run = promisify(execFile);
const LOCK_RULES = [
  "lock-contention",
  "lock-convoy",
  "user-lock-contention",
  "user-lock-convoy",
  "lock-held-asleep",
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
