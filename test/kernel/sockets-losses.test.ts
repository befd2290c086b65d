// What the sockets source cannot keep or time is counted: each counter is forced, or it is told here why not.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bytes, ns } from "../../src/model/units.js";
import { buildPrograms } from "../support/children.js";
import { startProgram } from "../support/programs.js";
import { loss, recordWhile, sleep, sum, whileStopped } from "../support/record.js";

const ELSEWHERE = ["sockets.endpoints_full"]; // sockets.test.ts
/** Counters that are only shown: what it would take. */
const NOT_FORCED: Record<string, string> = {
  "sockets.endpoints_cut": "16,384 endpoints: more than the tables of 2 CPUs hold",
  "sockets.turns_replaced": "33,000 connections that wait for an answer at once",
  "sockets.close_wait_cut": "65,536 connections in CLOSE-WAIT, or 256 network namespaces",
  "sockets.connecting_cut": "65,536 connections that wait for their first answer",
  "sockets.user_unreadable": "counted by the same code as offcpu.user_unreadable",
  "sockets.user_truncated": "likewise",
};
const forced = new Set(ELSEWHERE);
const dir = mkdtempSync(join(tmpdir(), "lowflame-losses-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
beforeAll(buildPrograms);

/** Records while socket-calls makes its calls; gives the end of it. */
async function recordCalls(config: Parameters<typeof recordWhile>[0], ...args: string[]) {
  const program = await startProgram("socket-calls", { args: ["--ms", "5", ...args], hold: true });
  const { final } = await recordWhile({ sources: ["sockets"], ...config }, async () => {
    program.go();
    await program.result(30_000);
  });
  return final;
}
function expectLost(final: Parameters<typeof loss>[0], id: string, atLeast = 1): void {
  forced.add(id);
  expect(loss(final, id), id).toBeGreaterThanOrEqual(atLeast);
}

test("a full table of calls: what finds no row is in the row other", async () => {
  const final = await recordCalls({ tableRows: 1 });
  expectLost(final, "sockets.table_full");
  const other = final.callTotals.find((t) => t.syscall === -1)!;
  expect(other.count).toBe(loss(final, "sockets.table_full"));
});

test("many processes one after the other: the rows of those that ended are used again", async () => {
  const program = await startProgram("socket-forks", { args: ["--processes", "1200"], hold: true });
  const { profile, final } = await recordWhile(
    { sources: ["sockets"], filters: { comms: ["socket-forks"] } },
    async () => {
      program.go();
      await program.result(60_000);
    },
  );
  const { processes } = await program.result();
  // each has four rows: without that, one in five would find a place in the tables of two CPUs. A few meet eight full
  // places in a row, more where a busy machine drains late
  const sent = final.callTotals.filter(({ syscall }) => syscall === 44);
  const calls = sum(final.callTotals, ({ count }) => count);
  expect(calls).toBeGreaterThanOrEqual(5 * processes);
  expect(sum(sent, ({ count }) => count)).toBeGreaterThan(processes * 0.85);
  expect(sent.filter(({ process }) => process >= 0).length).toBeGreaterThan(processes * 0.85);
  // each had ended long before anybody could ask how it was called
  const owners = sent
    .filter(({ process }) => process >= 0)
    .map(({ process }) => profile.processes[process]!.comm);
  expect(new Set(owners)).toEqual(new Set(["socket-forks"]));
  expect(loss(final, "sockets.table_full")).toBeLessThan(calls * 0.15);
  const other = final.callTotals.find(({ syscall }) => syscall === -1)?.count ?? 0;
  expect(other).toBe(loss(final, "sockets.table_full"));
});

test("a full table of connections: what finds no row is in the row other", async () => {
  const program = await startProgram("tcp-life", { args: ["--ms", "50"], hold: true });
  const { final } = await recordWhile({ sources: ["sockets"], tableRows: 1 }, async () => {
    program.go();
    await program.result(30_000);
  });
  expectLost(final, "sockets.connections_full");
  const other = final.tcpTotals.find((t) => t.endpoint === -1)!;
  expect(sum([other], (t) => t.connects + t.connectsFailed + t.accepted)).toBeGreaterThan(0);
});

test("more connections at once than lines: answers that may go on are counted", async () => {
  const program = await startProgram("tcp-life", { args: ["--crowd", "8000", "--ms", "50"], hold: true });
  const { final } = await recordWhile({ sources: ["sockets"] }, async () => {
    program.go();
    await program.result(60_000);
  });
  expectLost(final, "sockets.turns_cut", 100);
});

test("slow calls beyond the rate, and beyond the ring, are counted; totals have them all", async () => {
  const all = { slowCallNs: ns(1), filters: { comms: ["socket-calls"] } };
  const rated = await recordCalls({ ...all, ringBytes: bytes(1 << 20) }, "--destinations", "20000");
  expectLost(rated, "sockets.slow_left_out", 10_000);
  expect(loss(rated, "sockets.ring_full")).toBe(0);
  const { final } = await recordWhile({ sources: ["sockets"], ...all, ringBytes: bytes(4096) }, async () => {
    await whileStopped("socket-calls --ms 1 --destinations 20000 > /dev/null");
    await sleep(100);
  });
  expectLost(final, "sockets.ring_full");
});

test("threads without a slot: their calls are counted as lost", async () => {
  const program = await startProgram("many-sockets", { args: ["--threads", "300"], hold: true });
  const { final } = await recordWhile({ sources: ["sockets"], threadSlots: 64 }, async () => {
    program.go();
    await program.result(30_000);
  });
  expectLost(final, "sockets.slot_collision", 100);
});

test("requests of io_uring are counted, each", async () => {
  const program = await startProgram("uring-nops", { hold: true });
  const { final } = await recordWhile({ sources: ["sockets"] }, async () => {
    program.go();
    await program.result();
  });
  const { requests } = await program.result();
  expect(requests).toBe(23);
  expectLost(final, "sockets.uring", requests);
});

test("requests of io_uring by processes that the filters leave out are not counted", async () => {
  const program = await startProgram("uring-nops", { hold: true });
  const { final } = await recordWhile(
    { sources: ["sockets"], filters: { pids: [process.pid] } },
    async () => {
      program.go();
      await program.result();
    },
  );
  expect(loss(final, "sockets.uring")).toBe(0);
});

test("calls on sockets of 32-bit programs are counted, each, and no others of theirs", async () => {
  const source = join(dir, "calls-32.c");
  // socket (359), getsockopt without a socket (365), socketcall (102); getuid is 24, 199 there
  writeFileSync(
    source,
    `static long call(long nr, long a, long b, long c) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "0"(nr), "b"(a), "c"(b), "d"(c) : "memory");
  return result;
}
void _start(void) {
  long arguments[3] = {2, 1, 0};
  for (int i = 0; i < 31; i++) call(359, 2, 1, 0);
  for (int i = 0; i < 17; i++) call(102, 1, (long)arguments, 0);
  for (int i = 0; i < 1000; i++) call(199, 0, 0, 0), call(42, 0, 0, 0);
  call(1, 0, 0, 0);
}`,
  );
  const program = join(dir, "calls-32");
  execFileSync("gcc", [
    ...[
      "-m32",
      "-O1",
      "-nostdlib",
      "-static",
      "-no-pie",
      "-fno-pie",
      "-fno-stack-protector",
      "-o",
      program,
      source,
    ],
  ]);
  const { final } = await recordWhile({ sources: ["sockets"] }, async () => {
    execFileSync(program);
    await sleep(50);
  });
  expectLost(final, "sockets.compat", 48);
  expect(loss(final, "sockets.compat")).toBe(48);
  for (const [comm, calls] of [
    ["calls-32", 48],
    ["none-so", 0],
  ] as const) {
    const filtered = await recordWhile({ sources: ["sockets"], filters: { comms: [comm] } }, async () => {
      execFileSync(program);
      await sleep(50);
    });
    expect(loss(filtered.final, "sockets.compat")).toBe(calls);
  }
});

test("calls that a 64-bit program makes the 32-bit way are not taken for those that have their numbers", async () => {
  const source = join(dir, "gate.c");
  // brk (45, which is recvfrom), recvmsg (372)
  writeFileSync(
    source,
    `static long call(long nr, long a) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "0"(nr), "b"(a), "c"(0), "d"(0) : "memory", "r8", "r9", "r10", "r11");
  return result;
}
int main(void) {
  for (int i = 0; i < 37; i++) call(45, 0);
  for (int i = 0; i < 23; i++) call(372, -1);
}`,
  );
  const program = join(dir, "gate");
  execFileSync("gcc", ["-O1", "-o", program, source]);
  const { final, profile } = await recordWhile(
    { sources: ["sockets"], filters: { comms: ["gate"] } },
    async () => {
      execFileSync(program);
      await sleep(50);
    },
  );
  expect(loss(final, "sockets.compat")).toBe(23);
  // no other call of this program is timed
  expect(final.losses.find((row) => row.id === "sockets.compat")!.meaning).toContain(
    "not timed: 100 % of these",
  );
  const RECVFROM = 45;
  expect(final.callTotals.filter((row) => row.syscall === RECVFROM)).toEqual([]);
  expect(profile.endpoints.filter((end) => end?.role !== 0)).toEqual([]);
});

test("every counter is forced here or elsewhere, or it is told why not", async () => {
  const { final } = await recordWhile({ sources: ["sockets"] }, () => sleep(50));
  const ids = final.losses.map((l) => l.id).filter((id) => id.startsWith("sockets."));
  expect([...forced, ...Object.keys(NOT_FORCED)].sort()).toEqual(ids.sort());
});
