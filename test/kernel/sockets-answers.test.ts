// Whose time an answer takes: that of an end which begins early and ends late, or that of a program which reads late.
import { createServer, get, type Server as HttpServer, type ServerResponse } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { ENDPOINT_ROLES, type EndpointTotal } from "../../src/capture/binding.js";
import { Child } from "../support/children.js";
import { freePorts } from "../support/ports.js";
import { startProgram } from "../support/programs.js";
import { type Recorded, recordWhile, sum } from "../support/record.js";
import { startNginxFront } from "../support/servers.js";

const PAUSE_MS = 120;
const CLIENTS = 4;
const ROUNDS = 12;

/** Totals of processes of one name at one port. */
const endOf = ({ profile, final }: Recorded, comm: string, port: number): EndpointTotal => {
  const rows = final.endpointTotals.filter(
    (t) => profile.processes[t.process]?.comm === comm && profile.endpoints[t.endpoint]?.port === port,
  );
  expect(rows).toHaveLength(1);
  return rows[0]!;
};
const found = (recorded: Recorded, rule: string) => analyze(recorded.profile).filter((f) => f.rule === rule);

/** Asks for `path` and reads the whole answer. */
const ask = (url: string) =>
  new Promise<void>((resolve, reject) => {
    get(url, (answer) => answer.resume().on("end", resolve)).on("error", reject);
  });

/** Records nginx in front of an end that answers at once and of another, each asked ROUNDS times by each of four clients. */
async function besideQuick(slow: (answer: ServerResponse) => void) {
  const ports = (await freePorts(2)) as [number, number];
  const listening = [(answer: ServerResponse) => answer.end("quick"), slow].map(
    (answering, n): HttpServer => createServer((_, answer) => answering(answer)).listen(ports[n]),
  );
  const nginx = await startNginxFront(ports);
  try {
    const recorded = await recordWhile({ sources: ["cpu", "sockets"] }, async () => {
      const client = async () => {
        for (let round = 0; round < ROUNDS; round++)
          for (const path of ["0", "1"]) await ask(`${nginx.url}${path}`);
      };
      await Promise.all(Array.from({ length: CLIENTS }, client));
    });
    return { recorded, ports };
  } finally {
    await nginx.stop();
    for (const server of listening) server.close();
  }
}

test("a question that comes in pieces is answered from its last piece on: a slow upload is no slow end", async () => {
  const [port] = (await freePorts(1)) as [number];
  // answers each fourth byte
  const server = createTcpServer((socket) => {
    let bytes = 0;
    socket.on("data", (data) => {
      for (let i = 0; i < data.length; i++) if (++bytes % 4 === 0) socket.write("answer");
    });
  }).listen(port, "127.0.0.1");
  const client = `const s = require("net").connect(${port}, "127.0.0.1"); s.setNoDelay();
    let sent = 0; const send = () => { s.write("x"); if (++sent % 4) setTimeout(send, ${PAUSE_MS / 2}); };
    s.on("connect", send).on("data", () => (sent < 4 * ${ROUNDS} ? send() : s.end()));`;
  try {
    const recorded = await recordWhile({ sources: ["sockets"] }, async () => {
      const { code } = await Child.start([process.execPath, "-e", client]).exited;
      expect(code).toBe(0);
    });
    const { endpoints } = recorded.profile;
    const ends = recorded.final.endpointTotals.filter(
      ({ endpoint: at }) => endpoints[at]?.port === port && ENDPOINT_ROLES[endpoints[at]!.role] === "remote",
    );
    expect(ends.map(({ turns }) => turns)).toEqual([ROUNDS]);
    expect(ends[0]!.turnSumNs / ROUNDS).toBeLessThan((PAUSE_MS / 2) * 1e6);
  } finally {
    server.close();
  }
});

test("an end that begins to answer at once and is late with the rest: the finding names it, not nginx", async () => {
  const { recorded, ports } = await besideQuick((answer) => {
    answer.write("begun");
    setTimeout(() => answer.end("done"), PAUSE_MS);
  });
  const [quick, slow] = ports.map((port) => endOf(recorded, "nginx", port)) as [EndpointTotal, EndpointTotal];
  for (const end of [quick, slow]) {
    expect(end.turns).toBe(CLIENTS * ROUNDS);
    expect(sum(end.wholeBuckets, (n) => n)).toBe(end.turns);
  }
  // the rest is the pause, whatever the first bytes took
  const restMs = (slow.wholeSumNs - slow.turnSumNs) / slow.turns / 1e6;
  expect(restMs).toBeGreaterThan(PAUSE_MS - 20);
  expect(restMs).toBeLessThan(PAUSE_MS * 3);
  expect((quick.wholeSumNs - quick.turnSumNs) / quick.turns).toBeLessThan(10e6);
  const [finding, ...more] = found(recorded, "slow-end");
  expect(more).toEqual([]);
  expect(finding).toMatchObject({ severity: "warning", culprit: `127.0.0.1:${ports[1]}` });
  expect(finding!.title).toContain("but the whole answer takes 1");
  expect(finding!.detail).toContain("passes on what has come");
  expect(found(recorded, "late-reader")).toEqual([]);
});

test("a stream that nginx passes on as it comes is worth knowing, no more", async () => {
  const { recorded, ports } = await besideQuick((answer) => {
    answer.setHeader("X-Accel-Buffering", "no");
    answer.write("event\n");
    let left = 6;
    const timer = setInterval(() => {
      answer.write("event\n");
      if (--left > 0) return;
      clearInterval(timer);
      answer.end();
    }, 50);
  });
  expect(found(recorded, "slow-end")).toMatchObject([
    { severity: "info", culprit: `127.0.0.1:${ports[1]}`, detail: expect.stringContaining("as they come") },
  ]);
});

for (const without of [[], ["sched_exit_tp", "bpf_rdonly_cast"]])
  test(`a program that computes while an answer lies there is late itself${without.length ? ", on an older kernel" : ""}`, async () => {
    const [asks, ms] = [25, 100];
    const program = await startProgram("late-reader", {
      args: ["--asks", String(asks), "--ms", String(ms)],
      hold: true,
    });
    const recorded = await recordWhile({ sources: ["cpu", "offcpu", "sockets"], without }, async () => {
      program.go();
      await program.result(30_000);
    });
    const { first, second, unreadNs } = await program.result();
    const [prompt, unread] = [first, second].map((port) => endOf(recorded, "late-reader", port)) as [
      EndpointTotal,
      EndpointTotal,
    ];
    // up to two ticks of each are not told, and a tick is 10 ms at most
    expect(unread.lateReads).toBeGreaterThan(asks / 2);
    expect(unread.lateSumNs).toBeGreaterThan(unreadNs - asks * 20e6);
    expect(unread.lateSumNs).toBeLessThan(unreadNs * 1.01);
    expect(prompt.lateSumNs).toBeLessThan(unread.lateSumNs / 10);
    // one answer at a time, so the same time passed; the thread slept in none of it
    expect(unread.latePassedNs).toBeGreaterThan(unread.lateSumNs * 0.9);
    expect(unread.latePassedNs).toBeLessThanOrEqual(unread.lateSumNs);
    expect(unread.lateAwakeNs).toBeGreaterThan(unread.latePassedNs * 0.9);
    expect(unread.lateSleptNs).toBeLessThan(unread.latePassedNs / 10);
    expect(found(recorded, "slow-end")).toEqual([]);
    const [finding] = found(recorded, "late-reader");
    expect(finding).toMatchObject({ culprit: "late-reader" });
    // which of the two depends on who else wants the CPUs
    expect(["warning", "critical"]).toContain(finding!.severity);
    expect(finding!.title).toMatch(/; it (?:computes|waits for a CPU) meanwhile$/);
    expect(finding!.contributors.map(({ name }) => name).join()).toContain("compute");
  });

test("an event loop in whose sockets many answers lie while it computes is busy, and did not sleep", async () => {
  const args = ["--asks", "160", "--ms", "12", "--connections", "12"];
  const program = await startProgram("late-reader", { args, hold: true });
  const recorded = await recordWhile({ sources: ["cpu", "offcpu", "sockets"] }, async () => {
    program.go();
    await program.result(60_000);
  });
  const { second, unreadNs } = await program.result();
  const { lateSumNs } = endOf(recorded, "late-reader", second);
  // far more than the time that passed: several lay there at once
  expect(lateSumNs).toBeGreaterThan(2 * recorded.profile.durationNs);
  expect(lateSumNs).toBeLessThan(unreadNs * 1.02);
  const [finding, ...more] = found(recorded, "late-reader");
  expect(more).toEqual([]);
  expect(finding).toMatchObject({ severity: "warning", culprit: "late-reader" });
  expect(finding!.title).toMatch(/; it (?:computes|waits for a CPU) meanwhile$/);
  expect(finding!.detail).not.toContain("slept");
  expect(finding!.contributors.map(({ name }) => name)).toContain("compute (CPU time)");
});

/** Records an event loop over twelve connections that reads late for two seconds of the five that are recorded. */
async function lateForTwoOfFive(...how: string[]) {
  const args = ["--asks", "160", "--ms", "12", "--connections", "12", "--rest", "3000", ...how];
  const program = await startProgram("late-reader", { args, hold: true });
  const recorded = await recordWhile({ sources: ["cpu", "offcpu", "sockets"] }, async () => {
    program.go();
    await program.result(60_000);
  });
  const end = endOf(recorded, "late-reader", (await program.result()).second);
  expect(end.lateSumNs).toBeGreaterThan(2 * recorded.profile.durationNs);
  // what lay there at once has one and the same time: that of the 160 pauses, as far as something lay there
  expect(end.latePassedNs).toBeGreaterThan(0.7 * 160 * 12e6);
  expect(end.latePassedNs).toBeLessThan(recorded.profile.durationNs - 2.9e9);
  const [finding, ...more] = found(recorded, "late-reader");
  expect(more).toEqual([]);
  return { end, finding: finding! };
}

test("a program that computes for two seconds of a longer recording was busy then, whatever it sleeps afterwards", async () => {
  const { end, finding } = await lateForTwoOfFive();
  expect(end.lateAwakeNs).toBeGreaterThan(end.latePassedNs * 0.9);
  expect(finding).toMatchObject({ severity: "warning", culprit: "late-reader" });
  expect(finding.title).toMatch(/; it (?:computes|waits for a CPU) meanwhile$/);
  expect(finding.detail).not.toContain(" slept");
  expect(finding.contributors.map(({ name }) => name)).toContain("compute (CPU time)");
});

test("one that sleeps instead has slept", async () => {
  const { end, finding } = await lateForTwoOfFive("--sleeps");
  expect(end.lateSleptNs).toBeGreaterThan(end.latePassedNs * 0.8);
  expect(finding).toMatchObject({ severity: "info", detail: expect.stringContaining("these slept") });
});
