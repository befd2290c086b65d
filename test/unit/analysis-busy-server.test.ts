// A program whose threads have no time left for its clients, beside programs that are as busy or as slow and are none.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { ns } from "../../src/model/units.js";
import { FakeCapture, k, u } from "./helpers/fake-capture.js";
import { bucketsOf, endTotal, socketProfile } from "./helpers/socket-example.js";

/** Ten seconds of a program with four threads, of which `busy` compute and the others hardly; its answers take `eachNs`. */
function server(options: {
  answers: number;
  eachNs: number;
  busy?: number;
  cpuMs?: number;
  queuedNs?: number;
  copies?: boolean;
}) {
  const { answers, eachNs, busy = 2, cpuMs = 9_500, queuedNs = 0, copies = false } = options;
  const work = copies
    ? [u("main"), u("send"), k("do_syscall_64"), k("rep_movs_alternative")]
    : [u("main"), u("deflate_slow")];
  const capture = new FakeCapture();
  const { process, thread } = capture.process(80, "nginx");
  const threads = [thread, ...[81, 82, 83].map((tid) => capture.thread(process, tid, "worker"))];
  threads.forEach((each, n) => {
    const times = n < busy ? cpuMs / 10 : 1;
    capture.cpu(each, work, { times, weightNs: 1e7 });
  });
  const front = capture.endpoint({ role: "accepted", address: "0.0.0.0", port: 80 });
  const queue = {
    process,
    count: 100,
    sumNs: ns(queuedNs),
    maxNs: ns(1e6),
    buckets: bucketsOf([[1e6, 100]]),
  };
  const profile = socketProfile(capture, {
    endpointTotals: [endTotal(process, front, answers, [[eachNs, answers]])],
    ...(queuedNs > 0 ? { runQueue: [queue] } : {}),
  });
  return analyze(profile).filter(({ rule }) => rule === "busy-server");
}

describe("busy-server", () => {
  test("names the program, what it computes for an answer, and where", () => {
    const [finding, ...more] = server({ answers: 4_000, eachNs: 8e6 });
    expect(more).toEqual([]);
    expect(finding).toMatchObject({
      severity: "warning",
      culprit: "nginx",
      tab: "cpu",
      search: "=deflate_slow",
    });
    expect(finding!.title).toBe(
      "nginx has no time left for its clients: it computes 4.8 ms for each answer, and 2 threads of it do so, or wait for a CPU, nearly all the time",
    );
    expect(finding!.detail).toContain("4,000 answers and used 19.0 s of CPU time");
    expect(finding!.detail).toContain("Its CPU time goes into deflate_slow 100.0 %");
    expect(finding!.next.join()).toContain("More workers");
  });

  test("one busy thread of several is enough: clients of that one wait", () => {
    expect(server({ answers: 2_000, eachNs: 8e6, busy: 1 })[0]!.title).toContain(
      "and a thread of it does so",
    );
  });

  test("is also one that waits for a CPU most of the time", () => {
    const [finding] = server({ answers: 2_000, eachNs: 8e6, cpuMs: 3_000, queuedNs: 12e9 });
    expect(finding!.detail).toContain("It waits for a CPU longer than it has one");
    expect(finding!.next.join()).toContain("/proc/pressure/cpu");
  });

  test.each([
    ["has time left", { answers: 4_000, eachNs: 8e6, cpuMs: 7_000 }],
    ["is at full load with quick answers", { answers: 400_000, eachNs: 60e3 }],
    ["computes a little for many answers that wait for others", { answers: 200_000, eachNs: 8e6 }],
    ["computes something else, and answers now and then", { answers: 100, eachNs: 2e6 }],
    [
      "has large answers copied by the kernel, and computes nothing",
      { answers: 4_000, eachNs: 8e6, copies: true },
    ],
    ["gave few answers", { answers: 10, eachNs: 1.9e9 }],
  ])("is none that %s", (_, options) => {
    expect(server(options)).toEqual([]);
  });
});
