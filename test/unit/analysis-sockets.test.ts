// Findings about sockets: each with an incident that it finds, and what looks alike and is none.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { FinalFacts } from "../../src/capture/binding.js";
import { ns } from "../../src/model/units.js";
import { FakeCapture, k, u } from "./helpers/fake-capture.js";
import { SYSCALL } from "./helpers/proxy-load.js";
import {
  addSockets,
  callTotal,
  descriptor,
  EMFILE,
  endTotal,
  SYS,
  socketProfile,
} from "./helpers/socket-example.js";

const found = (rule: string, capture: FakeCapture, final: Partial<FinalFacts> = {}) =>
  analyze(socketProfile(capture, final)).filter((finding) => finding.rule === rule);

describe("eagain-spin", () => {
  test("names process, descriptor, end and, with CPU samples, who makes the calls", () => {
    const capture = new FakeCapture();
    const { process, thread } = capture.process(80, "client");
    const endpoint = capture.endpoint();
    const stack = [
      u("main"),
      u("poll_loop"),
      u("__recv", "/lib/libc.so.6"),
      ...SYSCALL,
      k("__x64_sys_recvfrom"),
    ];
    capture.cpu(thread, stack, { times: 30 });
    const row = descriptor({ process, endpoint, count: 50_000, again: 49_000 });
    const [finding] = found("eagain-spin", capture, { descriptorTotals: [row] });
    expect(finding).toMatchObject({ severity: "warning", culprit: "client (pid 80)", tab: "sockets" });
    expect(finding!.title).toBe(
      "client (pid 80) spins on descriptor 7 (10.0.0.1:8080): 98.0 % of 5,000 calls a second find nothing to do",
    );
    expect(finding!.detail).toContain("come from poll_loop (nginx) (100.0 %)");
    expect(finding!.next).toEqual(
      expect.arrayContaining(["ls -l /proc/80/fd/7", "ss -tnpi dst '10.0.0.1:8080'"]),
    );
  });

  test("spins at times: by its worst second, on a descriptor that was busy and well for long", () => {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "client");
    const worst = { worstCount: 6_000, worstAgain: 5_990, worstNs: ns(1.2e9) };
    const [finding] = found("eagain-spin", capture, {
      descriptorTotals: [descriptor({ process, again: 9_000, ...worst })],
    });
    expect(finding!.title).toBe(
      "client (pid 80) spins on descriptor 7: at times 99.8 % of 5,000 calls a second find nothing to do",
    );
    expect(finding!.detail).toContain("In its worst second some 5,990 of 6,000 calls");
  });

  test.each([
    [
      "a second of which one call in ten finds something",
      { worstCount: 6_000, worstAgain: 5_400, worstNs: ns(1e9) },
    ],
    ["a second that lasted ten", { worstCount: 6_000, worstAgain: 5_990, worstNs: ns(10e9) }],
    ["each answer read until EAGAIN", { again: 25_000 }],
    ["nine of ten, no more", { again: 45_000 }],
    ["a slow poll", { count: 9_000, again: 9_000 }],
    ["few calls in a short time", { count: 300, again: 300, forNs: ns(1e8) }],
  ])("is none: %s", (_, over) => {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "server");
    expect(found("eagain-spin", capture, { descriptorTotals: [descriptor({ process, ...over })] })).toEqual(
      [],
    );
  });
});

describe("sockets-growing", () => {
  /** Open and closed sockets second by second. */
  function growth(
    opened: (second: number) => number,
    closed: (second: number) => number = () => 0,
    descriptors: (second: number) => number = () => 0,
    final: (process: number) => Partial<FinalFacts> = () => ({}),
  ) {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "leaky");
    for (let second = 1; second <= 10; second++)
      capture.socketCount(process, second * 1e9 + 3e6, opened(second), closed(second), descriptors(second));
    return found("sockets-growing", capture, final(process));
  }

  test("finds a process that opens ten a second and closes none", () => {
    const [finding] = growth((second) => second * 10);
    expect(finding!.title).toBe(
      "leaky (pid 80) opens sockets and does not close them: 100 more in 10.0 s, 10.0 a second",
    );
    expect(finding!.next.join("\n")).toContain("state close-wait");
  });

  test.each<[string, (second: number) => number, (second: number) => number, string]>([
    [
      "one that closes nine tenths",
      (second) => second * 100,
      (second) => second * 90,
      "does not close all of them: 90 more in 9.0 s, 10.0 a second",
    ],
    [
      "one that closes a copy of each",
      (second) => second * 10,
      (second) => second * 10,
      "does not close all of them: 90 more",
    ],
    ["one that closes none", (second) => second * 10, () => 0, "does not close them: 90 more"],
  ])("by its open descriptors finds %s", (_, opened, closed, title) => {
    const [finding] = growth(opened, closed, (second) => 30 + second * 10);
    expect(finding!.title).toContain(title);
    expect(finding!.detail).toContain("its open descriptors became more");
  });

  test("finds a process that opens by a timer, in steps of two seconds", () => {
    const [finding] = growth((second) => Math.floor(second / 2) * 40);
    expect(finding!.title).toContain(
      "leaky (pid 80) opens sockets and does not close them: 200 more in 10.0 s",
    );
    expect(finding!.detail).toContain("rose in 100.0 % of all spans of 2 s");
  });

  test.each([
    ["one step, however large", (second: number) => (second < 5 ? 0 : 2_000)],
    ["steps that end early", (second: number) => Math.min(3, Math.floor(second / 2)) * 40],
    ["steps that are small", (second: number) => Math.floor(second / 2) * 9],
  ])("does not find %s", (_, opened) => expect(growth(opened)).toEqual([]));

  const untilItEnds = [
    (second: number) => Math.min(second, 7) * 20,
    (second: number) => (second < 7 ? 0 : 140),
    (second: number) => (second < 7 ? 3 + second * 20 : 0),
  ] as const;

  test("finds one that ended for want of descriptors, and tells of its life alone", () => {
    const full = { errors: 3, byError: [{ errno: EMFILE, count: 3 }] };
    const [finding] = growth(...untilItEnds, (process) => ({
      callTotals: [callTotal(process, SYS.connect, [[1_000, 100]], full)],
    }));
    expect(finding!.severity).toBe("warning");
    expect(finding!.title).toBe(
      "leaky (pid 80) opens sockets and does not close them: 100 more in 5.0 s, 20.0 a second, and has ended",
    );
    expect(finding!.detail).toContain("3 of its calls failed for want of descriptors");
    expect(finding!.next.join("\n")).not.toContain("/proc/80");
  });

  test("one that ended and had room for more may be a client that was done: worth knowing only", () => {
    const [finding] = growth(...untilItEnds);
    expect(finding!.severity).toBe("info");
    expect(finding!.detail).toContain("a client whose load grew until it was done looks like that");
  });

  test("does not find one that opened many and ended at once", () =>
    expect(
      growth(
        (second) => Math.min(second, 3) * 100,
        () => 0,
        (second) => (second < 3 ? 3 + second * 100 : 0),
      ),
    ).toEqual([]));

  test("by its open descriptors clears one that closes many at once", () =>
    expect(
      growth(
        (second) => second * 100,
        () => 0,
        (second) => 30 + (second % 2),
      ),
    ).toEqual([]));

  test("leaves out descriptors that cannot be sockets", () =>
    expect(
      growth(
        (second) => second,
        () => 0,
        (second) => second * 50,
      ),
    ).toEqual([]));

  test.each<[string, (second: number) => number, ((second: number) => number)?]>([
    ["a server that warms up", () => 1_000],
    ["one that warms up, and a few clients that come later", (second) => 900 + second],
    ["one that closes what it opens", (second) => second * 1_000, (second) => second * 900],
    ["slow growth", (second) => second * 4],
    ["a few sockets", (second) => second * 4 + 9],
    ["load that comes in two steps", (second) => (second < 5 ? 200 : 400)],
  ])("is none: %s", (_, opened, closed) => expect(growth(opened, closed)).toEqual([]));
});

describe("slow-end", () => {
  test("names the slow upstream beside the healthy one, and whether the program itself is to blame", () => {
    const capture = new FakeCapture();
    const [finding, ...more] = found("slow-end", capture, addSockets(capture));
    expect(more).toEqual([]);
    expect(finding).toMatchObject({ severity: "warning", culprit: "10.0.0.2:8080" });
    expect(finding!.title).toMatch(
      /^10\.0\.0\.2:8080 answers nginx after 3\d\d\.\d ms \(p99 .*\), the others after \d\.\d ms/,
    );
    expect(finding!.detail).toMatch(
      /nginx itself answers after .*; 7\d\.\d % to 9\d\.\d % of that time it waits/,
    );
    expect(finding!.next[0]).toContain("ss -tnpi dst '10.0.0.2:8080'");
  });

  test.each<[string, readonly (readonly [number, number])[]]>([
    [
      "two ends that are alike",
      [
        [2e6, 900],
        [3e6, 900],
      ],
    ],
    [
      "one that does other work, three times slower",
      [
        [10e6, 900],
        [30e6, 900],
      ],
    ],
    [
      "one that is five times slower, which nobody feels",
      [
        [1e6, 900],
        [6e6, 900],
      ],
    ],
    [
      "four answers, however slow",
      [
        [1e6, 900],
        [30e9, 4],
      ],
    ],
    [
      "19 answers of less than a second",
      [
        [1e6, 900],
        [700e6, 19],
      ],
    ],
    [
      "19 answers of less than twenty times the others'",
      [
        [150e6, 900],
        [2e9, 19],
      ],
    ],
    [
      "few answers beside few of the others",
      [
        [1e6, 19],
        [30e9, 5],
      ],
    ],
    [
      "a handful of answers",
      [
        [1e6, 900],
        [300e6, 9],
      ],
    ],
    ["nothing to compare with", [[300e6, 900]]],
  ])("is none: %s", (_, ends) => {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "nginx");
    const endpointTotals = ends.map((turns, n) =>
      endTotal(process, capture.endpoint({ address: `10.0.0.${n}` }), 5_000, [turns]),
    );
    expect(found("slow-end", capture, { endpointTotals })).toEqual([]);
  });
});

test("slow-end of connections that begin with a handshake: half of the answers are quick, and hide the others", () => {
  const capture = new FakeCapture();
  const { process } = capture.process(80, "nginx");
  const ends: (readonly [number, number])[][] = [
    [[1e6, 60]],
    [
      [1e6, 30],
      [400e6, 30],
    ],
  ];
  const endpointTotals = ends.map((turns, n) =>
    endTotal(process, capture.endpoint({ address: `10.0.0.${n}` }), 500, turns),
  );
  const [finding, ...more] = found("slow-end", capture, { endpointTotals });
  expect(more).toEqual([]);
  expect(finding).toMatchObject({ severity: "warning", culprit: "10.0.0.1:8080" });
  expect(finding!.title).toMatch(/gives nginx a quarter of its answers after [34]\d\d/);
});

test("slow-end of a unix socket speaks of no way there, for which ss has no figures", () => {
  const capture = new FakeCapture();
  const { process } = capture.process(80, "nginx");
  const endpointTotals = [1e6, 600e6].map((took, n) => {
    const end = { role: "path", family: 1, protocol: 0, address: `/run/${n}.sock`, port: 0 } as const;
    return endTotal(process, capture.endpoint(end), 5_000, [[took, 900]]);
  });
  const [finding] = found("slow-end", capture, { endpointTotals });
  expect(finding!.next[0]).toBe("ss -xp | grep -F -- '/run/1.sock'");
});

describe("slow-end of an end that hardly answers", () => {
  test.each([
    [5, 1.3e9, 1e6],
    [19, 30e9, 900e6],
  ])("finds %i answers of %d ns beside those of %d ns", (times, slowNs, quickNs) => {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "nginx");
    const ends: [number, number][] = [
      [quickNs, 20],
      [slowNs, times],
    ];
    const endpointTotals = ends.map((turns, n) =>
      endTotal(process, capture.endpoint({ address: `10.0.0.${n}` }), 50, [turns]),
    );
    const front = capture.endpoint({ role: "accepted", address: "0.0.0.0", port: 80 });
    endpointTotals.push(endTotal(process, front, 50, [[slowNs, 25]]));
    expect(found("slow-end", capture, { endpointTotals })).toMatchObject([
      { severity: "critical", culprit: "10.0.0.1:8080" },
    ]);
  });
});

test("commands never repeat an address or a path that is not a plain one", () => {
  const capture = new FakeCapture();
  const process = (pid: number) => capture.process(pid, "evil").process;
  const hostile = ["/run/$(reboot)", "/run/'; reboot; '", "/run/\n"].map((address) =>
    capture.endpoint({ role: "path", family: 1, protocol: 0, address }),
  );
  const address = capture.endpoint({ address: "1.1.1.1;reboot" });
  const descriptorTotals = [...hostile, address].map((endpoint, fd) =>
    descriptor({ process: process(80 + fd), fd, endpoint, again: 50_000 }),
  );
  const next = found("eagain-spin", capture, { descriptorTotals }).flatMap((finding) => finding.next);
  expect(next.length).toBeGreaterThan(8);
  expect(next.join("\n")).not.toContain("reboot");
});
