// Socket calls that have not returned: which are stuck, and which may be how a thread idles.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { EndpointRole, FinalFacts } from "../../src/capture/binding.js";
import { SampleFlag } from "../../src/capture/binding.js";
import { ns } from "../../src/model/units.js";
import { FakeCapture } from "./helpers/fake-capture.js";
import { endTotal, SYS, socketProfile } from "./helpers/socket-example.js";

const found = (rule: string, capture: FakeCapture, final: Partial<FinalFacts> = {}) =>
  analyze(socketProfile(capture, final)).filter((finding) => finding.rule === rule);

describe("unfinished-call", () => {
  function unfinished(
    syscall: number,
    role: EndpointRole | null,
    ageNs: number,
    busyNs = 0,
    fd = 7,
    flags = 0,
  ) {
    const capture = new FakeCapture();
    const { thread } = capture.process(80, "client");
    const endpoint = role === null ? -1 : capture.endpoint({ role });
    capture.slowCall(thread, [], {
      ...{ syscall, endpoint, durationNs: ns(ageNs), blockedNs: ns(ageNs - busyNs), busyNs: ns(busyNs) },
      ...{ timeNs: 10e9, flags: SampleFlag.inProgress | flags, fd },
    });
    return found("unfinished-call", capture);
  }

  test.each([
    ["a connection that nobody answers", SYS.connect, "remote", /does not answer to the connection request/],
    ["an answer that does not come", SYS.recvfrom, "remote", /waited for the other side/],
    ["a peer that does not read", SYS.sendto, "accepted", /no room to send/],
    ["an end that is not known", SYS.read, null, /waited for the other side/],
  ] as const)("finds %s", (_, syscall, role, words) => {
    const [finding] = unfinished(syscall, role, 8e9);
    expect(finding).toMatchObject({ severity: "warning", tab: "sockets" });
    expect(finding!.title).toContain("for 8.0 s, and it has not returned");
    expect(finding!.detail).toMatch(words);
  });

  test.each([
    [SYS.read, null, "client (pid 80) has been in read for 8.0 s,"],
    [SYS.connect, "remote", "client (pid 80) has been in connect on 10.0.0.1:8080 for 8.0 s,"],
  ] as const)("names no descriptor where the call has none", (syscall, role, title) => {
    expect(unfinished(syscall, role, 8e9, 0, 2 ** 32 - 1)).toEqual(unfinished(syscall, role, 8e9, 0, -1));
    const [finding] = unfinished(syscall, role, 8e9, 0, -1);
    expect(finding!.title).toContain(title);
    expect(finding!.next.some((line) => line.startsWith("cat /proc/80/task/80/stack"))).toBe(true);
    expect(JSON.stringify(finding)).not.toMatch(/descriptor|fd\/|-1/);
  });

  test("is told by its least age, where it was under way before the recording", () => {
    const [finding] = unfinished(SYS.read, null, 10e9);
    expect(finding!.title).toContain("has been in read on descriptor 7 for at least 10.0 s,");
    expect(finding!.detail).toContain("this call had not returned for at least 10.0 s.");
  });

  test("of a thread that may well be idle is only worth knowing", () => {
    for (const [syscall, role] of [
      [SYS.accept, "listening"],
      [SYS.read, "accepted"],
    ] as const)
      expect(unfinished(syscall, role, 8e9)).toMatchObject([{ severity: "info" }]);
  });

  test("of a thread that was answered and waits for more is only worth knowing", () => {
    const waits = (syscall: number) => unfinished(syscall, "remote", 8e9, 0, 7, SampleFlag.nothingAsked);
    expect(waits(SYS.recvfrom)).toMatchObject([
      { severity: "info", detail: expect.stringContaining("spoke last") },
    ]);
    expect(waits(SYS.sendto)).toMatchObject([{ severity: "warning" }]);
  });

  test("is only worth knowing at a unix or datagram end of which no open question is known", () => {
    for (const end of [
      { role: "path", family: 1, protocol: 0, address: "/run/redis.sock", port: 0 },
      { role: "remote", protocol: 17 },
    ] as const) {
      const waits = (flags: number) => {
        const capture = new FakeCapture();
        const { thread } = capture.process(80, "client");
        capture.slowCall(thread, [], {
          ...{ syscall: SYS.recvfrom, endpoint: capture.endpoint(end), durationNs: ns(8e9), timeNs: 10e9 },
          ...{ flags: SampleFlag.inProgress | flags, fd: 7 },
        });
        return found("unfinished-call", capture);
      };
      expect(waits(SampleFlag.nothingAsked)).toMatchObject([
        { severity: "info", detail: expect.stringContaining("saw nothing sent there that is not answered") },
      ]);
      expect(waits(0)).toMatchObject([{ severity: "warning" }]);
    }
  });

  test.each([
    [
      "of a question from before the recording, at an end that answers others, only worth knowing",
      "info",
      10e9,
      81,
    ],
    ["a warning where the end answers this process", "warning", 10e9, 80],
    ["a warning where the question is of the recording", "warning", 8e9, 81],
    ["a warning where the end answers nobody", "warning", 10e9, null],
  ] as const)("is %s", (_, severity, ageNs, to) => {
    const capture = new FakeCapture();
    const [own, other] = [80, 81].map((pid) => capture.process(pid, `client-${pid}`));
    const endpoint = capture.endpoint();
    const call = {
      syscall: SYS.recvfrom,
      endpoint,
      durationNs: ns(ageNs),
      blockedNs: ns(ageNs),
      timeNs: 10e9,
    };
    capture.slowCall(own!.thread, [], { ...call, flags: SampleFlag.inProgress });
    const { process } = to === 80 ? own! : other!;
    const endpointTotals = to === null ? [] : [endTotal(process, endpoint, 5, [], { bytesIn: 10 })];
    expect(found("unfinished-call", capture, { endpointTotals })).toMatchObject([{ severity }]);
  });

  test("is none for a young call, and none for a call that waits for events", () => {
    expect(unfinished(SYS.recvfrom, "remote", 4.9e9)).toEqual([]);
    expect(unfinished(SYS.epoll, null, 9e9)).toEqual([]);
  });

  test("says so where the call does not sleep but works", () => {
    expect(unfinished(SYS.sendto, "remote", 8e9, 7e9)[0]!.detail).toContain("busy in the kernel");
  });
});
