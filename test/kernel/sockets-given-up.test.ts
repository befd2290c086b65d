// Questions that a proxy gives up after less than a second, and connections that it gives up: the time is not its own.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, get, type Server as HttpServer, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { type ProgramAnswers, programAnswers } from "../../src/analysis/socket-answers.js";
import { endpointSummaries } from "../../src/analysis/socket-summary.js";
import { tcpSummaries } from "../../src/analysis/tcp-summary.js";
import { summaryLines } from "../../src/cli/summary.js";
import { olderToo } from "../support/older-kernels.js";
import { freePorts } from "../support/ports.js";
import { startProgram } from "../support/programs.js";
import { type Recorded, recordWhile } from "../support/record.js";
import { type Server, startNginxFront } from "../support/servers.js";

const LIMIT_MS = 250;
const CLIENTS = 4;
const ROUNDS = 10;

/** Status of the answer to a question; 0 where the client gave it up after `patienceMs`. */
const ask = (url: string, patienceMs = 60_000) =>
  new Promise<number>((resolve) => {
    const request = get(url, { agent: false }, (answer: IncomingMessage) => {
      answer.resume().on("end", () => resolve(answer.statusCode ?? 0));
    });
    request.on("error", () => resolve(0));
    setTimeout(() => request.destroy(), patienceMs).unref();
  });

/** Asks for each of so many paths in turn; how often each status came, by path. */
async function load({ url }: Server, paths: number, patienceMs?: number) {
  const seen = Array.from({ length: paths }, () => new Map<number, number>());
  const client = async () => {
    for (let round = 0; round < ROUNDS; round++)
      for (const [path, counts] of seen.entries()) {
        const status = await ask(`${url}${path}`, patienceMs);
        counts.set(status, (counts.get(status) ?? 0) + 1);
      }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return seen;
}

/** An HTTP server that leaves every third question without an answer; `hung()`: how many. */
async function hangingServer(at: number | string) {
  let asked = 0;
  let hung = 0;
  const server: HttpServer = createServer((_, answer) => {
    if (++asked % 3 === 0) hung++;
    else answer.end("answer");
  });
  await new Promise<void>((resolve) => server.listen(at, resolve));
  return { server, hung: () => hung };
}

/** nginx among the programs that ask and answer. */
function nginxOf({ profile }: Recorded): ProgramAnswers {
  const programs = programAnswers(endpointSummaries(profile), tcpSummaries(profile));
  const found = programs.filter(({ comm, asked }) => comm === "nginx" && asked.length > 0);
  expect(found).toHaveLength(1);
  return found[0]!;
}

const summaryOf = ({ profile }: Recorded): string =>
  summaryLines(profile, [], { files: [], childCommand: null, width: 120 }).join("\n");

const findings = ({ profile }: Recorded, rule: string) =>
  analyze(profile).filter((finding) => finding.rule === rule);

/** Records nginx in front of an end that answers at once and of two that hang with every third question: TCP and unix. */
async function besideHanging(timeoutMs: number, patienceMs?: number, without: readonly string[] = []) {
  const dir = mkdtempSync(join(tmpdir(), "lowflame-hanging-"));
  const [quickPort, port] = (await freePorts(2)) as [number, number];
  const path = join(dir, "hangs.sock");
  const quick = createServer((_, answer) => answer.end("quick")).listen(quickPort);
  const hanging = [await hangingServer(port), await hangingServer(path)];
  const nginx = await startNginxFront([quickPort, port, path], { timeoutMs });
  try {
    let seen: Map<number, number>[] = [];
    const recorded = await recordWhile({ sources: ["cpu", "sockets"], without }, async () => {
      seen = await load(nginx, 3, patienceMs);
    });
    return {
      recorded,
      seen,
      ends: [`127.0.0.1:${port}`, `unix ${path}`],
      hung: hanging.map(({ hung }) => hung()),
    };
  } finally {
    await nginx.stop();
    for (const { server } of hanging) {
      server.close();
      server.closeAllConnections();
    }
    quick.close();
    rmSync(dir, { recursive: true });
  }
}

for (const without of olderToo(["sched_exit_tp", "bpf_rdonly_cast"]))
  test(`questions that nginx gives up after a quarter of a second are waits for the ends that hang, TCP or unix${without.length > 0 ? ", on an older kernel" : ""}`, async () => {
    const { recorded, seen, ends, hung } = await besideHanging(LIMIT_MS, undefined, without);
    const nginx = nginxOf(recorded);
    for (const [n, name] of ends.entries()) {
      // nginx said so to as many clients
      expect(seen[n + 1]!.get(504)).toBe(hung[n]);
      const end = nginx.asked.find((row) => row.name === name)!;
      expect(end).toMatchObject({ turns: CLIENTS * ROUNDS, unanswered: hung[n], closed: 0 });
      expect(end.unansweredSumNs / end.unanswered).toBeGreaterThan(LIMIT_MS * 0.95e6);
      expect(end.turnMaxNs).toBeLessThan(recorded.profile.durationNs);
    }
    expect(nginx.served).toMatchObject({ turns: CLIENTS * ROUNDS * 3, unanswered: 0 });
    expect(nginx.upstreamLeast).toBeGreaterThan(0.8);
    const found = findings(recorded, "slow-end");
    expect(found.map(({ culprit }) => culprit).sort()).toEqual([...ends].sort());
    for (const { severity, title } of found) {
      expect(severity).toBe("critical");
      expect(title).toMatch(
        / left \d+ of 40 questions of nginx without an answer: [23]\d\d\.\d ms each until/,
      );
    }
    const lines = summaryOf(recorded);
    expect(lines).toContain(`nginx, 40 questions, ${hung[0]} unanswered`);
    expect(lines).not.toContain("nginx's own time");
  });

test("clients that go away before nginx gives up leave the end that hangs to be blamed", async () => {
  const { recorded, seen, ends, hung } = await besideHanging(60_000, LIMIT_MS);
  const nginx = nginxOf(recorded);
  const left = hung[0]! + hung[1]!;
  expect(seen[1]!.get(0)! + seen[2]!.get(0)!).toBe(left);
  // one that took a little longer than what is left of the others may not find its time
  expect(nginx.served!.unanswered).toBeGreaterThanOrEqual(left - 2);
  expect(nginx.served!.unanswered).toBeLessThanOrEqual(left);
  for (const [n, name] of ends.entries()) {
    const { unanswered, closed } = nginx.asked.find((row) => row.name === name)!;
    expect(unanswered + closed).toBe(hung[n]);
    expect(closed).toBeLessThanOrEqual(1);
  }
  expect(
    findings(recorded, "slow-end")
      .map(({ culprit }) => culprit)
      .sort(),
  ).toEqual([...ends].sort());
});

test("connections that nginx gives up after a quarter of a second are what it waits for, and no work of its own", async () => {
  const [quickPort, port] = (await freePorts(2)) as [number, number];
  const quick = createServer((_, answer) => answer.end("quick")).listen(quickPort);
  const nginx = await startNginxFront([quickPort, port], { timeoutMs: LIMIT_MS });
  const nft = (rule: string) => execFileSync("nft", rule.split(" "));
  nft("add table inet given_up");
  try {
    nft("add chain inet given_up in { type filter hook input priority 0; }");
    nft(`add rule inet given_up in tcp dport ${port} drop`);
    const recorded = await recordWhile({ sources: ["cpu", "sockets"] }, async () => {
      const [, inVain] = await load(nginx, 2);
      expect(inVain).toEqual(new Map([[504, CLIENTS * ROUNDS]]));
    });
    const { unconnected, upstreamLeast } = nginxOf(recorded);
    expect(unconnected).toMatchObject([
      { name: `127.0.0.1:${port}`, connectsFailed: CLIENTS * ROUNDS, shared: false },
    ]);
    expect(unconnected[0]!.connectsFailedNs / (CLIENTS * ROUNDS)).toBeGreaterThan(LIMIT_MS * 0.95e6);
    expect(upstreamLeast).toBeGreaterThan(0.8);
    const lines = summaryOf(recorded);
    expect(lines).toMatch(new RegExp(`\\d % of that it waits in vain to connect to 127\\.0\\.0\\.1:${port}`));
    expect(lines).not.toContain("nginx's own time");
  } finally {
    nft("delete table inet given_up");
    await nginx.stop();
    quick.close();
  }
});

/** A server that logs to an end that answers nobody and takes 60 ms for each of its answers. */
async function logging(args: readonly string[], asks = 20, ms = 60) {
  const times = ["--asks", String(asks), "--ms", String(ms)];
  const program = await startProgram("log-lines", { args: [...times, ...args], hold: true });
  const recorded = await recordWhile({ sources: ["cpu", "sockets"] }, async () => {
    program.go();
    await program.result(30_000);
  });
  const ends = endpointSummaries(recorded.profile).filter(({ comm }) => comm === "log-lines");
  const { log } = await program.result();
  const [end] = ends.filter(({ name }) => name === `127.0.0.1:${log}`);
  return { recorded, ends, end: end! };
}

test("lines that a server logs are no questions: it never looks for an answer, and its sleep is its own", async () => {
  const { recorded, ends } = await logging([]);
  expect(
    ends.filter(({ role, unanswered, closed }) => role !== "accepted" && unanswered + closed > 0),
  ).toEqual([]);
  expect(findings(recorded, "slow-end")).toEqual([]);
});

test("where it waits there in a poll, in vain, they are, though it says goodbye before it closes", async () => {
  const { recorded, end } = await logging(["--waits"]);
  // what is sure of them: each takes its time from an own answer that took as long
  expect(end.unanswered).toBeGreaterThanOrEqual(18);
  expect(end.unanswered + end.closed).toBeLessThanOrEqual(20);
  expect(end.unansweredSumNs).toBeGreaterThan(18 * 60e6);
  const [finding, ...more] = findings(recorded, "slow-end");
  expect(more).toEqual([]);
  expect(finding).toMatchObject({ severity: "critical", culprit: end.name });
});

test("a goodbye after more than a second is no question that is asked again", async () => {
  const { end } = await logging(["--waits"], 3, 1100);
  expect(end.unanswered + end.closed).toBe(3);
  expect(end.unanswered).toBeGreaterThanOrEqual(2);
});
