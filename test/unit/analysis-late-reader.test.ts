// Programs that read answers late, by what they did meanwhile; each beside what looks alike and is another.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { EndpointTotal, FinalFacts } from "../../src/capture/binding.js";
import type { Profile } from "../../src/model/profile.js";
import { ns } from "../../src/model/units.js";
import { FakeCapture, u } from "./helpers/fake-capture.js";
import { bucketsOf, endTotal, socketProfile, wholes } from "./helpers/socket-example.js";

const N = 100;
const found = (rule: string, profile: Profile) => analyze(profile).filter((finding) => finding.rule === rule);

describe("late-reader", () => {
  /** A program that finds `reads` answers in its socket which lay there for `eachNs`. */
  function reader(
    reads: number,
    eachNs: number,
    over: Partial<EndpointTotal> = {},
    what: { cpuMs?: number; queuedNs?: number } = {},
  ) {
    const capture = new FakeCapture();
    const { process, thread } = capture.process(80, "node");
    const quick = capture.endpoint({ address: "10.0.0.1" });
    if (what.cpuMs !== undefined)
      capture.cpu(thread, [u("main"), u("JSON.parse")], { times: Math.ceil(what.cpuMs) });
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

  /** What the threads that read did while answers lay there. */
  const meanwhile = (passedNs: number, awakeNs: number, sleptNs: number): Partial<EndpointTotal> => ({
    ...{ latePassedNs: ns(passedNs), lateAwakeNs: ns(awakeNs), lateSleptNs: ns(sleptNs) },
  });

  test("is only worth knowing of a program that waits elsewhere: it may ask several and read one after the other", () => {
    const slept = { ...meanwhile(9e9, 1e7, 8.9e9), blockedNs: ns(9e9) };
    const [finding] = found("late-reader", reader(N, 98e6, slept, { cpuMs: 10 }));
    expect(finding).toMatchObject({ severity: "info" });
    expect(finding!.detail).toContain("one after the other");
  });

  /** Twelve answers lie in the sockets of one thread at a time, ten seconds long. */
  const crowded = (over: Partial<EndpointTotal>, what: { cpuMs?: number; queuedNs?: number }) =>
    found("late-reader", reader(1_200, 98e6, over, what))[0]!;

  test.each([
    ["computes", { cpuMs: 900, queuedNs: 0.1e9 }, "computes"],
    ["computes and waits for a CPU", { cpuMs: 500, queuedNs: 2.4e9 }, "computes"],
    ["waits for a CPU and computes", { cpuMs: 450, queuedNs: 5e9 }, "waits for a CPU"],
    ["computes, as far as is known", { cpuMs: 900 }, "computes"],
    ["waits for a CPU, as far as is known", { queuedNs: 6e9 }, "waits for a CPU"],
    ["runs or waits for a CPU", {}, "computes or waits for a CPU"],
    ["uses a CPU little, and its waits for one are not known", { cpuMs: 100 }, "computes or waits for a CPU"],
  ])("of a thread in whose sockets several lie at once: it %s", (_, what, words) => {
    const finding = crowded(meanwhile(10e9, 9.5e9, 0.2e9), what);
    expect(finding).toMatchObject({ severity: "warning" });
    expect(finding.title.endsWith(`; it ${words} meanwhile`)).toBe(true);
    expect(finding.detail).toContain("For 9.5 s of the 10.0 s that passed");
    expect(finding.detail).not.toContain(" slept");
  });

  test("goes by the time in which answers lay there, not by the recording: two seconds of load are enough", () => {
    const what = { cpuMs: 190, queuedNs: 0.1e9 };
    const profile = reader(1_200, 98e6, meanwhile(2e9, 1.9e9, 0), what);
    expect(profile.durationNs).toBeGreaterThanOrEqual(10e9);
    const [finding] = found("late-reader", profile);
    expect(finding).toMatchObject({
      severity: "warning",
      title: expect.stringMatching(/; it computes meanwhile$/),
    });
  });

  test("of such a thread says that it slept only where it did, and nothing else of the program ran", () => {
    const asleep = crowded(meanwhile(10e9, 0.5e9, 9e9), { cpuMs: 10, queuedNs: 1e6 });
    expect(asleep).toMatchObject({ severity: "info", detail: expect.stringContaining("For 9.0 s of") });
    expect(asleep.detail).toContain("these slept, in another call or for a lock");
    const others = crowded(meanwhile(10e9, 0.5e9, 9e9), { cpuMs: 700, queuedNs: 1e6 });
    expect(others).toMatchObject({
      severity: "warning",
      detail: expect.stringContaining("but others of node ran"),
    });
    const neither = crowded(meanwhile(10e9, 4e9, 3e9), { cpuMs: 990, queuedNs: 1e6 });
    expect(neither).toMatchObject({
      severity: "warning",
      detail: expect.stringContaining("neither is half"),
    });
    for (const { title } of [asleep, others, neither]) expect(title).toMatch(/on average$/);
  });

  test("of captures that do not know it, says neither where what ran cannot make up half", () => {
    const finding = crowded({ blockedNs: ns(9e9) }, { cpuMs: 400, queuedNs: 1e6 });
    expect(finding).toMatchObject({ severity: "warning", title: expect.stringMatching(/on average$/) });
    expect(finding.detail).toContain("What node did meanwhile is not");
    expect(finding.detail).not.toContain("slept");
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
