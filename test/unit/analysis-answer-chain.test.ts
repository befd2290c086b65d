// Who is slow behind who is slow: programs of one machine that wait for one another, and one that reads its questions late.
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { FakeCapture, u } from "./helpers/fake-capture.js";
import { endTotal, socketProfile } from "./helpers/socket-example.js";

const N = 100;
const END = { address: "127.0.0.1" };

/**
 * nginx asks a quick end and haproxy, which asks a third program. What each takes, ns: `haproxy` of its own answers, `third` of
 * haproxy's; `nginx` sees haproxy's answers after 41 ms.
 */
function chain({ haproxyNs = 40.5e6, thirdNs = 40e6, ring = false }) {
  const capture = new FakeCapture();
  const [nginx, haproxy] = [
    [80, "nginx"],
    [90, "haproxy"],
  ].map(([pid, comm]) => capture.process(pid as number, comm as string));
  const [quick, proxy, third] = [8001, 8002, 8003].map((port) => capture.endpoint({ ...END, port }));
  const front = capture.endpoint({ role: "accepted", address: "0.0.0.0", port: 80 });
  const there = capture.endpoint({ role: "accepted", ...END, port: 8002 });
  const back = capture.endpoint({ role: "accepted", ...END, port: 8003 });
  capture.cpu(haproxy!.thread, [u("serve")], { weightNs: 5e6 });
  return analyze(
    socketProfile(capture, {
      endpointTotals: [
        endTotal(nginx!.process, front, 9 * N, [[41e6, N]]),
        endTotal(nginx!.process, quick!, 9 * N, [[1e6, N]]),
        endTotal(nginx!.process, proxy!, 9 * N, [[41e6, N]]),
        endTotal(haproxy!.process, there, 9 * N, [[haproxyNs, N]]),
        endTotal(haproxy!.process, third!, 9 * N, [[thirdNs, N]]),
        ...(ring ? [endTotal(nginx!.process, back, 9 * N, [[40e6, N]])] : []),
      ],
    }),
  ).filter(({ rule, detail }) => rule === "slow-end" && detail.includes("nginx"))[0]!;
}

test("names the end that a proxy of this machine waits for, not the proxy", () => {
  const finding = chain({});
  expect(finding.culprit).toBe("127.0.0.1:8003");
  expect(finding.title).toMatch(
    /^127\.0\.0\.1:8002 answers nginx after 4\d\.\d ms .*; haproxy there waits itself, for 127\.0\.0\.1:8003, which answers it after 4\d\.\d ms$/,
  );
  expect(finding.detail).toContain("haproxy there is on this machine and not slow itself");
  expect(finding.detail).not.toContain("did not compute");
});

test("stays with the proxy where that takes the time itself", () => {
  const finding = chain({ thirdNs: 1e6 });
  expect(finding.culprit).toBe("127.0.0.1:8002");
  expect(finding.title).not.toContain("waits itself");
});

test("ends where a program would wait for one that waits for it", () => {
  expect(chain({ ring: true }).culprit).toBe("127.0.0.1:8003");
});

test("says of a program that answers soon after it has read a question that it reads late", () => {
  const finding = chain({ haproxyNs: 3e6, thirdNs: 1e6 });
  expect(finding.culprit).toBe("127.0.0.1:8002");
  expect(finding.title).toMatch(
    /; the program there reads questions late, and answers \d\.\d ms after that$/,
  );
  expect(finding.detail).toContain("takes connections late");
  expect(finding.detail).not.toContain("did not compute");
});
