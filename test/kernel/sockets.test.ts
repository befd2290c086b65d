// System calls on sockets: every one that a program of known behaviour made is counted, with its bytes, errors and
// endpoint; and where the time went.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { ENDPOINT_ROLES, SampleFlag } from "../../src/capture/binding.js";
import { startProgram } from "../support/programs.js";
import { loss, type Recorded, recordWhile, sleep, sum } from "../support/record.js";

const WRITE = 1;
const POLL = 7;
const CONNECT = 42;
const SENDTO = 44;
const RECVFROM = 45;
const IN_PROGRESS = 16;
const NOTHING_ASKED = 128;
/** Of the calls that strace has in its class `network` and that are recorded. */
const SYSCALL_NUMBERS: Record<string, number> = {
  socket: 41,
  connect: 42,
  accept: 43,
  sendto: SENDTO,
  recvfrom: RECVFROM,
  sendmsg: 46,
  recvmsg: 47,
  shutdown: 48,
  bind: 49,
  listen: 50,
  socketpair: 53,
  setsockopt: 54,
  getsockopt: 55,
  accept4: 288,
  recvmmsg: 299,
  sendmmsg: 307,
};

const nameOf = ({ profile }: Recorded, endpoint: number): string => {
  const e = profile.endpoints[endpoint];
  if (!e) return "?";
  const role = ENDPOINT_ROLES[e.role]!;
  if (role === "family") return `family ${e.family} ${e.port}`;
  return role === "path" || role === "served path" || role === "process"
    ? `${role} ${e.address}`
    : `${role} ${e.address} ${e.port}`;
};
const pidOf = ({ profile }: Recorded, process: number) => profile.processes[process]?.pid;

for (const without of [[], ["sched_exit_tp", "bpf_rdonly_cast"]]) {
  const kernel = without.length ? "on an older kernel" : "on this kernel";

  test(`each call is counted, with its bytes, errors and endpoint, ${kernel}`, async () => {
    const program = await startProgram("socket-calls", { args: ["--ms", "30"], hold: true });
    const recorded = await recordWhile(
      { sources: ["sockets"], filters: { pids: [program.pid] }, without },
      async () => {
        program.go();
        await program.result(30_000);
      },
    );
    const { calls, endpoints, slowEnd, answers, blockedNs } = await program.result();
    const { final } = recorded;
    // its standard output is a socket, too, to the process that runs the test
    const output = final.endpointTotals.find(
      (t) =>
        pidOf(recorded, t.process) === program.pid &&
        nameOf(recorded, t.endpoint) === `process ${process.pid}`,
    )!;
    const mine = final.callTotals
      .filter((t) => pidOf(recorded, t.process) === program.pid)
      .map((t) =>
        t.syscall === WRITE ? { ...t, count: t.count - output.count, bytes: t.bytes - output.bytesOut } : t,
      );
    const shown = (c: { syscall: number; count: number; bytes: number; errors: number }, errors: string) =>
      `${c.syscall}: ${c.count} calls, ${c.bytes} bytes, ${c.errors} errors ${errors}`;
    const told = mine
      .toSorted((a, b) => a.syscall - b.syscall)
      .map((t) => shown(t, t.byError.map((e) => `${e.errno}x${e.count}`).join()));
    expect(told).toEqual(
      calls.map((c) =>
        shown(
          c,
          Object.entries(c.byError)
            .map(([errno, n]) => `${errno}x${n}`)
            .join(),
        ),
      ),
    );
    for (const t of mine) {
      const all = t.count + (t.syscall === WRITE ? output.count : 0);
      expect(sum(t.buckets, (n) => n)).toBe(all);
      expect(sum(t.busyBuckets, (n) => n)).toBe(all);
    }

    for (const end of endpoints) {
      const rows = final.endpointTotals.filter(
        (t) => pidOf(recorded, t.process) === program.pid && nameOf(recorded, t.endpoint) === end.name,
      );
      expect({
        name: end.name,
        count: sum(rows, (r) => r.count),
        bytesOut: sum(rows, (r) => r.bytesOut),
        bytesIn: sum(rows, (r) => r.bytesIn),
        errors: sum(rows, (r) => r.errors),
        again: sum(rows, (r) => r.again),
      }).toEqual(end);
    }

    // the peer that sleeps: the time is blocked, and is the other side's
    const recv = mine.find((t) => t.syscall === RECVFROM)!;
    expect(recv.blockedNs / blockedNs).toBeGreaterThan(0.95);
    expect(recv.blockedNs / blockedNs).toBeLessThan(1.02);
    const slow = final.endpointTotals.find((t) => nameOf(recorded, t.endpoint) === slowEnd)!;
    expect(slow.turns).toBe(answers);
    expect(slow.turnSumNs / blockedNs).toBeGreaterThan(0.97);
    expect(slow.turnSumNs / blockedNs).toBeLessThan(1.03);
    for (const id of ["sockets.table_full", "sockets.endpoints_full", "sockets.slot_collision"])
      expect(loss(final, id), id).toBe(0);
  });
}

test("strace counts the same calls and errors", async () => {
  const dir = mkdtempSync(join(tmpdir(), "lowflame-strace-"));
  const path = join(dir, "counts");
  try {
    // strace sees the program from its first call, and the process that it starts: so the recording has to
    const recorded = await recordWhile(
      { sources: ["sockets"], filters: { comms: ["socket-calls"] } },
      async () => {
        const wrap = ["strace", "-f", "-c", "-o", path, "-e", "trace=network"];
        const program = await startProgram("socket-calls", { args: ["--ms", "5"], wrap });
        await program.result(60_000);
      },
    );
    // % time, seconds, usecs/call, calls, errors (or nothing), name
    const counted = readFileSync(path, "latin1")
      .split("\n")
      .map((line) => /^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:(\d+)\s+)?([a-z0-9_]+)$/.exec(line))
      .filter((m) => m !== null && SYSCALL_NUMBERS[m[3]!] !== undefined)
      .map((m) => `${m![3]} ${m![1]} calls ${m![2] ?? 0} errors`);
    expect(counted.length).toBeGreaterThan(12);
    const ours = Object.entries(SYSCALL_NUMBERS).map(([name, nr]) => {
      const rows = recorded.final.callTotals.filter((t) => t.syscall === nr);
      return `${name} ${sum(rows, (t) => t.count)} calls ${sum(rows, (t) => t.errors)} errors`;
    });
    expect(ours.filter((row) => !row.includes(" 0 calls")).sort()).toEqual(counted.sort());
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test("100,000 endpoints: memory stays as it is, and what finds no row is in the row other", async () => {
  const destinations = 100_000;
  const program = await startProgram("socket-calls", {
    args: ["--destinations", String(destinations)],
    hold: true,
  });
  let before = 0;
  const recorded = await recordWhile(
    { sources: ["sockets"], filters: { pids: [program.pid] } },
    async (start) => {
      before = sum(start.maps, (m) => m.bytes);
      program.go();
      await program.result(60_000);
    },
  );
  const { final } = recorded;
  const { calls, endpoints } = await program.result();
  const sent = final.callTotals.find(
    (t) => t.syscall === SENDTO && pidOf(recorded, t.process) === program.pid,
  )!;
  expect(sent.count).toBe(calls.find((c) => c.syscall === SENDTO)!.count);
  const lost = loss(final, "sockets.endpoints_full");
  expect(lost).toBeGreaterThan(destinations / 2);
  expect(final.endpointTotals.find((t) => t.endpoint === -1)!.count).toBe(lost);
  const output = `process ${process.pid}`;
  const told = sum(
    final.endpointTotals.filter((t) => nameOf(recorded, t.endpoint) !== output),
    (t) => t.count,
  );
  // connects to nobody have no endpoint in the program's own account, and bind, listen and the like neither
  expect(told).toBeGreaterThanOrEqual(sum(endpoints, (e) => e.count));
  expect(told - sum(endpoints, (e) => e.count)).toBeLessThan(60);
  expect(final.cost.kernelMemoryBytes).toBeLessThan(before + 1_000_000);
});

test.each([
  ["nothing was asked", "1", IN_PROGRESS | NOTHING_ASKED],
  ["nobody answers", "2", IN_PROGRESS],
  ["the answer has come", "3", IN_PROGRESS | NOTHING_ASKED],
])(
  "a call that began before the recording is told with the recording's length as its age: %s",
  async (_, stuck, flags) => {
    const program = await startProgram("tcp-life", { args: ["--stuck", stuck, "--ms", "20000"] });
    await program.child.until(() => program.child.stdout.includes('"stuck"'), 10_000, "the call");
    const recorded = await recordWhile({ sources: ["sockets"] }, () => sleep(1500));
    await program.stop();
    const open = recorded.profile.calls.filter((c) => {
      const thread = recorded.profile.threads[c.thread];
      return thread !== undefined && recorded.profile.processes[thread.process]?.pid === program.pid;
    });
    expect(open).toHaveLength(1);
    const [call] = open;
    expect(call).toMatchObject({ syscall: RECVFROM, flags: flags | SampleFlag.userWhole });
    expect(call!.durationNs).toBe(recorded.profile.durationNs);
    expect(call!.blockedNs / call!.durationNs).toBeGreaterThan(0.99);
    expect(nameOf(recorded, call!.endpoint)).toMatch(/^remote 127\.0\.0\.1 \d+$/);
  },
);

test.each([
  ["a unix subscriber, asked in the recording and answered", "1", "3", true, NOTHING_ASKED],
  ["a unix end that was asked in the recording", "1", "2", true, 0],
  ["a unix end, of before the recording", "1", "2", false, NOTHING_ASKED],
  ["connected datagrams, asked nothing", "2", "1", false, NOTHING_ASKED],
  ["connected datagrams, asked in the recording", "2", "2", true, 0],
])(
  "a call that has not returned is owed what the recording saw asked: %s",
  async (_, kind, stuck, during, flag) => {
    const args = ["--stuck", stuck, "--kind", kind, "--ms", "20000"];
    const program = await startProgram("tcp-life", { args, hold: during });
    const waits = () =>
      program.child.until(() => program.child.stdout.includes('"stuck"'), 10_000, "the call");
    if (!during) await waits();
    const recorded = await recordWhile({ sources: ["sockets"] }, async () => {
      if (during) program.go();
      await waits();
      await sleep(500);
    });
    await program.stop();
    const { profile, final } = recorded;
    const [call, ...more] = profile.calls.filter((c) => {
      const thread = profile.threads[c.thread];
      return (
        c.flags & IN_PROGRESS &&
        c.syscall === RECVFROM &&
        profile.processes[thread!.process]?.pid === program.pid
      );
    });
    expect(more).toEqual([]);
    expect(call!.flags & NOTHING_ASKED).toBe(flag);
    expect(nameOf(recorded, call!.endpoint)).toMatch(kind === "1" ? /^path @tcp-life-/ : /^remote 127/);
    // the very end of the totals, where the recording saw it
    const ends = final.endpointTotals.filter(
      (t) => pidOf(recorded, t.process) === program.pid && t.bytesOut > 0,
    );
    if (during) expect(ends.map((t) => t.endpoint)).toContain(call!.endpoint);
  },
);

test("questions that nobody answers count with the time that was waited: given up, and still waiting at the end", async () => {
  const program = await startProgram("tcp-life", { args: ["--hang", "6", "--ms", "20000"], hold: true });
  const recorded = await recordWhile({ sources: ["sockets"] }, async () => {
    program.go();
    await program.child.until(() => program.child.stdout.includes('"hung"'), 10_000, "the end of patience");
    await sleep(1000);
  });
  const { port } = JSON.parse(program.child.stdout.trim().split("\n").at(-1)!) as { port: number };
  await program.stop();
  const [asked] = recorded.final.endpointTotals.filter(
    (t) =>
      pidOf(recorded, t.process) === program.pid &&
      nameOf(recorded, t.endpoint) === `remote 127.0.0.1 ${port}`,
  );
  expect(asked!.turns).toBe(6);
  expect(asked!.turnSumNs).toBeGreaterThan(3 * 1.19e9 + 3 * 2.1e9);
  expect(asked!.turnMaxNs).toBeLessThan(recorded.profile.durationNs);
  expect(sum(asked!.turnBuckets, (n) => n)).toBe(6);
  // its main thread is in poll, which is on no descriptor
  const waiting = recorded.profile.calls.filter((c) => c.syscall === POLL && c.flags & IN_PROGRESS);
  expect(waiting.length).toBeGreaterThan(0);
  expect(new Set(waiting.map((c) => c.fd))).toEqual(new Set([-1]));
});

test("who sends again a second later waits for no answer: given up or not, it counts as none", async () => {
  const args = ["--hang", "6", "--again", "1", "--ms", "20000"];
  const program = await startProgram("tcp-life", { args, hold: true });
  const recorded = await recordWhile({ sources: ["sockets"] }, async () => {
    program.go();
    await program.child.until(() => program.child.stdout.includes('"hung"'), 10_000, "the end of patience");
    await sleep(1200);
  });
  await program.stop();
  const sent = recorded.final.endpointTotals.filter(
    (t) => pidOf(recorded, t.process) === program.pid && /^remote/.test(nameOf(recorded, t.endpoint)),
  );
  expect(sent.map(({ bytesOut, turns }) => [bytesOut, turns])).toEqual([[12, 0]]);
});

test("a descriptor on which nearly every call finds nothing: with process, endpoint and stack", async () => {
  const program = await startProgram("tcp-life", { args: ["--spin", "1", "--ms", "2500"], hold: true });
  const recorded = await recordWhile({ sources: ["sockets"] }, async () => {
    program.go();
    await program.result(20_000);
  });
  const { profile, final } = recorded;
  const spun = final.descriptorTotals.find((t) => pidOf(recorded, t.process) === program.pid && t.again > 0)!;
  expect(spun.again / spun.count).toBeGreaterThan(0.99);
  // far more than 20,000 calls a second: from there on one in eight stands for eight
  const calls = final.endpointTotals.find((t) => t.endpoint === spun.endpoint && t.process === spun.process)!;
  expect(calls.count / 2.5).toBeGreaterThan(20_000);
  expect(Math.abs(spun.count / calls.count - 1)).toBeLessThan(0.05);
  expect(nameOf(recorded, spun.endpoint)).toMatch(/^remote 127\.0\.0\.1 \d+$/);
  const finding = analyze(profile).find((f) => f.rule === "eagain-spin");
  expect(finding?.culprit).toContain(`tcp-life (pid ${program.pid})`);
  expect(`${finding?.detail} ${finding?.contributors.map((c) => c.name).join()}`).toContain("ask_in_vain");
});

test.each([
  ["on one CPU", "0"],
  // some 800 a second on each
  ["on two in turn", "1"],
])(
  "a descriptor that was busy and well until it began to spin, %s: its worst second tells",
  async (_, hop) => {
    // calls in vain for four seconds, after two of far more calls that found something
    const rest = hop === "1" ? "9000" : "5000";
    const args = ["--idle", "1", "--ms", "6000", "--good", "2000", "--rest-us", rest, "--hop", hop];
    const program = await startProgram("socket-loop", { args, hold: true });
    const recorded = await recordWhile({ sources: ["sockets"] }, async () => {
      program.go();
      await program.result(20_000);
    });
    const spun = recorded.final.descriptorTotals.find(
      (t) => pidOf(recorded, t.process) === program.pid && t.again > 0,
    )!;
    expect(spun.again / spun.count).toBeLessThan(0.5);
    expect(spun.worstAgain / spun.worstCount).toBeGreaterThan(0.9);
    expect(spun.worstNs).toBeLessThan(1.6e9);
    const finding = analyze(recorded.profile).find((f) => f.rule === "eagain-spin");
    expect(finding?.title).toContain(`socket-loop (pid ${program.pid}) spins`);
    expect(finding?.title).toContain("at times");
  },
);

test("calls that wait for a unix socket to take them tell which one", async () => {
  const dir = mkdtempSync(join(tmpdir(), "lowflame-full-"));
  const program = await startProgram("full-queues", { args: ["--dir", dir], hold: true });
  const recorded = await recordWhile({ sources: ["sockets"], filters: { pids: [program.pid] } }, async () => {
    program.go();
    await sleep(1500);
  });
  await program.stop();
  rmSync(dir, { recursive: true });
  const open = recorded.profile.calls.filter((c) => c.flags & IN_PROGRESS);
  const ends = open.map(
    (c) => `${c.syscall === CONNECT ? "connect" : "send"} ${nameOf(recorded, c.endpoint)}`,
  );
  expect(ends.sort()).toEqual([`connect path ${dir}/stream`, `send datagram ${dir}/datagrams 0`]);
});

test("calls slower than the limits are kept one by one, with endpoint; those not yet returned with their age", async () => {
  const program = await startProgram("socket-calls", { args: ["--ms", "150"], hold: true });
  const recorded = await recordWhile({ sources: ["sockets"], filters: { pids: [program.pid] } }, async () => {
    program.go();
    await sleep(2000);
  });
  await program.stop();
  const slow = recorded.profile.calls.filter((c) => c.syscall === RECVFROM && !(c.flags & IN_PROGRESS));
  expect(slow.length).toBeGreaterThan(5);
  for (const call of slow) {
    expect(call.blockedNs).toBeGreaterThan(140e6);
    expect(call.result).toBe(1);
    expect(nameOf(recorded, call.endpoint)).toMatch(/^remote 127\.0\.0\.1 \d+$/);
  }
  const open = recorded.profile.calls.filter((c) => c.flags & IN_PROGRESS);
  expect(open.length).toBe(1);
  expect(open[0]!.syscall).toBe(RECVFROM);
  expect(nameOf(recorded, open[0]!.endpoint)).toBe(nameOf(recorded, slow[0]!.endpoint));
});
