// Ends that do not answer connection requests: found, told, and not acquitted by the answers of the others.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { programAnswers } from "../../src/analysis/socket-answers.js";
import { endpointSummaries } from "../../src/analysis/socket-summary.js";
import { connectingRows, tcpSummaries } from "../../src/analysis/tcp-summary.js";
import type { ConnectingRow, FinalFacts, TcpTotal } from "../../src/capture/binding.js";
import { digest } from "../../src/cli/digest.js";
import { summaryLines } from "../../src/cli/summary.js";
import { writeCsv } from "../../src/export/csv.js";
import { ns } from "../../src/model/units.js";
import { answerRows } from "../../web/socket-columns.js";
import { FakeCapture } from "./helpers/fake-capture.js";
import { endTotal, socketProfile, tcpTotal } from "./helpers/socket-example.js";

/** nginx with a quick upstream and one of which nothing comes. */
function recorded(connecting: Partial<ConnectingRow>, total: Partial<TcpTotal> = {}) {
  const capture = new FakeCapture();
  const nginx = capture.process(80, "nginx").process;
  const [good, bad] = [9001, 9002].map((port) => capture.endpoint({ address: "127.0.0.1", port }));
  const front = capture.endpoint({ role: "accepted", port: 80 });
  const row = { process: nginx, endpoint: bad!, count: 40, unanswered: 40, sentAgain: 240, maxNs: ns(9e9) };
  const final: Partial<FinalFacts> = {
    endpointTotals: [
      endTotal(nginx, good!, 900, [[30e6, 900]], { bytesIn: 9e5 }),
      endTotal(nginx, front, 1800, [[35e6, 900]]),
    ],
    tcpTotals: [tcpTotal(good!, [[50e3, 4]]), tcpTotal(bad!, [], { retransmits: 240, ...total })],
    connecting: [{ ...row, ...connecting }],
  };
  return socketProfile(capture, final);
}

describe("connects without an answer", () => {
  const silent = (...given: Parameters<typeof recorded>) =>
    analyze(recorded(...given)).filter(({ rule }) => /^connect-/.test(rule));

  test("are a finding about the end, with how long they have waited and what to do", () => {
    const [finding, ...more] = silent({});
    expect(more).toEqual([]);
    expect(finding).toMatchObject({
      rule: "connect-unanswered",
      severity: "critical",
      culprit: "127.0.0.1:9002",
    });
    expect(finding!.title).toBe(
      "127.0.0.1:9002 does not answer connection requests of nginx (pid 80): 40 connects have been waiting for up to 9.0 s",
    );
    expect(finding!.detail).toContain("sent again 240 times");
    expect(finding!.next[0]).toContain("ss -tnpi -o state syn-sent dst '127.0.0.1:9002'");
  });

  test("count with those that were given up, which are then no finding of their own", () => {
    const of = (...given: Parameters<typeof recorded>) =>
      silent(...given).map(({ rule, severity }) => [rule, severity]);
    expect(of({ count: 1, unanswered: 1 }, { connectsFailed: 2, connectsUnanswered: 2 })).toEqual([
      ["connect-unanswered", "warning"],
    ]);
    // refused ones are another matter
    expect(of({ count: 0 }, { connectsFailed: 12 })).toEqual([["connect-failing", "critical"]]);
    // a few of a busy end are what any way loses
    expect(of({ count: 3, unanswered: 3 }, tcpTotal(1, [[1e6, 500]]))).toEqual([]);
  });

  test("alarm nobody while they are on their way; the only one there is, and old, is worth knowing", () => {
    expect(silent({ count: 500, unanswered: 0, sentAgain: 0, maxNs: ns(300e6) })).toEqual([]);
    expect(silent({ count: 1, unanswered: 1, maxNs: ns(3e9) })).toEqual([]);
    expect(silent({ count: 1, unanswered: 1, maxNs: ns(6e9) })).toMatchObject([{ severity: "info" }]);
  });
});

describe("the summary, the tables and the figures", () => {
  const profile = recorded({});

  test("name the silent end among those that keep a program waiting, and do not acquit it", () => {
    const lines = summaryLines(profile, [], { files: [], childCommand: null, width: 120 });
    const text = lines.join("\n");
    expect(text).toMatch(/– +– +9\.00 s {2}127\.0\.0\.1:9002 does not answer nginx: 40 connects still wait/);
    expect(text).toMatch(
      /% of that it waits for the above\n +Not in it: what waits for 127\.0\.0\.1:9002 \(40 connects\)/,
    );
    expect(text).toContain(
      "  127.0.0.1:9002, nginx: 40 connects have been waiting for up to 9.00 s, 240 segments sent again",
    );
  });

  test("hold it where the program asked nobody else, and made no call on it in the recording", () => {
    const alone = socketProfile(...aloneAt());
    const [program] = digest(alone, 20).sockets!.programs;
    expect(program).toMatchObject({ process: "curl", asked: [], served: null, upstreamShare: null });
    expect(program!.silent).toEqual([{ name: "10.0.0.9:443", connections: 2, maxNs: 8e9, sentAgain: 6 }]);
    expect(digest(alone, 20).sockets!.tcp).toMatchObject([
      { name: "10.0.0.9:443", usedBy: [{ process: "curl", pid: 7 }], connects: 0, connecting: 2 },
    ]);
  });

  test("are rows of the page and of CSV", () => {
    const tcp = tcpSummaries(profile);
    const rows = answerRows(programAnswers(endpointSummaries(profile), tcp, connectingRows(profile)));
    expect(rows.map(({ who, own }) => [who, own])).toEqual([
      ["127.0.0.1:9001", false],
      ["127.0.0.1:9002 (silent: 40 still connecting)", false],
      ["nginx", true],
    ]);
    expect(rows[1]!.turns).toMatchObject({ turns: 0, turnP50Ns: -1, turnMaxNs: 9e9 });
    const [head, first] = new TextDecoder().decode(writeCsv(profile, "tcp")).split("\r\n");
    const cells = Object.fromEntries(head!.split(",").map((title, i) => [title, first!.split(",")[i]]));
    expect(cells).toMatchObject({
      ...{ endpoint: "127.0.0.1:9002", connecting: "40", connecting_unanswered: "40" },
      ...{ connecting_sent_again: "240", connecting_max_ns: "9000000000", connects_unanswered: "0" },
    });
  });
});

function aloneAt(): [FakeCapture, Partial<FinalFacts>] {
  const capture = new FakeCapture();
  const { process } = capture.process(7, "curl");
  const endpoint = capture.endpoint({ address: "10.0.0.9", port: 443 });
  const row = { process, endpoint, count: 2, unanswered: 2, sentAgain: 6, maxNs: ns(8e9) };
  return [capture, { connecting: [row] }];
}
