// Whose time a program's answers take, where the recording does not see it wait: processes of one name, and waits that are hidden.
import { expect, test } from "vitest";
import { programAnswers } from "../../src/analysis/socket-answers.js";
import { endpointSummaries } from "../../src/analysis/socket-summary.js";
import { digest } from "../../src/cli/digest.js";
import { summaryLines } from "../../src/cli/summary.js";
import { FakeCapture, u } from "./helpers/fake-capture.js";
import { endTotal, socketProfile } from "./helpers/socket-example.js";

test("a gateway and the service behind it that has its name are two: what one takes is not what the other waits for", () => {
  const capture = new FakeCapture();
  const [gateway, service] = [80, 81].map((pid) => capture.process(pid, "node").process);
  const back = capture.endpoint({ address: "127.0.0.1", port: 9001 });
  const [front, own] = [80, 9001].map((port) =>
    capture.endpoint({ role: "accepted", address: "127.0.0.1", port }),
  );
  const profile = socketProfile(capture, {
    endpointTotals: [
      endTotal(gateway!, back, 900, [[300e6, 100]]),
      endTotal(gateway!, front!, 900, [[301e6, 100]]),
      endTotal(service!, own!, 900, [[300e6, 100]]),
    ],
  });
  const programs = programAnswers(endpointSummaries(profile));
  expect(
    programs.map(({ comm, upstreamShare, served }) => [comm, upstreamShare?.toFixed(2), served?.turns]),
  ).toEqual([
    ["node", "1.00", 100],
    ["node", undefined, 100],
  ]);
  expect(programs.map(({ processes }) => [...processes])).toEqual([[gateway], [service]]);
});

/** A proxy that is seen to wait for little of its own answers' time, and that computes for so long. */
function proxy(cpuSamples: number) {
  const capture = new FakeCapture();
  const { process, thread } = capture.process(80, "haproxy");
  const back = capture.endpoint({ address: "127.0.0.1", port: 9001 });
  const front = capture.endpoint({ role: "accepted", address: "127.0.0.1", port: 80 });
  capture.cpu(thread, [u("main"), u("work")], { times: cpuSamples });
  return socketProfile(capture, {
    endpointTotals: [
      endTotal(process, back, 900, [[4e6, 100]]),
      endTotal(process, front, 900, [[200e6, 1000]]),
    ],
  });
}
const linesOf = (profile: ReturnType<typeof proxy>) =>
  summaryLines(profile, [], { files: [], childCommand: null, width: 80 }).join("\n");

test("who hardly works cannot have kept its own answers waiting: it waits where that is not seen", () => {
  const idle = proxy(1);
  expect(linesOf(idle)).toMatch(
    /99\.8 % of that it is not seen to wait,\n +but it worked for \d+\.\d ms only: it waits for a\n +disk, a lock, a rate limit, or behind HTTP\/2/,
  );
  expect(digest(idle, 10).sockets!.programs[0]).toMatchObject({ waitsUnseen: true });
});

test("who works all the time takes it itself", () => {
  const busy = proxy(2000);
  expect(linesOf(busy)).toContain("of that is haproxy's own time");
  expect(digest(busy, 10).sockets!.programs[0]).toMatchObject({ waitsUnseen: false });
});
