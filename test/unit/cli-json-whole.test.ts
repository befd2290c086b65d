// What --json holds of locks and sockets is whole: every row, every waiter, and histograms that add up to the waits.
import { describe, expect, it } from "vitest";
import type { BucketJson } from "../../src/cli/json-histogram.js";
import { histogramJson } from "../../src/cli/json-histogram.js";
import { jsonText, resultJson } from "../../src/cli/result-json.js";
import type { Profile } from "../../src/model/profile.js";
import { ns } from "../../src/model/units.js";
import { FakeCapture } from "./helpers/fake-capture.js";
import { fakeApp, futexOf, profileOf, WANTS } from "./helpers/futex-totals.js";
import { total } from "./helpers/lock-totals.js";
import { bucketsOf, callTotal, endTotal, SYS, socketProfile, tcpTotal } from "./helpers/socket-example.js";

const context = {
  tool: "record",
  exitCode: 0,
  problem: null,
  files: [],
  childCommand: null,
  notes: [],
} as const;
/** As a reader gets it, through the text. */
const printed = (profile: Profile) =>
  JSON.parse(jsonText(resultJson(profile, [], context))) as ReturnType<typeof resultJson>;
const counted = (histogram: readonly BucketJson[]): number =>
  histogram.reduce((sum, { count }) => sum + count, 0);

describe("a histogram of --json", () => {
  it("has the bounds of each bucket that holds something; the last has no end", () => {
    const buckets = bucketsOf([
      [500, 2],
      [2_000, 3],
    ]);
    buckets[buckets.length - 1] = 1;
    const shown = JSON.parse(JSON.stringify(histogramJson(buckets))) as BucketJson[];
    expect(shown.slice(0, 2)).toEqual([
      { lowNs: 0, highNs: 1024, count: 2 },
      { lowNs: 1536, highNs: 2048, count: 3 },
    ]);
    expect(shown[2]).toMatchObject({ highNs: null, count: 1 });
    expect(histogramJson([])).toEqual([]);
  });
});

const MANY = 60;

describe("--json of locks", () => {
  it("has every kernel lock with its histogram and every process that waited, the longest sum first", () => {
    const server = fakeApp();
    const { capture } = server;
    const workers = Array.from({ length: 25 }, (_, n) => capture.process(200 + n, `worker-${n}`).process);
    const locks = Array.from({ length: MANY }, (_, n) => capture.lock({ name: `lock_${n}` }));
    const totals = locks.flatMap((lock, n) => [
      total(lock, server.process, 2 * (MANY - n), 2e6),
      total(lock, server.process, 1, 3_000),
    ]);
    totals.push(...workers.map((process) => total(locks[0]!, process, 3, 1e6)));
    const result = printed(profileOf(server, totals, { sources: ["locks"] })).locks!;
    expect(result.lockCount).toBe(MANY);
    expect(result.locks.map(({ name }) => name)).toEqual(locks.map((_, n) => `lock_${n}`));
    for (const lock of result.locks) expect(counted(lock.histogram), lock.name).toBe(lock.waits);
    const [worst] = result.locks;
    expect(worst!.waiters).toHaveLength(26);
    expect(worst!.histogram).toEqual([
      { lowNs: 2048, highNs: 3072, count: 1 },
      { lowNs: 786_432, highNs: 1_048_576, count: 75 },
      { lowNs: 1_572_864, highNs: 2_097_152, count: 120 },
    ]);
    for (const { lowNs, highNs } of worst!.histogram.slice(-1)) {
      expect(worst!.p50Ns).toBeGreaterThanOrEqual(lowNs);
      expect(worst!.p99Ns).toBeLessThanOrEqual(highNs!);
    }
  });

  it("has every user lock and every condition, with owners; a cut capture has no histogram", () => {
    const recorded = (cut: boolean): Profile => {
      const server = fakeApp(3);
      const { capture, process, threads } = server;
      const totals = Array.from({ length: MANY }, (_, n) => {
        const lock = futexOf(
          server,
          n % 2 ? "user condition or idle wait" : "user lock",
          0x1000n + BigInt(n),
        );
        capture.futex(threads[1]!, WANTS, { lock, durationNs: 2e6 });
        capture.futexOwners(threads[0]!, [], { lock, durationNs: 2e6 });
        return total(lock, process, 5, 2e6);
      });
      return profileOf(server, totals, { cut });
    };
    const futex = printed(recorded(false)).futex!;
    const all = [...futex.locks, ...futex.conditions.locks];
    expect(all).toHaveLength(MANY);
    expect([futex.lockCount, futex.conditions.lockCount]).toEqual([
      futex.locks.length,
      futex.conditions.locks.length,
    ]);
    for (const lock of all) {
      expect(lock.histogram).toEqual([{ lowNs: 1_572_864, highNs: 2_097_152, count: 5 }]);
      expect(lock.owners).toEqual([{ name: "app (pid 80)", share: 1 }]);
    }
    for (const lock of printed(recorded(true)).futex!.locks) expect(lock.histogram).toEqual([]);
  });
});

describe("--json of sockets", () => {
  it("has every end, connection and slow call; histograms add up to the calls, answers and connections", () => {
    const capture = new FakeCapture();
    const { process, thread } = capture.process(80, "nginx");
    const ends = Array.from({ length: MANY }, (_, n) => capture.endpoint({ address: `10.0.0.${n + 1}` }));
    for (const endpoint of ends) capture.slowCall(thread, [], { endpoint, durationNs: ns(2e9) });
    const sockets = printed(
      socketProfile(capture, {
        callTotals: [
          callTotal(process, SYS.recvfrom, [
            [3_000, 50],
            [90_000, 7],
          ]),
        ],
        endpointTotals: ends.map((end, n) => endTotal(process, end, 10, [[120e6, n + 1]])),
        tcpTotals: ends.map((end) =>
          tcpTotal(end, [
            [200e3, 4],
            [3e6, 1],
          ]),
        ),
      }),
    ).sockets!;
    for (const list of [sockets.ends, sockets.tcp, sockets.slow, sockets.programs[0]!.asked])
      expect(list).toHaveLength(MANY);
    const [call] = sockets.byCall;
    expect([counted(call!.histogram), counted(call!.busyHistogram)]).toEqual([57, 57]);
    for (const end of sockets.ends) {
      expect(counted(end.histogram)).toBe(end.calls);
      expect(counted(end.answered!.histogram)).toBe(end.answered!.answers);
    }
    for (const row of sockets.tcp) expect(counted(row.connectHistogram)).toBe(row.connects);
    for (const row of sockets.programs[0]!.asked)
      expect(counted(row.connect!.histogram)).toBe(row.connect!.timed);
  });
});
