// TCP connections: each that a program of known behaviour opened, closed, reset or left alone is counted at its endpoint;
// and what the kernel itself counts of a network that loses segments.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { ENDPOINT_ROLES, type TcpTotal } from "../../src/capture/binding.js";
import { olderToo } from "../support/older-kernels.js";
import { startProgram } from "../support/programs.js";
import { loss, type Recorded, recordWhile, sleep, sum } from "../support/record.js";

/** Totals at the endpoints of one role and port. */
function tcpAt({ profile, final }: Recorded, role: string, port: number): TcpTotal[] {
  return final.tcpTotals.filter((t) => {
    const end = profile.endpoints[t.endpoint];
    return end !== undefined && ENDPOINT_ROLES[end.role] === role && end.port === port;
  });
}

/** A counter of /proc/PID/net/netstat or snmp, which has a line of names and one of values for each group. */
function kernelCounter(pid: number, file: string, group: string, name: string): number {
  const lines = readFileSync(`/proc/${pid}/net/${file}`, "latin1").split("\n");
  const [names, values] = lines.filter((line) => line.startsWith(`${group}:`)).map((line) => line.split(" "));
  return Number(values![names!.indexOf(name)]);
}

test("connections: opened in what time, accepted, refused, reset and closed, by endpoint", async () => {
  const program = await startProgram("tcp-life", { args: ["--ms", "300"], hold: true });
  const recorded = await recordWhile({ sources: ["sockets"] }, async () => {
    program.go();
    await program.result(30_000);
  });
  const { connects, refused, resets, closeWaits, port, closedPort } = await program.result();
  const [out] = tcpAt(recorded, "remote", port);
  expect(out).toMatchObject({ connects: connects + resets, connectsFailed: 0, resetsSent: resets });
  expect(sum(out!.connectBuckets, (n) => n)).toBe(connects + resets);
  expect(out!.connectSumNs / (connects + resets)).toBeGreaterThan(1000);
  expect(out!.connectMaxNs).toBeLessThan(1e9);
  expect(out!.closes).toBe(connects + resets);
  const [into] = tcpAt(recorded, "accepted", port);
  // at its end the program leaves those that were in CLOSE-WAIT
  expect(into).toMatchObject({ accepted: connects + resets, closes: connects + resets + closeWaits });
  expect(into!.resetsReceived).toBe(resets);
  const [closed] = tcpAt(recorded, "remote", closedPort);
  expect(closed).toMatchObject({ connects: 0, connectsFailed: refused, resetsReceived: refused });
  const [calls] = recorded.final.endpointTotals.filter((t) => t.endpoint === closed!.endpoint);
  expect({ count: calls?.count, errors: calls?.errors }).toEqual({ count: refused, errors: refused });
  expect(loss(recorded.final, "sockets.connections_full")).toBe(0);
  expect(analyze(recorded.profile).find((f) => f.rule === "connect-failing")?.culprit).toContain(
    String(closedPort),
  );
});

test("CLOSE-WAIT that stays, and a queue that nobody empties: with the process, the endpoint and the kernel's counts", async () => {
  const program = await startProgram("tcp-life", {
    // eleven of them are in use: they are sent something
    args: ["--ms", "30000", "--half", "11"],
    hold: true,
    wrap: ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$0" "$@"'],
  });
  try {
    const recorded = await recordWhile({ sources: ["sockets"] }, async () => {
      program.go();
      await sleep(5500);
    });
    const { profile, final } = recorded;
    // other programs of the machine may leave some, too
    const own = final.closeWaits.filter((c) => profile.processes[c.process]?.pid === program.pid);
    expect(own.map(({ count }) => count)).toEqual([13]);
    const [left] = own;
    expect(ENDPOINT_ROLES[profile.endpoints[left!.endpoint]!.role]).toBe("accepted");
    expect(execFileSync("ls", ["-l", `/proc/${program.pid}/fd/${left!.fd}`], { encoding: "utf8" })).toMatch(
      /socket:/,
    );
    // the program has its network to itself, so that all of this is its own
    const overflows = kernelCounter(program.pid, "netstat", "TcpExt", "ListenOverflows");
    expect(overflows).toBeGreaterThan(0);
    expect(final.tcpCounters!.listenOverflows).toBeGreaterThan(0);
    expect(final.tcpCounters!.listenOverflows).toBeLessThanOrEqual(overflows);
    const inside = (...args: string[]) =>
      execFileSync("nsenter", ["-t", String(program.pid), "-n", "ss", "-Htn", ...args], { encoding: "utf8" })
        .trim()
        .split("\n")
        .map((line) => line.split(/\s+/));
    expect(inside("state", "close-wait")).toHaveLength(left!.count + 11);
    const [queue] = final.listenQueues.filter((q) => profile.processes[q.process]?.pid === program.pid);
    const full = inside("-l").filter(([, waiting]) => Number(waiting) > 0);
    expect(full.map(([, waiting, backlog]) => [Number(waiting), Number(backlog) + 1])).toEqual([
      [queue!.length, queue!.capacity],
    ]);
    const findings = analyze(profile);
    expect(findings.find((f) => f.rule === "close-wait")?.title).toMatch(/tcp-life.*13|13.*tcp-life/);
    expect(findings.find((f) => f.rule === "listen-overflow")?.title).toMatch(/tcp-life/);
  } finally {
    await program.stop();
  }
});

for (const without of olderToo(["sched_exit_tp", "bpf_rdonly_cast"]))
  test(`connects that nobody answers: from before the recording and after, waiting and given up${without.length > 0 ? ", by a helper" : ""}`, async () => {
    const port = 20_000 + (process.pid % 10_000);
    const setUp = [
      "ip link set lo up",
      "nft add table inet silent",
      "nft add chain inet silent in '{ type filter hook input priority 0; }'",
      `nft add rule inet silent in tcp dport ${port} drop`,
      'exec "$0" "$@"',
    ];
    const program = await startProgram("silent-connects", {
      args: ["--port", String(port), "--before", "3", "--after", "7", "--given-up", "2"],
      hold: true,
      wrap: ["unshare", "-n", "sh", "-ec", setUp.join("; ")],
    });
    try {
      const recorded = await recordWhile({ sources: ["sockets"], without }, async () => {
        program.go();
        await sleep(1800);
      });
      const { profile, final } = recorded;
      const [row, ...others] = final.connecting.filter(
        ({ endpoint }) => profile.endpoints[endpoint]?.port === port,
      );
      expect(others).toEqual([]);
      expect(profile.processes[row!.process]?.pid).toBe(program.pid);
      expect(ENDPOINT_ROLES[profile.endpoints[row!.endpoint]!.role]).toBe("remote");
      // the first were sent again before the recording, too
      expect(row).toMatchObject({ count: 10, unanswered: 10 });
      expect(row!.sentAgain).toBeGreaterThanOrEqual(10);
      // 1.2 s older than the recording
      expect(row!.maxNs).toBeGreaterThan(1200e6 + 1800e6 - 50e6);
      expect(row!.maxNs).toBeLessThan(1200e6 + profile.durationNs + 2e9);
      const [total] = tcpAt(recorded, "remote", port);
      expect(total).toMatchObject({ connects: 0, connectsFailed: 2, connectsUnanswered: 2 });
      expect(loss(final, "sockets.connecting_cut")).toBe(0);
      const findings = analyze(profile).filter((f) => f.culprit?.includes(`:${port}`));
      expect(findings.map(({ rule, severity }) => [rule, severity])).toEqual([
        ["connect-unanswered", "critical"],
      ]);
      expect(findings[0]!.title).toMatch(
        /does not answer connection requests of silent-connects \(pid \d+\): 10 connects have been waiting for up to [3-5]\.\d+ s, 2 were given up/,
      );
    } finally {
      await program.stop();
    }
  });

test("a network that loses segments: as many are sent again as the kernel counts", async () => {
  // of data alone: the kernel also counts answers to a handshake that are sent again, before there is a connection
  const port = 20_000 + (process.pid % 10_000);
  const setUp = [
    "ip link set lo up",
    "nft add table inet lossy",
    "nft add chain inet lossy in '{ type filter hook input priority 0; }'",
    `nft add rule inet lossy in tcp dport ${port} meta length '>' 500 numgen random mod 100 '<' 10 drop`,
    'exec "$0" "$@"',
  ];
  const program = await startProgram("tcp-life", {
    args: [
      "--port",
      String(port),
      "--loss",
      "1",
      "--ms",
      "2500",
      "--connects",
      "3",
      "--resets",
      "0",
      "--overflow",
      "0",
    ],
    hold: true,
    wrap: ["unshare", "-n", "sh", "-ec", setUp.join("; ")],
  });
  let before = 0;
  let after = 0;
  const recorded = await recordWhile({ sources: ["sockets"] }, async () => {
    before = kernelCounter(program.pid, "snmp", "Tcp", "RetransSegs");
    program.go();
    while (!program.child.stdout.includes('"result"')) {
      await sleep(20);
      // of the namespace, which goes with the program
      try {
        after = kernelCounter(program.pid, "snmp", "Tcp", "RetransSegs");
      } catch {
        break;
      }
    }
    await program.result(30_000);
  });
  // the recording sees every network of the machine, the kernel's count is of this one
  const again = sum(
    ["remote", "accepted"].flatMap((role) => tcpAt(recorded, role, port)),
    (t) => t.retransmits,
  );
  expect(after - before).toBeGreaterThan(3);
  expect(again).toBeGreaterThanOrEqual(after - before);
  expect(again).toBeLessThanOrEqual(after - before + 5);
  expect(sum(tcpAt(recorded, "remote", port), (t) => t.retransmits)).toBeGreaterThan(0.8 * again);
});
