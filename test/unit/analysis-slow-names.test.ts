// Name servers that answer late, or lose questions: no other end is needed to compare them with.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { FakeCapture } from "./helpers/fake-capture.js";
import { endTotal, type Lengths, socketProfile } from "./helpers/socket-example.js";

const UDP = 17;
const NAME = "10.0.0.2:53";

/** A service that looks up names with answers of these lengths, beside a quick upstream. */
function found(lengths: Lengths, { port = 53, serves = true } = {}) {
  const capture = new FakeCapture();
  const { process } = capture.process(80, "service");
  const names = capture.endpoint({ address: "10.0.0.2", port, protocol: UDP });
  const upstream = capture.endpoint({ address: "10.0.0.3", port: 9001 });
  const front = capture.endpoint({ role: "accepted", port: 80 });
  const endpointTotals = [
    endTotal(process, names, 400, lengths, { bytesIn: 4e4 }),
    endTotal(process, upstream, 400, [[1e6, 200]], { bytesIn: 4e4 }),
    ...(serves ? [endTotal(process, front, 400, [[2e9, 200]])] : []),
  ];
  return analyze(socketProfile(capture, { endpointTotals })).filter(({ rule }) => rule === "slow-end");
}

describe("a name server", () => {
  test("that takes its time is found by its median", () => {
    const [finding, ...more] = found([[152e6, 40]]);
    expect(more).toEqual([]);
    expect(finding).toMatchObject({ severity: "warning", culprit: NAME, tab: "sockets" });
    expect(finding!.title).toMatch(/^The name server 10\.0\.0\.2:53 answers service after 15\d/);
    expect(finding!.next.join("\n")).toContain("ss -unpi dst '10.0.0.2:53'");
  });

  test("that loses questions is found by those that were left for a time limit", () => {
    const [finding, ...more] = found([
      [100e3, 390],
      [1.002e9, 4],
      [5.01e9, 6],
    ]);
    expect(more).toEqual([]);
    expect(finding).toMatchObject({ severity: "warning", culprit: NAME });
    expect(finding!.title).toMatch(/^10 of service's 400 questions for names to 10\.0\.0\.2:53 were left/);
    expect(finding!.detail).toContain("The longest went for 5.0");
  });

  test.each<[string, Lengths, string]>([
    ["half a second", [[600e6, 40]], "critical"],
    [
      "one in ten lost",
      [
        [100e3, 90],
        [5e9, 10],
      ],
      "critical",
    ],
    ["few answers, of seconds", [[2e9, 6]], "critical"],
  ])("is as bad as it is: %s", (_, lengths, severity) => {
    expect(found(lengths).map((f) => f.severity)).toEqual([severity]);
    // nobody is known to wait for it
    expect(found(lengths, { serves: false }).map((f) => f.severity)).toEqual(["warning"]);
  });

  test.each<[string, Lengths]>([
    ["a way of some length", [[40e6, 200]]],
    [
      "two lost",
      [
        [100e3, 90],
        [5e9, 2],
      ],
    ],
    [
      "three lost of many",
      [
        [100e3, 900],
        [5e9, 3],
      ],
    ],
    ["few answers", [[152e6, 12]]],
  ])("is none: %s", (_, lengths) => expect(found(lengths)).toEqual([]));

  test("is known by its port: of other datagrams it is not known who waits", () =>
    expect(found([[152e6, 40]], { port: 8125 })).toEqual([]));
});
