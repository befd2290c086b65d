// An end that is asked and never sends anything: that is said as it is, and no more than is known is made of it.
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { FakeCapture } from "./helpers/fake-capture.js";
import { endTotal, socketProfile } from "./helpers/socket-example.js";

/** A worker that asks an end which answers and one which never does; `serves`: it answers clients of its own. */
function asking(serves: boolean) {
  const capture = new FakeCapture();
  const { process } = capture.process(80, "worker");
  const [silent, quick] = [9302, 9301].map((port) => capture.endpoint({ address: "127.0.0.1", port }));
  const own = capture.endpoint({ role: "accepted", address: "0.0.0.0", port: 80 });
  const profile = socketProfile(capture, {
    endpointTotals: [
      endTotal(process, silent!, 8, [[4e9, 8]], { bytesIn: 0 }),
      endTotal(process, quick!, 900, [[1e6, 100]]),
      ...(serves ? [endTotal(process, own, 900, [[1e6, 100]])] : []),
    ],
  });
  return analyze(profile).filter(({ rule }) => rule === "slow-end");
}

test("where nobody waits for the program that asks, it may be an end that answers nobody: worth knowing only", () => {
  const [finding, ...more] = asking(false);
  expect(more).toEqual([]);
  expect(finding).toMatchObject({ severity: "info", culprit: "127.0.0.1:9302" });
  expect(finding!.title).toMatch(/^127\.0\.0\.1:9302 never answered worker: 8 questions/);
  expect(finding!.detail).toContain("whether worker waits for an answer is not known");
});

test("where somebody does, it hangs", () => {
  expect(asking(true)).toMatchObject([
    { severity: "critical", detail: expect.stringContaining("it hangs, or the way there does") },
  ]);
});
