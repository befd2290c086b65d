// An end that is asked and never sends anything: that is said as it is, and no more than is known is made of it.
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { programAnswers } from "../../src/analysis/socket-answers.js";
import { endpointSummaries } from "../../src/analysis/socket-summary.js";
import { summaryLines } from "../../src/cli/summary.js";
import { answerRows } from "../../web/socket-columns.js";
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

/** A worker that asks one end three times, waiting 5 s each time for nothing. */
const alone = (...given: Parameters<typeof asksOne>) =>
  analyze(asksOne(...given)).filter(({ rule }) => rule === "slow-end");
function asksOne(port: number, questions = 3, seconds = 5) {
  const capture = new FakeCapture();
  const { process } = capture.process(80, "worker");
  const end = capture.endpoint({ address: "192.0.2.1", port });
  return socketProfile(capture, {
    endpointTotals: [endTotal(process, end, questions, [[seconds * 1e9, questions]], { bytesIn: 0 })],
  });
}

test("a name server that never answers is told without another to compare it with: whoever asks it waits", () => {
  const [finding, ...more] = alone(53);
  expect(more).toEqual([]);
  expect(finding).toMatchObject({ severity: "warning", culprit: "192.0.2.1:53" });
  expect(finding!.title).toBe(
    "192.0.2.1:53 never answered worker: 3 questions, half of them left for 5.0 s or longer",
  );
  expect(finding!.detail).toContain("packets to it are dropped on the way");
});

test("one question is enough where it was left for as long as nobody waits for a name", () => {
  expect(alone(53, 1)[0]!.title).toBe(
    "192.0.2.1:53 never answered worker: a question left for 5.0 s or longer",
  );
});

test("any other single end is worth knowing only, and one question or a short wait is not", () => {
  expect(alone(9302)).toMatchObject([{ severity: "info" }]);
  expect(alone(9302, 1)).toEqual([]);
  expect(alone(53, 1, 2)).toEqual([]);
  expect(alone(53, 3, 0.5)).toEqual([]);
});

test("the summary and the table do not say that it answers", () => {
  const profile = asksOne(53);
  const text = summaryLines(profile, [], { files: [], childCommand: null, width: 120 }).join("\n");
  expect(text).toContain("192.0.2.1:53 never answered worker, 3 questions");
  const [row] = answerRows(programAnswers(endpointSummaries(profile, () => true)));
  expect(row!.who).toBe("192.0.2.1:53 (never answered)");
});
