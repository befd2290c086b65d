// Whose time an answer takes: an end that is late with the rest, a stream; each beside what looks
// alike and is another.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { programAnswers } from "../../src/analysis/socket-answers.js";
import { endpointsByProgram } from "../../src/analysis/socket-sum.js";
import { endpointSummaries } from "../../src/analysis/socket-summary.js";
import { ns } from "../../src/model/units.js";
import { FakeCapture, u } from "./helpers/fake-capture.js";
import { endTotal, socketProfile, wholes } from "./helpers/socket-example.js";

const N = 100;

interface Answers {
  readonly firstNs: number;
  readonly wholeNs: number;
  readonly pauses?: number;
}

/** A proxy with a quick end and another; `servedNs` to its own first bytes, null for a program that serves nobody. */
function proxy(other: Answers, servedNs: number | null) {
  const capture = new FakeCapture();
  const { process } = capture.process(80, "nginx");
  const [quick, slow] = ["10.0.0.1", "10.0.0.2"].map((address) => capture.endpoint({ address }));
  const front = capture.endpoint({ role: "accepted", address: "0.0.0.0", port: 80 });
  const { firstNs, wholeNs, pauses = 1 } = other;
  const endpointTotals = [
    endTotal(process, quick!, 9 * N, [[2e6, N]]),
    endTotal(process, slow!, 9 * N, [[firstNs, N]], { ...wholes([[wholeNs, N]]), pauses: pauses * N }),
  ];
  if (servedNs !== null)
    endpointTotals.push(
      endTotal(process, front, 9 * N, [
        [2e6, N],
        [servedNs, N],
      ]),
    );
  return socketProfile(capture, { endpointTotals });
}
const found = (rule: string, profile: ReturnType<typeof proxy>) =>
  analyze(profile).filter((finding) => finding.rule === rule);

describe("slow-end by the rest of the answer", () => {
  test("names the end that begins early and ends late, where the program waits for the whole", () => {
    const profile = proxy({ firstNs: 2e6, wholeNs: 900e6 }, 905e6);
    const [finding, ...more] = found("slow-end", profile);
    expect(more).toEqual([]);
    expect(finding).toMatchObject({ severity: "critical", culprit: "10.0.0.2:8080" });
    expect(finding!.title).toMatch(
      /^10\.0\.0\.2:8080 begins to answer nginx after \d\.\d ms, but the whole answer takes \d{3}\.\d ms \(p99 .*\), that of the others \d\.\d ms$/,
    );
    expect(finding!.detail).toContain("begins its own answers only when these are complete");
    expect(finding!.detail).toMatch(/9\d\.\d % of that time it waits for the ends/);
    const [nginx] = programAnswers(endpointSummaries(profile));
    expect(nginx).toMatchObject({ waitsForWhole: true, asked: [{ name: "10.0.0.2:8080" }, {}] });
  });

  test("is a warning where the program passes on what has come, and a pause or two are all", () => {
    const [finding] = found("slow-end", proxy({ firstNs: 2e6, wholeNs: 900e6 }, 2.1e6));
    expect(finding).toMatchObject({ severity: "warning", culprit: "10.0.0.2:8080" });
    expect(finding!.detail).toContain("passes on what has come");
  });

  test.each([
    ["a stream of events", { firstNs: 2e6, wholeNs: 900e6, pauses: 30 }, 2.1e6],
    ["a long download", { firstNs: 2e6, wholeNs: 900e6, pauses: 0 }, 2.1e6],
    ["messages in both directions", { firstNs: 2e6, wholeNs: 25e9, pauses: 1 }, 2.1e6],
    ["a program of which it is not known whether it waits", { firstNs: 2e6, wholeNs: 900e6 }, null],
  ])("is only worth knowing of %s", (_, answers, servedNs) => {
    const profile = proxy(answers, servedNs);
    expect(found("slow-end", profile)).toMatchObject([{ severity: "info", culprit: "10.0.0.2:8080" }]);
  });

  test("does not count streams as waiting: the program's own time stays its own", () => {
    const [nginx] = programAnswers(
      endpointSummaries(proxy({ firstNs: 2e6, wholeNs: 30e9, pauses: 100 }, 60e6)),
    );
    expect(nginx!.waitsForWhole).toBe(false);
    expect(nginx!.upstreamShare).toBeLessThan(0.1);
  });

  test("says nothing of captures that do not know the whole", () => {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "nginx");
    const none = { wholeSumNs: ns(0), wholeMaxNs: ns(0), wholeBuckets: [] };
    const endpointTotals = ["10.0.0.1", "10.0.0.2"].map((address) =>
      endTotal(process, capture.endpoint({ address }), N, [[2e6, N]], none),
    );
    expect(analyze(socketProfile(capture, { endpointTotals }))).toEqual([]);
  });
});

test("processes without a name are no program together: one does not wait for the answers of another", () => {
  const capture = new FakeCapture();
  const asked = capture.endpoint({ address: "10.0.0.1" });
  const own = capture.endpoint({ role: "accepted", address: "0.0.0.0", port: 80 });
  const [client, other, server] = [80, 81, 82].map((pid) => capture.process(pid, "?").process);
  const endpointTotals = [
    endTotal(client!, asked, N, [[1e6, N]]),
    endTotal(other!, asked, N, [[1e6, N]]),
    endTotal(server!, own, N, [[1e6, N]]),
  ];
  const profile = socketProfile(capture, { endpointTotals });
  const programs = programAnswers(endpointSummaries(profile));
  expect(programs.map(({ process }) => process).sort()).toEqual([client, other, server]);
  expect(programs.map(({ upstreamShare }) => upstreamShare)).toEqual([null, null, null]);
  expect(endpointsByProgram(endpointSummaries(profile)).map(({ processes }) => processes)).toEqual([1, 1, 1]);
});

test("no p99 is below its p50: answers of one length, where their sum tells more than the histogram", () => {
  const capture = new FakeCapture();
  const end = capture.endpoint({ address: "10.0.0.1" });
  const total = endTotal(
    capture.process(80, "nginx").process,
    end,
    9,
    [[401.3e6, 9]],
    wholes([[401.3e6, 9]]),
  );
  const [row] = endpointSummaries(socketProfile(capture, { endpointTotals: [total] }));
  expect(row!.turnP50Ns).toBeCloseTo(401.3e6, -5);
  expect(row!.turnP99Ns).toBeGreaterThanOrEqual(row!.turnP50Ns);
  expect(row!.wholeP99Ns).toBeGreaterThanOrEqual(row!.wholeP50Ns);
});

test("slow-end by its slowest answers says so, and that half of all come in time", () => {
  const capture = new FakeCapture();
  const { process } = capture.process(80, "nginx");
  const [quick, slow] = ["10.0.0.1", "10.0.0.2"].map((address) => capture.endpoint({ address }));
  const endpointTotals = [
    endTotal(process, quick!, 5_000, [[1e6, 5_000]]),
    endTotal(process, slow!, 5_000, [
      [1e6, 4_850],
      [150e6, 150],
    ]),
  ];
  const [finding] = found("slow-end", socketProfile(capture, { endpointTotals }));
  expect(finding!.title).toMatch(
    /^10\.0\.0\.2:8080 gives nginx one answer in 100 after 1\d\d\.\d ms or later, the others after \d\.\d ms \(half of all come within \S+ us and \d\.\d ms\)/,
  );
});

describe("network namespaces", () => {
  const ELSEWHERE = 4_026_532_281;

  test("ends of two containers with equal addresses are neither one end nor compared", () => {
    const capture = new FakeCapture();
    const totals = [0, ELSEWHERE].flatMap((network, n) => {
      const { process } = capture.process(80 + n, "java");
      const [own, db] = [9000, 9000 + n + 1].map((port) =>
        capture.endpoint({ address: "127.0.0.1", port, network }),
      );
      return [
        endTotal(process, own!, 9 * N, [[n === 0 ? 2e6 : 900e6, N]]),
        endTotal(process, db!, 9 * N, [[n === 0 ? 2e6 : 500e6, N]]),
      ];
    });
    const profile = socketProfile(capture, { endpointTotals: totals });
    expect(found("slow-end", profile)).toEqual([]);
    const programs = programAnswers(endpointSummaries(profile));
    expect(programs.map(({ asked }) => asked.map(({ name }) => name))).toEqual([
      [`127.0.0.1:9000 (netns ${ELSEWHERE})`, `127.0.0.1:9002 (netns ${ELSEWHERE})`],
      expect.arrayContaining(["127.0.0.1:9000", "127.0.0.1:9001"]),
    ]);
  });

  test("commands look into the namespace of the end", () => {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "java");
    const [quick, slow] = [9001, 9002].map((port) =>
      capture.endpoint({ address: "127.0.0.1", port, network: ELSEWHERE }),
    );
    const [finding] = found(
      "slow-end",
      socketProfile(capture, {
        endpointTotals: [
          endTotal(process, quick!, 9 * N, [[2e6, N]]),
          endTotal(process, slow!, 9 * N, [[900e6, N]]),
        ],
      }),
    );
    expect(finding!.culprit).toBe(`127.0.0.1:9002 (netns ${ELSEWHERE})`);
    expect(finding!.next[0]).toContain(`nsenter -t "$(lsns -no PID ${ELSEWHERE} | head -n1)" -n ss -tnpi`);
    expect(finding!.next.join()).toContain("sport = :9002");
  });
});

describe("slow-end by who asks", () => {
  /** Programs called `comm`, each process with its ends: port and length of its answers. */
  function asking(comm: string, processes: readonly (readonly (readonly [number, number])[])[], front = 0) {
    const capture = new FakeCapture();
    const ends = new Map<number, number>();
    const endOf = (port: number) => {
      const known = ends.get(port) ?? capture.endpoint({ port });
      ends.set(port, known);
      return known;
    };
    const accepted = front > 0 ? capture.endpoint({ role: "accepted", address: "0.0.0.0", port: front }) : -1;
    const endpointTotals = processes.flatMap((asked, n) => {
      const { process } = capture.process(80 + n, comm);
      const own = asked.map(([port, ns]) => endTotal(process, endOf(port), 9 * N, [[ns, N]]));
      return front > 0 ? [...own, endTotal(process, accepted, 9 * N, [[1e6, N]])] : own;
    });
    return found("slow-end", socketProfile(capture, { endpointTotals }));
  }

  test("does not compare what two unrelated programs of one name ask", () => {
    expect(asking("java", [[[8001, 50e6]], [[8002, 1e6]]])).toEqual([]);
    const common = [8003, 12e6] as const;
    expect(
      asking("java", [
        [[8001, 50e6], common],
        [[8002, 3e6], common],
      ]),
    ).toEqual([]);
  });

  test("compares what one process asks, and the workers of one server", () => {
    expect(
      asking("java", [
        [
          [8001, 50e6],
          [8002, 1e6],
        ],
      ]),
    ).toMatchObject([{ culprit: "10.0.0.1:8001" }]);
    expect(asking("nginx", [[[8001, 50e6]], [[8002, 1e6]]], 80)).toMatchObject([
      { culprit: "10.0.0.1:8001" },
    ]);
  });
});

describe("slow-end by what the program there did", () => {
  /** A worker that asks a quick end and a slow one, whose server on this machine used so much CPU time; null: not recorded. */
  function blocking(cpuNs: number | null, serves = false, bytesOut = 9) {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "worker");
    const [slow, quick] = [6379, 6380].map((port) => capture.endpoint({ address: "127.0.0.1", port }));
    const server = capture.process(90, "redis-server");
    const there = capture.endpoint({ role: "accepted", address: "127.0.0.1", port: 6379 });
    const own = capture.endpoint({ role: "accepted", address: "0.0.0.0", port: 80 });
    if (cpuNs !== null) capture.cpu(server.thread, [u("serve")], { weightNs: cpuNs });
    return found(
      "slow-end",
      socketProfile(capture, {
        endpointTotals: [
          endTotal(process, slow!, 9 * N, [[1e9, N]], { bytesIn: 9 }),
          endTotal(process, quick!, 9 * N, [[1e6, N]], { bytesIn: 9 }),
          endTotal(server.process, there, 9 * N, bytesOut > 0 ? [[1e9, N]] : [], { bytesOut }),
          ...(serves ? [endTotal(process, own, 9 * N, [[1e9, N]])] : []),
        ],
      }),
    );
  }

  test("an idle one is not to blame: worth knowing where nobody waits for the program that asks", () => {
    const [finding] = blocking(1e6);
    expect(finding).toMatchObject({ severity: "info", culprit: "127.0.0.1:6379" });
    expect(finding!.detail).toMatch(
      /redis-server \(pid 90\), is on this machine and used 1\.0 ms of CPU time/,
    );
    expect(finding!.detail).toContain("did not compute, but waited itself");
    expect(finding!.detail).toContain("BLPOP");
    expect(finding!.detail).not.toContain("the other side is slow");
    expect(blocking(1e6, true)).toMatchObject([
      { severity: "critical", detail: expect.stringContaining("waited itself") },
    ]);
  });

  test("one that only accepts there, or has the connection left from a fork, is not the program there", () => {
    const [finding] = blocking(1e6, false, 0);
    expect(finding!.detail).not.toContain("redis-server");
    expect(finding!.detail).not.toContain("waited itself");
  });

  test("one that computes is; where it is not known, the finding says so", () => {
    const [busy] = blocking(9e9);
    expect(busy).toMatchObject({ severity: "critical" });
    expect(busy!.detail).not.toContain("waited itself");
    const [unknown] = blocking(null);
    expect(unknown).toMatchObject({ severity: "warning" });
    expect(unknown!.detail).toContain("Whether it is asked to answer at once is not known");
  });
});
