// Whose time short answers are, of which the kernel's ticks do not tell whether they lay unread: told as what is certain, and no more.
import { describe, expect, test } from "vitest";
import { programAnswers } from "../../src/analysis/socket-answers.js";
import { endpointSummaries } from "../../src/analysis/socket-summary.js";
import { digest } from "../../src/cli/digest.js";
import { summaryLines } from "../../src/cli/summary.js";
import { ns } from "../../src/model/units.js";
import { answerRows, waitsText } from "../../web/socket-columns.js";
import { FakeCapture } from "./helpers/fake-capture.js";
import { endTotal, socketProfile } from "./helpers/socket-example.js";

/** A proxy that is asked for 1.7 ms and asks an end for `askedNs`, where a server takes `itselfNs`; undefined: somewhere else. */
function proxy(askedNs: number, itselfNs?: number, servedNs = 1.7e6) {
  const capture = new FakeCapture();
  const node = capture.process(90, "nodeprox").process;
  const end = { address: "127.0.0.1", port: 9602 };
  const front = capture.endpoint({ role: "accepted", address: "127.0.0.1", port: 9610 });
  const endpointTotals = [
    endTotal(node, capture.endpoint(end), 3_000, [[askedNs, 1_000]]),
    endTotal(node, front, 3_000, [[servedNs, 1_000]]),
  ];
  if (itselfNs !== undefined) {
    const nginx = capture.process(80, "nginx").process;
    const there = capture.endpoint({ ...end, role: "accepted" });
    // others ask it as well
    endpointTotals.push(endTotal(nginx, there, 9_000, [[itselfNs, 4_000]]));
  }
  const tcpCounters = { listenOverflows: 0, listenDrops: 0, closeWaitAtEnd: 0, tickNs: ns(4e6) };
  return socketProfile(capture, { endpointTotals, tcpCounters });
}
const nodeprox = (...given: Parameters<typeof proxy>) => {
  const profile = proxy(...given);
  return programAnswers(endpointSummaries(profile), [], [], 4e6).find(({ comm }) => comm === "nodeprox")!;
};
const told = (profile: ReturnType<typeof proxy>, width = 160) =>
  summaryLines(profile, [], { files: [], childCommand: null, width }).join("\n");

describe("answers shorter than two ticks", () => {
  test("are not the end's beyond what it takes itself, where that is known", () => {
    const { upstreamShare, upstreamLeast } = nodeprox(1.35e6, 7_000);
    expect(upstreamShare).toBeCloseTo(0.79, 1);
    expect(upstreamLeast).toBeCloseTo(0.0041, 3);
    const text = told(proxy(1.35e6, 7_000));
    expect(text).toMatch(/127\.0\.0\.1:9602 answers nodeprox, 1,000 answers, itself after [67]\.\d\d us/);
    expect(text).toMatch(
      /0\.4 % of that the above take themselves, 79\.0 % passes between: one reads the other late, nodeprox or they/,
    );
    expect(text).not.toContain("of that it waits for the above");
  });

  test("may be anybody's where it is not known", () => {
    expect(nodeprox(1.35e6).upstreamLeast).toBeLessThan(0.01);
    expect(told(proxy(1.35e6))).toMatch(
      /0\.0 % to 79\.4 % of that it waits for the above: below 8\.00 ms not told apart from reading late/,
    );
  });

  test("are the end's where it takes that long itself", () => {
    const text = told(proxy(1.35e6, 1.3e6));
    expect(text).toMatch(/79\.4 % of that it waits for the above/);
    expect(text).not.toContain("itself after");
  });
});

test("longer answers are told apart by the ticks: the end's, whoever serves there", () => {
  const { upstreamShare, upstreamLeast } = nodeprox(40e6, 7_000, 42e6);
  expect(upstreamLeast).toBe(upstreamShare);
  expect(told(proxy(40e6, undefined, 42e6))).toMatch(/9\d\.\d % of that it waits for the above/);
});

test("the column and the figures say the same", () => {
  const profile = proxy(1.35e6, 7_000);
  const own = answerRows([nodeprox(1.35e6, 7_000)]).find((row) => row.own)!;
  expect(waitsText(own)).toBe("0.41 % to 79.4 %");
  const [program] = digest(profile, 20).sockets!.programs.filter(({ process }) => process === "nodeprox");
  expect(program).toMatchObject({ unseenBelowNs: 8e6, asked: [{ itself: { answers: 4_000 } }] });
  expect(program!.upstreamLeast).toBeCloseTo(0.0041, 3);
  // captures that do not know the tick: the longest there is
  expect(programAnswers(endpointSummaries(profile))[0]!.unseenBelowNs).toBe(20e6);
});
