// What is known of TCP connections, and findings about them: each with an incident that it finds, and what looks alike and is none.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { programAnswers } from "../../src/analysis/socket-answers.js";
import { endpointSummaries } from "../../src/analysis/socket-summary.js";
import { connectsFrom, fullestQueue, timedConnects } from "../../src/analysis/tcp-sum.js";
import { tcpSummaries } from "../../src/analysis/tcp-summary.js";
import type { EndpointRole, FinalFacts, TcpTotal } from "../../src/capture/binding.js";
import { ns } from "../../src/model/units.js";
import { FakeCapture } from "./helpers/fake-capture.js";
import { bucketsOf, endTotal, socketProfile, tcpTotal } from "./helpers/socket-example.js";

const found = (rule: string, capture: FakeCapture, final: Partial<FinalFacts> = {}) =>
  analyze(socketProfile(capture, final)).filter((finding) => finding.rule === rule);

describe("connections at an end", () => {
  test("belong to the programs that make calls on it, most calls first; to nobody where nobody does", () => {
    const capture = new FakeCapture();
    const own = capture.process(9, "lowflame", { self: true });
    const [one, two, other] = [
      [80, "nginx"],
      [81, "nginx"],
      [90, "curl"],
    ].map(([pid, comm]) => capture.process(pid as number, comm as string).process);
    const [used, unused, mine] = [1, 2, 3].map((n) => capture.endpoint({ address: `10.0.0.${n}` }));
    const profile = socketProfile(capture, {
      endpointTotals: [
        endTotal(other!, used!, 50),
        endTotal(one!, used!, 40),
        endTotal(two!, used!, 40),
        endTotal(own.process, mine!, 9),
      ],
      tcpTotals: [used!, unused!, mine!, -1].map((endpoint) => tcpTotal(endpoint, [[1e6, 5 - endpoint]])),
    });
    const rows = tcpSummaries(profile, (process) => process !== own.process);
    expect(
      rows.map(({ name, owners }) => [name, owners.map((owner) => [owner.comm, owner.processes])]),
    ).toEqual([
      ["other ends, without a row of their own", []],
      [
        "10.0.0.1:8080",
        [
          ["nginx", 2],
          ["curl", 1],
        ],
      ],
      ["10.0.0.2:8080", []],
    ]);
  });

  test("come with the times to connect, and those where most went wrong come first", () => {
    const capture = new FakeCapture();
    const [busy, broken] = [1, 2].map((n) => capture.endpoint({ address: `10.0.0.${n}` }));
    const rows = tcpSummaries(
      socketProfile(capture, {
        tcpTotals: [
          tcpTotal(busy!, [[1e6, 9_000]]),
          tcpTotal(
            broken!,
            [
              [1e6, 98],
              [1.1e9, 2],
            ],
            { connectsFailed: 1 },
          ),
        ],
      }),
    );
    expect(rows.map(({ name }) => name)).toEqual(["10.0.0.2:8080", "10.0.0.1:8080"]);
    const [row] = rows;
    expect([timedConnects(row!), connectsFrom(row!, 800e6)]).toEqual([100, 2]);
    expect(row!.connectP50Ns).toBeLessThan(1.6e6);
    expect(row!.connectP99Ns).toBeGreaterThan(1e9);
  });

  test("wait in queues, of which the fullest counts", () => {
    const queue = (queueMax: number, queueLimit: number) => ({ queueMax, queueLimit });
    expect(fullestQueue([queue(0, 0), queue(300, 4_096), queue(120, 128)])).toEqual(queue(120, 128));
    expect(fullestQueue([queue(7, 0)])).toEqual(queue(0, 0));
    expect(fullestQueue([queue(0, 0), queue(0, 511)])).toEqual(queue(0, 511));
  });
});

describe("close-wait", () => {
  function left(
    counts: readonly number[],
    over: { seconds?: number; nobody?: boolean; role?: EndpointRole } = {},
  ) {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "app");
    const closeWaits = counts.map((count, n) => ({
      process: over.nobody ? -1 : process,
      endpoint: capture.endpoint({ role: over.role ?? "remote", address: `10.0.0.${n + 1}` }),
      count,
      fd: over.nobody ? -1 : 17 + n,
    }));
    const seconds = BigInt(over.seconds ?? 10);
    const final = { closeWaits, endMonotonicNs: 5_000_000_000_123n + seconds * 1_000_000_000n };
    return { capture, process, final };
  }

  test("names who does not close, how many, where, and a descriptor to look at", () => {
    const { capture, final } = left([8, 30]);
    const counters = { listenOverflows: 0, listenDrops: 0, closeWaitAtEnd: 40 };
    const [finding, ...more] = found("close-wait", capture, { ...final, tcpCounters: counters });
    expect(more).toEqual([]);
    expect(finding).toMatchObject({ severity: "warning", culprit: "app (pid 80)", tab: "sockets" });
    expect(finding!.title).toBe(
      "app (pid 80) does not close 38 connections that the other side has closed (CLOSE-WAIT), for the whole 10.0 s",
    );
    expect(finding!.detail).toContain("most of them at 10.0.0.2:8080 (30, one of them is descriptor 18)");
    expect(finding!.detail).toContain("At the end 40 connections of the machine were in this state");
    expect(finding!.contributors.map(({ name }) => name)).toEqual(["10.0.0.2:8080: 30", "10.0.0.1:8080: 8"]);
    expect(finding!.next.slice(0, 2)).toEqual([
      "ss -tnp state close-wait | grep 'pid=80,'    # who the other sides are",
      "ls -l /proc/80/fd/18",
    ]);
    expect(finding!.next.join()).toContain("pool");
  });

  test("of a server speaks of its timeouts", () => {
    const { capture, final } = left([12], { role: "accepted" });
    expect(found("close-wait", capture, final)[0]!.next.join()).toContain("keepalive_timeout in nginx");
  });

  test("of a few connections is only worth knowing", () => {
    const { capture, final } = left([5, 4]);
    expect(found("close-wait", capture, final)).toMatchObject([{ severity: "info" }]);
  });

  test("of nobody points to queues that are not accepted from", () => {
    const { capture, final } = left([20], { nobody: true });
    const [finding] = found("close-wait", capture, final);
    expect(finding!.title).toMatch(/^20 connections .* and no process was found that has them$/);
    expect(finding!.next.join("\n")).toContain("ss -ltnp | awk");
    expect(finding!.next.join("\n")).not.toContain("/proc/");
  });

  test("and sockets that only grow are one leak, told once", () => {
    const { capture, process, final } = left([4]);
    for (let second = 1; second <= 10; second++)
      capture.socketCount(process, second * 1e9 + 3e6, second * 10);
    const [finding] = found("close-wait", capture, final);
    expect(finding).toMatchObject({ severity: "warning" });
    expect(finding!.detail).toContain("Its open sockets grow as well, by 100 in 10.0 s");
    expect(found("sockets-growing", capture, final)).toEqual([]);
  });

  test("that is younger than the recording is mentioned where sockets grow", () => {
    const { capture, process } = left([]);
    for (let second = 1; second <= 10; second++)
      capture.socketCount(process, second * 1e9 + 3e6, second * 10);
    const tcpCounters = { listenOverflows: 0, listenDrops: 0, closeWaitAtEnd: 90 };
    expect(found("sockets-growing", capture, { tcpCounters })[0]!.detail).toContain(
      "At the end 90 connections of the machine were in CLOSE-WAIT",
    );
  });

  test.each<[string, readonly number[], { seconds?: number }]>([
    ["clients that closed their half and still read", [1, 1], {}],
    ["a recording too short to tell", [40], { seconds: 4 }],
    ["nothing", [], {}],
  ])("is none: %s", (_, counts, over) => {
    const { capture, final } = left(counts, over);
    expect(found("close-wait", capture, final)).toEqual([]);
  });
});

describe("connections that this side opens", () => {
  function connecting(row: Partial<TcpTotal>, took: readonly (readonly [number, number])[] = []) {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "nginx");
    const endpoint = capture.endpoint();
    return {
      capture,
      final: {
        endpointTotals: [endTotal(process, endpoint, 900)],
        tcpTotals: [tcpTotal(endpoint, took, row)],
      },
    };
  }
  const failing = (row: Partial<TcpTotal>) => {
    const { capture, final } = connecting(row);
    return found("connect-failing", capture, final);
  };

  test("and that fail name the end, who opens them, and what became of them", () => {
    const [finding] = failing({ connects: 30, connectsFailed: 20, resetsReceived: 20 });
    expect(finding).toMatchObject({ severity: "warning", culprit: "10.0.0.1:8080", share: 0.4 });
    expect(finding!.title).toBe("20 of 50 connections of nginx (pid 80) to 10.0.0.1:8080 fail (40.0 %)");
    expect(finding!.detail).toMatch(/^They are refused \(20 resets came back\)/);
    expect(finding!.next[0]).toContain("ss -ltnp 'sport = :8080'");
  });

  test.each([
    ["not answered", { connectsFailed: 12, retransmits: 60 }, "critical", /^Nobody answers \(60 segments/],
    ["given up by the program", { connectsFailed: 12 }, "critical", /given up by the program itself/],
    ["a dead upstream that is tried now and then", { connectsFailed: 3 }, "warning", /./],
    ["one in twenty of a busy end", { connects: 190, connectsFailed: 10 }, "warning", /./],
  ] as const)("fail: %s", (_, row, severity, words) => {
    const [finding] = failing(row);
    expect(finding).toMatchObject({ severity, detail: expect.stringMatching(words) });
  });

  test.each([
    ["a connect or two", { connectsFailed: 2 }],
    ["a few of many", { connects: 5_000, connectsFailed: 40 }],
    ["three of ten", { connects: 7, connectsFailed: 3 }],
  ])("are well although some fail: %s", (_, row) => expect(failing(row)).toEqual([]));

  test("and that are a second late are the fault of the way or of the queue there", () => {
    const { capture, final } = connecting({ retransmits: 30 }, [
      [200e3, 170],
      [1.01e9, 30],
    ]);
    const tcpCounters = { listenOverflows: 30, listenDrops: 30, closeWaitAtEnd: 0 };
    const [finding] = found("connect-slow", capture, { ...final, tcpCounters });
    expect(finding).toMatchObject({ severity: "critical", culprit: "10.0.0.1:8080", share: 0.15 });
    expect(finding!.title).toMatch(
      /^30 of 200 connections of nginx \(pid 80\) to 10\.0\.0\.1:8080 are established a second late/,
    );
    expect(finding!.detail).toContain("On this machine 30 connections found such a queue full");
  });

  test.each<[string, readonly (readonly [number, number])[]]>([
    ["servers on the other side of the earth", [[350e6, 900]]],
    [
      "a lost packet among many",
      [
        [1e6, 2_000],
        [1.1e9, 12],
      ],
    ],
    [
      "a handful",
      [
        [1e6, 10],
        [1.1e9, 4],
      ],
    ],
  ])("are not late: %s", (_, took) => {
    const { capture, final } = connecting({}, took);
    expect(found("connect-slow", capture, final)).toEqual([]);
  });
});

describe("a slow end", () => {
  /** Two upstreams of nginx, of which the second answers after 350 ms. */
  function slowEnd(tcp?: Partial<TcpTotal>, took: readonly (readonly [number, number])[] = []) {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "nginx");
    const [quick, slow] = [1, 2].map((n) => capture.endpoint({ address: `10.0.0.${n}` }));
    const front = capture.endpoint({ role: "accepted", address: "0.0.0.0", port: 80 });
    const [finding] = found("slow-end", capture, {
      endpointTotals: [
        endTotal(process, front, 1_800, [[180e6, 1_800]]),
        endTotal(process, quick!, 900, [[1e6, 900]]),
        endTotal(process, slow!, 900, [[350e6, 900]]),
      ],
      tcpTotals: tcp === undefined ? [] : [tcpTotal(slow!, took, tcp)],
    });
    return finding!;
  }

  test("that connects at once has a slow program, and the way is not to blame", () => {
    const finding = slowEnd({ retransmits: 2 }, [[200e3, 300]]);
    expect(finding.title).toMatch(
      /; the way there is quick \(connects in 200\.0 us\), so the program there is slow$/,
    );
    expect(finding.detail).toContain("so the program there is slow and the way is not");
  });

  test.each<[string, Partial<TcpTotal>, readonly (readonly [number, number])[], RegExp]>([
    ["far away", {}, [[300e6, 300]], /; the way there is slow \(connects in 300\.0 ms, 0 segments/],
    ["behind a way that loses packets", { retransmits: 90 }, [[200e3, 300]], /; the way there is slow/],
    [
      "lossy, with connections kept alive",
      { retransmits: 90 },
      [],
      /; the way there loses packets \(90 segments/,
    ],
  ])("may be the way's fault: %s", (_, tcp, took, title) => {
    const finding = slowEnd(tcp, took);
    expect(finding.title).toMatch(title);
    expect(finding.title).not.toContain("the program there is slow");
  });

  test.each<[string, Partial<TcpTotal> | undefined, readonly (readonly [number, number])[], string]>([
    ["nothing is known of its connections", undefined, [], "the other side is slow, or the way there."],
    ["none was opened meanwhile", {}, [], "hardly any connection to it was opened"],
    ["the figures lie between", {}, [[100e6, 300]], "leaves open whether"],
  ])("blames neither where %s", (_, tcp, took, words) => {
    const finding = slowEnd(tcp, took);
    expect(finding.title).toMatch(/\)$/);
    expect(finding.title).not.toContain("way there");
    expect(finding.detail).toContain(words);
  });
});

test("time to connect to an upstream is waiting for it, not the proxy's own", () => {
  const capture = new FakeCapture();
  const { process } = capture.process(80, "nginx");
  const upstream = capture.endpoint();
  const front = capture.endpoint({ role: "accepted", address: "0.0.0.0", port: 80 });
  const took = { connects: 100, connectSumNs: ns(100e9), connectMaxNs: ns(1e9) };
  const profile = socketProfile(capture, {
    endpointTotals: [
      endTotal(process, upstream, 200, [[1e6, 100]]),
      endTotal(process, front, 200, [[1.002e9, 100]]),
    ],
    tcpTotals: [tcpTotal(upstream, [], { ...took, connectBuckets: bucketsOf([[1e9, 100]]) })],
  });
  const ends = endpointSummaries(profile);
  expect(programAnswers(ends)[0]!.upstreamShare).toBeLessThan(0.01);
  expect(programAnswers(ends, tcpSummaries(profile))[0]!.upstreamShare).toBeGreaterThan(0.99);
});

test("a connect that fails in one network namespace is none of the end with that address in another", () => {
  const capture = new FakeCapture();
  const network = 4_026_532_246;
  const [good, bad] = ["goodapp", "badapp"].map((comm, n) => capture.process(80 + n, comm).process);
  const [here, there] = [0, network].map((own) =>
    capture.endpoint({ address: "127.0.0.1", port: 9000, network: own }),
  );
  const [finding, ...more] = found("connect-failing", capture, {
    endpointTotals: [endTotal(good!, here!, 300), endTotal(bad!, there!, 300)],
    tcpTotals: [
      tcpTotal(here!, [[1e5, 100]]),
      { ...tcpTotal(there!, []), connectsFailed: 100, resetsReceived: 100 },
    ],
  });
  expect(more).toEqual([]);
  expect(finding!.title).toBe(
    `100 of 100 connections of badapp (pid 81) to 127.0.0.1:9000 (netns ${network}) fail (100.0 %)`,
  );
  expect(finding!.detail).toContain(`from network namespace ${network}`);
  expect(finding!.next[0]).toMatch(/^nsenter .* ss -ltnp 'sport = :9000'/);
});
