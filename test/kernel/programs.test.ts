// The yardsticks are themselves checked: what each test program says of itself must agree with the kernel's accounts.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { startBpfHog } from "../support/bpf-hog.js";
import { cgroupRoot, makeCgroup } from "../support/cgroups.js";
import { Child } from "../support/children.js";
import { programsDir } from "../support/paths.js";
import { startPerfRecord, summarizePerf } from "../support/perf-record.js";
import {
  commBytes,
  contextSwitches,
  groupMembers,
  isAlive,
  schedstat,
  stateOf,
  threadsOf,
} from "../support/proc.js";
import { programPath, runProgram, startProgram } from "../support/programs.js";
import { type Server, startHaproxy, startNginx, startNginxProxy, startRedis } from "../support/servers.js";
import { runWrk } from "../support/wrk.js";

const MS = 1e6;

describe("known-cpu", () => {
  for (const name of ["known-cpu", "known-cpu-nofp"] as const) {
    test(`${name} spends 50, 30 and 20 % in its functions and its CPU time is the scheduler's`, async () => {
      const { functions, cpuNs, threads } = await runProgram(name, "--ms", "400", "--threads", "2");
      expect(threads).toBe(2);
      expect(functions.burn_half / cpuNs).toBeCloseTo(0.5, 1.7);
      expect(functions.burn_thirty_percent / cpuNs).toBeCloseTo(0.3, 1.7);
      expect(functions.burn_fifth / cpuNs).toBeCloseTo(0.2, 1.7);
      const inFunctions = functions.burn_half + functions.burn_thirty_percent + functions.burn_fifth;
      expect(inFunctions).toBeLessThanOrEqual(cpuNs);
      expect(inFunctions / cpuNs).toBeGreaterThan(0.99);
      expect(cpuNs).toBeGreaterThanOrEqual(800 * MS);
    });
  }

  test("perf record sees the shares that the program counted", async () => {
    const program = await startProgram("known-cpu", { args: ["--ms", "2000"], hold: true });
    const perf = await startPerfRecord({ frequencyHz: 499, pid: program.pid });
    program.go();
    const counted = await program.result();
    const samples = await perf.stop();
    const own = samples.filter((s) => s.pid === program.pid);
    const share = (name: string) => own.filter((s) => s.frames.includes(name)).length / own.length;
    expect(own.length).toBeGreaterThan(700);
    for (const [name, ns] of Object.entries(counted.functions))
      expect(Math.abs(share(name) - ns / counted.cpuNs), name).toBeLessThan(0.06);
  });

  test("the build without frame pointers sets up none, and has .eh_frame instead", () => {
    const prologues = (path: string) =>
      execFileSync("objdump", ["-d", "--no-show-raw-insn", "--disassemble=burn_half", path], {
        encoding: "utf8",
      });
    expect(prologues(programPath("known-cpu"))).toMatch(/mov\s+%rsp,%rbp/);
    expect(prologues(programPath("known-cpu-nofp"))).not.toMatch(/mov\s+%rsp,%rbp/);
    expect(execFileSync("readelf", ["-SW", programPath("known-cpu-nofp")], { encoding: "utf8" })).toContain(
      ".eh_frame ",
    );
  });
});

describe("known-sleep", () => {
  test("each thread sleeps as often and as long as it says, and the kernel saw as many switches", async () => {
    const { sleepers, wallNs } = await runProgram("known-sleep");
    expect(sleepers.map((s) => s.name)).toEqual([
      "sleep-short",
      "sleep-medium",
      "sleep-long",
      "sleep-poll",
      "sleep-futex",
      "sleep-pipe",
      "sleep-writer",
      "sleep-vfork",
      "sleep-stopped",
    ]);
    for (const s of sleepers) {
      expect(isPrime(s.count), `${s.name}: ${s.count}`).toBe(true);
      // The pipe's reader starts whenever its writer does, so its first wait may be shorter.
      if (s.name !== "sleep-pipe" && s.name !== "sleep-stopped")
        expect(s.minNs, s.name).toBeGreaterThanOrEqual(s.lengthNs * 0.999);
      expect(s.measuredNs, s.name).toBeGreaterThan(s.count * s.lengthNs * 0.98);
      expect(s.measuredNs, s.name).toBeLessThanOrEqual(wallNs);
      expect(s.voluntarySwitches, s.name).toBeGreaterThanOrEqual(s.count - 1);
      expect(s.voluntarySwitches, s.name).toBeLessThanOrEqual(s.count * 1.05 + 3);
    }
  });

  test("the vfork parent is seen in state D and the stopped process in state T", async () => {
    const program = await startProgram("known-sleep");
    const seen = new Set<string>();
    while (program.child.running) {
      for (const tid of safely(() => threadsOf(program.pid)) ?? [])
        seen.add(
          `${safely(() => commBytes(program.pid, tid).toString())}:${safely(() => threadState(program.pid, tid))}`,
        );
      for (const pid of safely(() => groupMembers(program.pid)) ?? [])
        seen.add(`${safely(() => commBytes(pid).toString())}:${safely(() => stateOf(pid))}`);
      await sleep(20);
    }
    expect(seen).toContain("sleep-vfork:D");
    expect(seen).toContain("sleep-stopped:T");
    expect(seen).toContain("sleep-long:S");
  });
});

test("known-runq: three spinners on one CPU wait twice as long as they run", async () => {
  const { spinners, wallNs } = await runProgram("known-runq", "--ms", "900", "--threads", "3");
  const cpu = spinners.reduce((sum, s) => sum + s.cpuNs, 0);
  const delay = spinners.reduce((sum, s) => sum + s.runDelayNs, 0);
  expect(cpu).toBeLessThanOrEqual(wallNs * 1.01);
  expect(delay).toBeGreaterThan(cpu * 1.8);
  // Time on the CPU and time waiting for it are all there is: three threads, each busy from start to end.
  expect((cpu + delay) / (3 * wallNs)).toBeGreaterThan(0.95);
  expect((cpu + delay) / (3 * wallNs)).toBeLessThan(1.02);
});

test("many-threads: ten thousand live at once, and each wake is a switch that the kernel counted", async () => {
  const program = await startProgram("many-threads", {
    args: ["--threads", "10000", "--ms", "1500"],
    hold: true,
  });
  expect(threadsOf(program.pid).length).toBe(10_001);
  program.go();
  const { threads, wakes, voluntarySwitches } = await program.result();
  expect(threads).toBe(10_000);
  expect(wakes).toBeGreaterThanOrEqual(10_000);
  expect(voluntarySwitches).toBeGreaterThanOrEqual(wakes);
});

test("page-fault: one minor fault a page", async () => {
  const { pagesTouched, minorFaults, touchNs, cpuNs } = await runProgram("page-fault", "--ms", "300");
  expect(pagesTouched).toBeGreaterThan(4096);
  expect(minorFaults / pagesTouched).toBeGreaterThanOrEqual(1);
  expect(minorFaults / pagesTouched).toBeLessThan(1.01);
  expect(touchNs / cpuNs).toBeGreaterThan(0.5);
});

test("exits-fast: each process burns its 50 ms and is gone", async () => {
  const { processes, childrenCpuNs } = await runProgram("exits-fast", "--repeat", "7");
  expect(processes).toBe(7);
  expect(childrenCpuNs / 7).toBeGreaterThanOrEqual(49 * MS);
  expect(childrenCpuNs / 7).toBeLessThan(60 * MS);
});

test("sleeper-forever: sleeps until it is told, and counts from its start", async () => {
  const program = await startProgram("sleeper-forever");
  const from = process.hrtime.bigint();
  await sleep(400);
  expect(stateOf(program.pid)).toBe("S");
  program.child.signal("SIGTERM");
  const { sleepers } = await program.result();
  const outside = Number(process.hrtime.bigint() - from);
  expect(sleepers.map((s) => s.name)).toEqual(["forever-poll", "forever-futex", "forever-pipe"]);
  for (const s of sleepers) expect(Math.abs(s.asleepNs - outside), s.name).toBeLessThan(100 * MS);
});

test("ping-pong: its switches are the machine's switches", async () => {
  const before = contextSwitches();
  const { roundTrips, switches } = await runProgram("ping-pong", "--ms", "400");
  const machine = contextSwitches() - before;
  expect(roundTrips).toBeGreaterThan(1000);
  expect(switches).toBeGreaterThan(roundTrips);
  expect(machine).toBeGreaterThanOrEqual(switches);
});

describe("hostile-names", () => {
  test("the kernel holds the names byte for byte", async () => {
    const program = await startProgram("hostile-names", { args: ["--ms", "300"], hold: true });
    program.go();
    const seen = new Set<string>();
    while (program.child.running) {
      for (const tid of safely(() => threadsOf(program.pid)) ?? []) {
        const comm = safely(() => commBytes(program.pid, tid));
        if (comm) seen.add(comm.toString("hex"));
      }
      await sleep(10);
    }
    const { threads } = await program.result();
    const wanted = threads.map((t) => t.commHex);
    expect(wanted.map((hex) => Buffer.from(hex, "hex").toString("latin1"))).toContain("<script>x</scri");
    for (const hex of wanted) expect(seen).toContain(hex);
  });

  test("its symbols hold markup, 4,000 characters, and over 4,000 characters once demangled", () => {
    const nm = (...args: string[]) =>
      execFileSync("nm", [...args, programPath("hostile-names")], { encoding: "utf8" });
    expect(nm()).toContain("<script>alert('symbol')</script>&amp;;");
    const long = /\s(burn_long_x+)$/m.exec(nm())?.[1];
    expect(long?.length).toBe(4000);
    const template = /burn_template<.*$/m.exec(nm("-C"))?.[0];
    expect(template!.length).toBeGreaterThan(4000);
  });
});

describe("the BPF hog", () => {
  test("most of the victim's time is inside bpftrace's program, as perf record sees it", async () => {
    const hog = await startBpfHog({ ms: 8000, cpu: 0 });
    try {
      const perf = await startPerfRecord({ frequencyHz: 199 });
      const before = schedstat(hog.victim.pid).cpuNs;
      await sleep(1500);
      const burnt = schedstat(hog.victim.pid).cpuNs - before;
      const samples = await perf.stop();
      const victim = samples.filter((s) => s.pid === hog.victim.pid);
      expect(summarizePerf(victim).bpfShare).toBeGreaterThan(0.8);
      expect(victim.every((s) => s.cpu === 0)).toBe(true);
      // However much of the CPU the victim got, perf has a sample for nearly each period of it.
      expect(victim.length).toBeGreaterThan((burnt / 1e9) * 199 * 0.85);
    } finally {
      await hog.stop();
    }
    const left = execFileSync("bpftool", ["prog", "show"], { encoding: "utf8" });
    expect(left).not.toContain("sys_enter_getpp");
  });
});

describe("servers", () => {
  const open: Server[] = [];
  afterEach(async () => {
    for (const server of open.splice(0)) await server.stop();
  });
  const keep = <T extends Server>(server: T): T => {
    open.push(server);
    return server;
  };

  test("nginx proxies to nginx over connections that are kept", async () => {
    const pair = keep(await startNginxProxy());
    expect(pair.proxy.pids().length).toBe(3);
    expect(await (await fetch(pair.url)).text()).toHaveLength(1024);
    const load = await runWrk(pair.url, { seconds: 1, connections: 16 });
    expect(load.badAnswers + load.socketErrors).toBe(0);
    expect(load.p99Ns).toBeGreaterThanOrEqual(load.p50Ns);
    // Kept alive: thousands of requests went over at most as many connections as the pool and wrk have.
    const used = connectionsTo(pair.backend.port);
    expect(load.requests).toBeGreaterThan(1000);
    expect(used).toBeGreaterThan(0);
    expect(used).toBeLessThanOrEqual(160);
    const pids = pair.pids();
    await pair.stop();
    for (const pid of pids) expect(isAlive(pid), String(pid)).toBe(false);
  });

  test("haproxy answers from its backend", async () => {
    const backend = keep(await startNginx({ workers: 1 }));
    const haproxy = keep(await startHaproxy(backend.port));
    expect((await fetch(haproxy.url)).status).toBe(200);
  });

  test("redis accepts connections and has no persistence to leave behind", async () => {
    const redis = keep(await startRedis());
    const reply = execFileSync("redis-cli", ["-p", String(redis.port), "ping"], { encoding: "utf8" });
    expect(reply.trim()).toBe("PONG");
  });

  test("workers die with their master, even when that is killed with -9", async () => {
    const backend = keep(await startNginx());
    const workers = backend.pids();
    expect(workers.length).toBe(3);
    process.kill(backend.pid, "SIGKILL"); // workers alone would live on
    await expect.poll(() => workers.filter(isAlive), { timeout: 3000 }).toEqual([]);
  });
});

test("a child dies with its starter, even when that is killed with -9", async () => {
  const starter = Child.start(["sh", "-c", `${join(programsDir(), "leash")} sleep 60 & echo $!; wait`]);
  await starter.until(() => starter.stdout.includes("\n"), 3000, "pid");
  const pid = Number(starter.stdout);
  await expect.poll(() => safely(() => commBytes(pid).toString())).toBe("sleep");
  process.kill(starter.pid, "SIGKILL");
  await expect.poll(() => isAlive(pid), { timeout: 3000 }).toBe(false);
});

test("a temporary cgroup holds the processes that are put there, and goes away", async () => {
  const group = makeCgroup("lowflame-test");
  const inner = group.child("inner");
  const program = await startProgram("sleeper-forever");
  inner.add(program.pid);
  expect(readFileSync(`/proc/${program.pid}/cgroup`, "utf8")).toContain(
    inner.path.slice(cgroupRoot().length),
  );
  await program.stop();
  group.remove();
  expect(existsSync(group.path)).toBe(false);
});

test("a program runs under the name that a test gives it", async () => {
  const program = await startProgram("sleeper-forever", { comm: "my proxy" });
  expect(commBytes(program.pid).toString()).toBe("my proxy");
  await program.stop();
});

test("schedstat of a thread grows with what it burns", async () => {
  const program = await startProgram("getppid-loop", { args: ["--ms", "300"], hold: true });
  const before = schedstat(program.pid);
  program.go();
  await sleep(200);
  const after = schedstat(program.pid);
  expect(after.cpuNs - before.cpuNs).toBeGreaterThan(50 * MS);
  expect((await program.result()).cpuNs).toBeGreaterThan(after.cpuNs - before.cpuNs);
});

function safely<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined; // the thread ended between listing and reading
  }
}

function threadState(pid: number, tid: number): string {
  const text = readFileSync(`/proc/${pid}/task/${tid}/stat`, "latin1");
  return text.slice(text.lastIndexOf(")") + 2, text.lastIndexOf(")") + 3);
}

/** Open TCP connections to a port of this machine, from the connecting side, whatever state they are in. */
function connectionsTo(port: number): number {
  const hex = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return readFileSync("/proc/net/tcp", "latin1")
    .split("\n")
    .filter((line) => line.trim().split(/\s+/)[2]?.endsWith(hex)).length;
}

function isPrime(n: number): boolean {
  if (n < 2) return false;
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return true;
}
