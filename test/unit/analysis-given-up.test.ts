// Which questions without an answer somebody waited for: by what the program's own answers took.
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { programAnswers } from "../../src/analysis/socket-answers.js";
import { endpointSummaries } from "../../src/analysis/socket-summary.js";
import type { EndpointTotal } from "../../src/capture/binding.js";
import { answerRows } from "../../web/socket-columns.js";
import { FakeCapture } from "./helpers/fake-capture.js";
import { closes, endTotal, type Lengths, socketProfile } from "./helpers/socket-example.js";

interface Proxy {
  readonly answered?: Lengths;
  readonly closed: Lengths;
  /** Its own answers; none: it serves nobody. */
  readonly served?: Lengths;
  /** Clients' questions that were closed without an answer. */
  readonly gone?: Lengths;
}

/** nginx with one end that it asks. */
function proxy({ answered = [], closed, served, gone = [] }: Proxy, over: Partial<EndpointTotal> = {}) {
  const capture = new FakeCapture();
  const { process } = capture.process(80, "nginx");
  const asked = capture.endpoint({ address: "10.0.0.1" });
  const front = capture.endpoint({ role: "accepted", address: "0.0.0.0", port: 80 });
  const endpointTotals = [
    endTotal(process, asked, 900, answered, { bytesIn: 9, ...closes(closed), ...over }),
  ];
  if (served !== undefined) endpointTotals.push(endTotal(process, front, 900, served, closes(gone)));
  return socketProfile(capture, { endpointTotals });
}
const rowOf = (profile: ReturnType<typeof proxy>, role = "remote") =>
  endpointSummaries(profile).find((row) => row.role === role)!;
const findings = (profile: ReturnType<typeof proxy>) =>
  analyze(profile).filter(({ rule }) => rule === "slow-end");

test("questions that nginx gave up after half a second are waits where as many of its own answers took as long", () => {
  const profile = proxy({
    answered: [[400e3, 500]],
    closed: [[500e6, 200]],
    served: [
      [450e3, 500],
      [501e6, 200],
    ],
  });
  expect(rowOf(profile)).toMatchObject({
    ...{ turns: 700, unanswered: 200, unansweredSumNs: 200 * 500e6, turnMaxNs: 500e6, closed: 0 },
    turnSumNs: 500 * 400e3 + 200 * 500e6,
  });
  const programs = programAnswers(endpointSummaries(profile));
  expect(programs[0]!.upstreamLeast).toBeGreaterThan(0.95);
  expect(answerRows(programs)[0]!.who).toBe("10.0.0.1:8080 (200 unanswered)");
  const [finding, ...more] = findings(profile);
  expect(more).toEqual([]);
  expect(finding).toMatchObject({
    severity: "critical",
    culprit: "10.0.0.1:8080",
    title:
      "10.0.0.1:8080 left 200 of 700 questions of nginx without an answer: 500.0 ms each until they were given up, the others after 400.0 us",
  });
});

test("what is sent last on connections that idle until they are closed wants no answer: nobody waited as long", () => {
  const profile = proxy({ answered: [[400e3, 500]], closed: [[60e9, 200]], served: [[450e3, 500]] });
  expect(rowOf(profile)).toMatchObject({ turns: 500, unanswered: 0, closed: 200, closedMaxNs: 60e9 });
  expect(findings(profile).map(({ severity }) => severity)).toEqual(["info"]);
});

test("a program that serves nobody is not known to have waited", () => {
  const profile = proxy({ answered: [[400e3, 500]], closed: [[300e6, 200]] });
  expect(rowOf(profile)).toMatchObject({ turns: 500, unanswered: 0, closed: 200 });
  expect(findings(profile)).toEqual([]);
});

test("own answers that waited for late answers have waited for nothing else", () => {
  const profile = proxy({ answered: [[500e6, 200]], closed: [[500e6, 200]], served: [[501e6, 230]] });
  expect(rowOf(profile)).toMatchObject({ turns: 230, unanswered: 30, closed: 170 });
});

test("one own answer may have waited for several, one after the other", () => {
  const profile = proxy({ closed: [[100e6, 60]], served: [[440e6, 20]] });
  expect(rowOf(profile)).toMatchObject({ turns: 60, unanswered: 60, closed: 0 });
});

test("clients that went away waited, too: their questions count as far as something was asked for them", () => {
  const profile = proxy({ closed: [[400e6, 40]], served: [[450e3, 500]], gone: [[401e6, 50]] });
  expect(rowOf(profile)).toMatchObject({ turns: 40, unanswered: 40, closed: 0 });
  expect(rowOf(profile, "accepted")).toMatchObject({ turns: 540, unanswered: 40, closed: 10 });
  // a tunnel looks the same
  const [finding] = findings(profile);
  expect(finding).toMatchObject({ severity: "warning", culprit: "10.0.0.1:8080" });
  expect(finding!.detail).toContain("40 questions of clients of nginx were closed without an answer, too, 4");
});

test("of questions that were closed and nobody is known to have waited for it is told that much", () => {
  // behind HTTP/2 its own answers look short
  const [finding, ...more] = findings(proxy({ closed: [[400e6, 40]], served: [[450e3, 500]] }));
  expect(more).toEqual([]);
  expect(finding).toMatchObject({ rule: "slow-end", severity: "info", culprit: "10.0.0.1:8080" });
  expect(finding!.title).toMatch(
    /^nginx closed 40 connections to 10\.0\.0\.1:8080 without an answer, 400(\.0)? ms after it had asked;/,
  );
});

test("a few that clients left behind, no older than an answer usually is, are no finding", () => {
  const profile = proxy({
    answered: [[60e6, 500]],
    closed: [[70e6, 100]],
    served: [[61e6, 500]],
    gone: [[71e6, 100]],
  });
  expect(rowOf(profile)).toMatchObject({ unanswered: 100 });
  expect(findings(profile)).toEqual([]);
});
