// Whose time an answer takes: an end that is late with the rest, a stream, a program that reads late; each beside what looks
// alike and is another.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { programAnswers } from "../../src/analysis/socket-answers.js";
import { endpointSummaries } from "../../src/analysis/socket-summary.js";
import type { EndpointTotal, FinalFacts } from "../../src/capture/binding.js";
import { ns } from "../../src/model/units.js";
import { FakeCapture, u } from "./helpers/fake-capture.js";
import { bucketsOf, endTotal, socketProfile, wholes } from "./helpers/socket-example.js";

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

describe("late-reader", () => {
  /** A program that finds `reads` answers in its socket which lay there for `eachNs`. */
  function reader(
    reads: number,
    eachNs: number,
    over: Partial<EndpointTotal> = {},
    what: { cpuMs?: number; queuedNs?: number; sleptNs?: number } = {},
  ) {
    const capture = new FakeCapture();
    const { process, thread } = capture.process(80, "node");
    const quick = capture.endpoint({ address: "10.0.0.1" });
    if (what.cpuMs !== undefined)
      capture.cpu(thread, [u("main"), u("JSON.parse")], { times: Math.ceil(what.cpuMs) });
    if (what.sleptNs !== undefined)
      capture.offcpu(thread, [u("main"), u("pause")], { weightNs: what.sleptNs, durationNs: what.sleptNs });
    const lateSumNs = ns(reads * eachNs);
    const total = endTotal(process, quick, 9 * N, [[1e6, N]], {
      ...{ lateReads: reads, lateSumNs, lateMaxNs: ns(eachNs), ...over },
    });
    const final: Partial<FinalFacts> = { endpointTotals: [total] };
    if (what.queuedNs === undefined) return socketProfile(capture, final);
    const row = { process, count: 10, sumNs: ns(what.queuedNs), maxNs: ns(1e6) };
    return socketProfile(capture, { ...final, runQueue: [{ ...row, buckets: bucketsOf([[1e6, 10]]) }] });
  }

  test("names the program, and what its CPU time goes into", () => {
    const [finding, ...more] = found("late-reader", reader(N, 98e6, {}, { cpuMs: 9_000 }));
    expect(more).toEqual([]);
    expect(finding).toMatchObject({ severity: "warning", culprit: "node", tab: "sockets" });
    expect(finding!.title).toBe(
      "node reads answers late: they had come, and lay unread for 98.0 ms on average; it computes meanwhile",
    );
    expect(finding!.contributors[0]).toMatchObject({ name: "JSON.parse (CPU time)", share: 1 });
    expect(finding!.detail).toContain("neither they nor the network is the cause");
  });

  test("says that the program has no CPU, where that is so", () => {
    const [finding] = found("late-reader", reader(N, 98e6, {}, { queuedNs: 9e9 }));
    expect(finding!.title).toMatch(/; it waits for a CPU meanwhile$/);
    expect(finding!.next.join()).toContain("/proc/pressure/cpu");
  });

  test("is only worth knowing of a program that waits elsewhere: it may ask several and read one after the other", () => {
    const [finding] = found("late-reader", reader(N, 98e6, { blockedNs: ns(9e9) }, { cpuMs: 10 }));
    expect(finding).toMatchObject({ severity: "info" });
    expect(finding!.detail).toContain("one after the other");
  });

  /** Twelve answers lie in the sockets of one thread at a time, ten seconds long. */
  const crowded = (what: { cpuMs: number; queuedNs?: number; sleptNs?: number }) =>
    reader(1_200, 98e6, {}, what);

  test.each([
    ["computes", { cpuMs: 900, queuedNs: 0.1e9 }, "computes"],
    ["computes and waits for a CPU, half of the time together", { cpuMs: 300, queuedNs: 2.4e9 }, "computes"],
    ["waits for a CPU and computes", { cpuMs: 250, queuedNs: 2.6e9 }, "waits for a CPU"],
  ])("of a thread in whose sockets several lie at once: it %s", (_, what, words) => {
    const [finding] = found("late-reader", crowded(what));
    expect(finding).toMatchObject({ severity: "warning" });
    expect(finding!.title).toContain(`; it ${words} meanwhile`);
  });

  test("of such a thread says that it slept only where it did", () => {
    const [asleep] = found("late-reader", crowded({ cpuMs: 10, queuedNs: 1e6, sleptNs: 9e9 }));
    expect(asleep).toMatchObject({ severity: "info", detail: expect.stringContaining("slept for 9.0 s") });
    const [unknown] = found("late-reader", crowded({ cpuMs: 10, queuedNs: 1e6 }));
    expect(unknown).toMatchObject({ severity: "warning" });
    expect(unknown!.detail).toContain("neither that nor what it slept");
  });

  test("without CPU samples and off-CPU waits says how to learn more", () => {
    const [finding] = found("late-reader", reader(N, 98e6));
    expect(finding!.next[0]).toContain("lowflame record --what cpu,offcpu,sockets");
  });

  test.each([
    ["a few answers in one long pause", 19, 500e6],
    ["lateness that nobody feels", N, 15e6],
  ])("is none: %s", (_, reads, eachNs) => {
    expect(found("late-reader", reader(reads, eachNs, {}, { cpuMs: 9_000 }))).toEqual([]);
  });

  test("is none where it is a small part of the time", () => {
    const over = wholes([[500e6, N]]);
    expect(found("late-reader", reader(N, 98e6, over, { cpuMs: 9_000 }))).toEqual([]);
  });
});
