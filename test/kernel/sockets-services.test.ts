// Socket calls of real services: as many answers as their clients counted, and which upstream is slow.
import { execFile } from "node:child_process";
import { createServer, type Server as HttpServer } from "node:http";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { ENDPOINT_ROLES, type EndpointTotal } from "../../src/capture/binding.js";
import { digest } from "../../src/cli/digest.js";
import { Child } from "../support/children.js";
import { freePorts } from "../support/ports.js";
import { loss, type Recorded, recordWhile, sleep, sum } from "../support/record.js";
import { startHaproxy, startNginx, startNginxFront, startRedis } from "../support/servers.js";
import { runWrk } from "../support/wrk.js";

const run = promisify(execFile);

/** Totals of these processes at the endpoints of one role and port. */
function ends(
  { profile, final }: Recorded,
  pids: readonly number[],
  role: string,
  port: number,
): EndpointTotal[] {
  return final.endpointTotals.filter((t) => {
    const end = profile.endpoints[t.endpoint];
    const pid = profile.processes[t.process]?.pid ?? -1;
    return pids.includes(pid) && end !== undefined && ENDPOINT_ROLES[end.role] === role && end.port === port;
  });
}
const turns = (rows: readonly EndpointTotal[]) => sum(rows, (t) => t.turns);
const socketAlerts = (recorded: Recorded) =>
  analyze(recorded.profile)
    .filter((f) => f.tab === "sockets")
    .map((f) => f.title);

test("nginx answers as often as wrk counts", async () => {
  const nginx = await startNginx({ workers: 2 });
  try {
    let requests = 0;
    const recorded = await recordWhile({ sources: ["cpu", "sockets"] }, async () => {
      ({ requests } = await runWrk(nginx.url, { seconds: 3, connections: 16 }));
      await sleep(100);
    });
    const answers = turns(ends(recorded, nginx.pids(), "accepted", nginx.port));
    // wrk leaves up to one answer a connection unread at its end
    expect(answers).toBeGreaterThanOrEqual(requests);
    expect(answers).toBeLessThanOrEqual(requests * 1.001 + 16);
    expect(loss(recorded.final, "sockets.turns_replaced")).toBe(0);
    expect(socketAlerts(recorded)).toEqual([]);
  } finally {
    await nginx.stop();
  }
});

test("an nginx that compresses all that it passes on has no time left; its upstream does, and is not blamed", async () => {
  const [port] = await freePorts(1);
  const words = Array.from({ length: 40_000 }, (_, n) => ((n * 2_654_435_761) % 99_991).toString(36)).join(
    " ",
  );
  const upstream = createServer((_, answer) => answer.end(words)).listen(port);
  const nginx = await startNginxFront([port!], { zipped: true });
  try {
    const recorded = await recordWhile({ sources: ["cpu", "offcpu", "sockets"] }, async () => {
      const headers = ["Accept-Encoding: gzip"];
      await runWrk(`${nginx.url}0`, { seconds: 4, connections: 16, headers });
    });
    const findings = analyze(recorded.profile);
    const [busy] = findings.filter(({ rule }) => rule === "busy-server");
    expect(busy, findings.map(({ title }) => title).join("; ")).toMatchObject({ culprit: "nginx" });
    expect(busy!.detail).toMatch(/Its CPU time goes into .*(?:libz|deflate)/);
    expect(findings.filter(({ rule }) => rule === "slow-end")).toEqual([]);
  } finally {
    await nginx.stop();
    upstream.close();
    upstream.closeAllConnections();
  }
});

test("redis answers as often as redis-benchmark asks", async () => {
  const redis = await startRedis();
  try {
    const asked = 20_000;
    const recorded = await recordWhile({ sources: ["cpu", "sockets"] }, async () => {
      await run("redis-benchmark", [
        ...["-p", String(redis.port), "-t", "set", "-n", String(asked), "-c", "20", "-q"],
      ]);
      await sleep(100);
    });
    const answers = turns(ends(recorded, redis.pids(), "accepted", redis.port));
    // one or two commands that ask for the configuration come first
    expect(answers).toBeGreaterThanOrEqual(asked);
    expect(answers).toBeLessThanOrEqual(asked * 1.001 + 5);
    expect(socketAlerts(recorded)).toEqual([]);
  } finally {
    await redis.stop();
  }
});

test("haproxy with a slow server: the time is the server's, and its own and the client's side say so", async () => {
  const [port] = await freePorts(1);
  const delay = 40;
  const slow: HttpServer = createServer((_, answer) => setTimeout(() => answer.end("slow"), delay)).listen(
    port,
  );
  const haproxy = await startHaproxy(port!);
  try {
    let requests = 0;
    const recorded = await recordWhile({ sources: ["cpu", "sockets"] }, async () => {
      ({ requests } = await runWrk(haproxy.url, { seconds: 3, connections: 8 }));
      await sleep(200);
    });
    const pids = haproxy.pids();
    const upstream = ends(recorded, pids, "remote", port!);
    const client = ends(recorded, pids, "accepted", haproxy.port);
    expect(turns(client)).toBeGreaterThanOrEqual(requests);
    expect(turns(client)).toBeLessThanOrEqual(requests * 1.001 + 8);
    expect(turns(upstream)).toBeGreaterThanOrEqual(requests);
    const meanMs = (rows: readonly EndpointTotal[]) => sum(rows, (t) => t.turnSumNs) / turns(rows) / 1e6;
    expect(meanMs(upstream)).toBeGreaterThan(delay);
    expect(meanMs(upstream)).toBeLessThan(delay * 1.5);
    // what haproxy itself adds is what its clients wait beyond that
    expect(meanMs(client) - meanMs(upstream)).toBeLessThan(10);
    expect(meanMs(client)).toBeGreaterThan(meanMs(upstream) * 0.98);
  } finally {
    await haproxy.stop();
    slow.close();
  }
});

test("a Node proxy that is busy itself does not blame the quick server behind it", async () => {
  const backend = await startNginx({ workers: 1 });
  const [port] = await freePorts(1);
  // a third of a millisecond of its own work for each answer, with more clients than it can serve
  const code = `const http = require("node:http"), agent = new http.Agent({ keepAlive: true });
    http.createServer((ask, answer) => http.get({ port: ${backend.port}, host: "127.0.0.1", agent }, (from) => {
      const until = process.hrtime.bigint() + 300000n;
      while (process.hrtime.bigint() < until);
      from.pipe(answer);
    })).listen(${port}, "127.0.0.1", () => console.log("ready"));`;
  const proxy = Child.start([process.execPath, "-e", code]);
  try {
    await proxy.until(() => proxy.stdout.includes("ready"), 10_000, "its ready line");
    const recorded = await recordWhile({ sources: ["sockets"] }, async () => {
      await runWrk(`http://127.0.0.1:${port}/`, { seconds: 2, connections: 16 });
    });
    const { programs } = digest(recorded.profile, 1_000).sockets!;
    const name = `127.0.0.1:${backend.port}`;
    const asking = programs.find(({ asked, served }) => served && asked.some((end) => end.name === name))!;
    const [end] = asking.asked.filter((each) => each.name === name);
    expect(end!.itself!.p50Ns).toBeLessThan(end!.p50Ns / 2);
    // what nginx takes, and what the ticks show: not the time for which its answers lay unread
    expect(asking.upstreamLeast).toBeLessThan(0.3);
    expect(asking.unseenBelowNs).toBeLessThanOrEqual(20e6);
    expect(socketAlerts(recorded).filter((title) => title.startsWith(name))).toEqual([]);
  } finally {
    await proxy.stop();
    await backend.stop();
  }
});
