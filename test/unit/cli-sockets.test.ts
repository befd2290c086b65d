// Sockets on the command line: what the summary says, what --json holds, which files CSV and stacks become.
import { describe, expect, it } from "vitest";
import { SampleFlag, type SourceName } from "../../src/capture/binding.js";
import { digest } from "../../src/cli/digest.js";
import { planOutputs } from "../../src/cli/outputs.js";
import { summaryLines } from "../../src/cli/summary.js";
import { ns } from "../../src/model/units.js";
import { buildProfile } from "./helpers/build-profile.js";
import { FakeCapture } from "./helpers/fake-capture.js";
import { addSockets, callTotal, endTotal, SYS, socketProfile, tcpTotal } from "./helpers/socket-example.js";
import { HOSTILE } from "./html-example.js";

function recorded(hostile = false) {
  const capture = new FakeCapture();
  const own = capture.process(99, "lowflame", { self: true });
  capture.slowCall(own.thread, [], {});
  return socketProfile(capture, addSockets(capture, hostile ? HOSTILE : undefined));
}

const lines = (profile = recorded(), width = 120) =>
  summaryLines(profile, [], { files: [], childCommand: null, width });

describe("the digest of sockets", () => {
  it("keeps waiting calls apart from all sums, and leaves lowflame's own calls out", () => {
    const sockets = digest(recorded(), 20).sockets!;
    expect(sockets).toMatchObject({ complete: true, calls: 200_030, idleCount: 1, slowCount: 10 });
    expect(sockets.byCall.map(({ call }) => call)).not.toContain("epoll_wait");
    expect(sockets.waitingCalls.map(({ call }) => call)).toEqual(["epoll_wait", "epoll_wait"]);
    expect(sockets.totalNs).toBe(sockets.busyNs + sockets.blockedNs + sockets.waitingNs);
    expect(sockets.slow.map(({ process }) => process)).not.toContain("lowflame");
    expect(sockets.byError).toEqual([
      { name: "EAGAIN", count: 40_000 },
      { name: "ECONNRESET", count: 24 },
    ]);
  });

  it("has answers by program, and ends with their own", () => {
    const sockets = digest(recorded(), 20).sockets!;
    const nginx = sockets.programs.find(({ process }) => process === "nginx")!;
    expect(nginx.asked.map(({ name, answers }) => [name, answers])).toEqual([
      ["10.0.0.2:8080", 800],
      ["10.0.0.1:8080", 40_000],
    ]);
    expect(nginx.served!.answers).toBe(40_800);
    const listening = sockets.ends.find(({ role }) => role === "listening")!;
    expect(listening).toMatchObject({
      name: "listening on :80",
      protocol: "tcp",
      again: 300,
      answered: null,
    });
  });

  it("has unfinished calls with their age and stack", () => {
    const [call] = digest(recorded(), 20).sockets!.unfinished;
    expect(call).toMatchObject({ call: "connect", end: "10.9.9.9:443", totalNs: 8e9, result: null });
    expect(call!.stack.at(-1)).toBe("inet_stream_connect");
  });

  it("has null and no words for the descriptor of a call without one", () => {
    const capture = new FakeCapture();
    const { thread } = capture.process(80, "nginx");
    capture.slowCall(thread, [], { fd: -1, flags: SampleFlag.inProgress, durationNs: ns(8e9), timeNs: 9e9 });
    capture.slowCall(thread, [], { fd: -1 });
    const profile = socketProfile(capture);
    const { slow, unfinished } = digest(profile, 20).sockets!;
    expect([...slow, ...unfinished].map(({ descriptor }) => descriptor)).toEqual([null, null]);
    const text = lines(profile).join("\n");
    expect(text).toContain("recvfrom of nginx[80], blocked");
    expect(text).not.toMatch(/descriptor|null/);
  });

  it("has TCP connections by end with who uses it, and how fast the way to each end is that is asked", () => {
    const sockets = digest(recorded(), 20).sockets!;
    expect(sockets.tcpCount).toBe(5);
    expect(sockets.tcp[0]).toMatchObject({
      ...{ name: "10.9.9.9:443", role: "remote", connects: 0, connectsFailed: 12, retransmits: 60 },
      usedBy: [{ process: "worker", pid: 5100, processes: 1 }],
    });
    const front = sockets.tcp.find(({ role }) => role === "accepted")!;
    expect(front).toMatchObject({ accepted: 1_800, queueMax: 12, queueLimit: 511 });
    expect(front.usedBy).toEqual([{ process: "nginx", pid: null, processes: 2 }]);
    const nginx = sockets.programs.find(({ process }) => process === "nginx")!;
    expect(nginx.asked[0]!.connect).toMatchObject({ connects: 310, connectsFailed: 0, timed: 310 });
    expect(nginx.asked[0]!.connect!.p50Ns).toBeLessThan(250e3);
    expect(sockets.closeWaits).toEqual([
      { pid: 5100, process: "worker", end: "10.0.0.7:5432", connections: 4, descriptor: 19 },
    ]);
    expect(sockets.listenQueues).toEqual([
      { pid: 5100, process: "worker", end: "listening on :80", connections: 2 },
    ]);
    expect(sockets.tcpCounters).toEqual({ listenOverflows: 0, listenDrops: 0, closeWaitAtEnd: 5 });
  });

  it("is null where sockets were not recorded, and says when the capture was cut", () => {
    expect(digest(buildProfile(new FakeCapture().events())).sockets).toBeNull();
    const capture = new FakeCapture();
    addSockets(capture);
    const cut = buildProfile(capture.events({ facts: { sources: ["sockets"] } }).slice(0, -1));
    expect(digest(cut).sockets).toMatchObject({ complete: false, calls: 0, slowCount: 10 });
    expect(lines(cut).join("\n")).toContain("this one was cut before");
  });
});

describe("the summary of sockets", () => {
  it("says who is slow, where the time goes, what failed and what has not returned", () => {
    const text = lines();
    const from = text.findIndex((line) => line.startsWith("Sockets:"));
    const part = text.slice(from, text.indexOf("", from));
    expect(part[0]).toMatch(
      /^Sockets: 200,030 calls, 10\.\d s: busy in the kernel \d\.\d %, blocked 9\d\.\d %/,
    );
    expect(part[1]).toBe("Not in it: 16.2 s of waiting for events (epoll_wait, poll, select).");
    const answers = part.filter((line) => / answers?\b/.test(line)).join("\n");
    expect(answers).toMatch(/3\d\d ms .*10\.0\.0\.2:8080 answers nginx, 800 answers/);
    expect(answers).toMatch(/nginx answers those who ask it, 40,800 answers/);
    expect(part.join("\n")).toMatch(
      /at least 7\d\.\d % of that it waits for the above, most for 10\.0\.0\.2:8080/,
    );
    const narrow = lines(recorded(), 80).join("\n");
    expect(narrow).toMatch(
      /at least 7\d\.\d % of that it waits for the above\n {31}most for 10\.0\.0\.2:8080\n/,
    );
    expect(part).toContain("Errors of sockets: ECONNRESET 24 (recvfrom of nginx)");
    expect(part.at(-1)).toBe("   8.00 s  connect of worker[5100] on 10.9.9.9:443, blocked");
  });

  it("says of errors that are none which they are, and how many", () => {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "nginx");
    const byError = [{ errno: 115, count: 77_488 }];
    const call = callTotal(process, SYS.connect, [[9e3, 77_488]], { errors: 77_488, byError });
    expect(lines(socketProfile(capture, { callTotals: [call] }))).toContain(
      "Errors of sockets: none but EINPROGRESS 77,488, which calls that do not block give",
    );
  });

  it("says what went wrong with TCP connections, the worst first, and how fast each way is", () => {
    const text = lines();
    const from = text.indexOf("TCP connections, what went wrong");
    expect(text.slice(from + 1, from + 6)).toEqual([
      "  10.9.9.9:443, worker: 12 of 12 connects failed, 60 segments sent again",
      "  10.0.0.2:8080, nginx: 24 resets received, 1 segment sent again, connects in 200 us",
      "  accepted on :80, nginx: 6 resets received, 2 segments sent again",
      "  10.0.0.1:8080, nginx: 3 segments sent again, connects in 180 us",
      "  4 connections in CLOSE-WAIT all the time, of worker[5100] at 10.0.0.7:5432, descriptor 19",
    ]);
    expect(text.join("\n")).toMatch(/10\.0\.0\.2:8080 answers nginx, 800 answers, connects in 200 us/);
  });

  it("tells of a queue that was full, and says nothing of connections that are all well", () => {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "nginx");
    const front = capture.endpoint({ role: "accepted", address: "0.0.0.0", port: 80 });
    const well = { tcpTotals: [tcpTotal(front, [], { accepted: 900, closes: 900 })] };
    const totals = { callTotals: [callTotal(process, SYS.accept, [[5_000, 900]])] };
    expect(lines(socketProfile(capture, { ...totals, ...well })).join("\n")).not.toContain("TCP");
    const full = {
      endpointTotals: [endTotal(process, front, 900, [], { queueMax: 129, queueLimit: 128 })],
      tcpCounters: { listenOverflows: 7, listenDrops: 9, closeWaitAtEnd: 0 },
    };
    const text = lines(socketProfile(capture, { ...totals, ...well, ...full }));
    expect(text).toContain("  accepted on :80, nginx: queue full, 129 of 128");
    expect(text).toContain("  7 connections found the queue of a listening socket full, 9 requests dropped");
  });

  it("never cuts the network namespace of an end off its port", () => {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "python3");
    const end = capture.endpoint({ address: "127.0.0.1", port: 46_123, network: 4_026_532_177 });
    const profile = socketProfile(capture, {
      callTotals: [callTotal(process, SYS.connect, [[5_000, 9]])],
      endpointTotals: [endTotal(process, end, 9)],
    });
    const row = lines(profile, 60).find((line) => line.includes(":46123"));
    expect(row).toContain("127.0.0.1:46123 (netns 4026532177)");
  });

  it("never cuts the name of an end: what stands beside it goes first", () => {
    const capture = new FakeCapture();
    const end = capture.endpoint({ address: "127.0.0.1", port: 46_123 });
    const long = capture.endpoint({
      family: 10,
      address: "2001:db8:1111:2222:3333:4444:5555:6666",
      port: 44_300,
    });
    const { process } = capture.process(80, "python3");
    const wrong = { connectsFailed: 5, resetsReceived: 3, retransmits: 10 };
    const profile = socketProfile(capture, {
      callTotals: [callTotal(process, SYS.connect, [[5_000, 9]])],
      endpointTotals: [end, long].map((endpoint) => endTotal(process, endpoint, 9)),
      tcpTotals: [tcpTotal(end, [[14e3, 3]], wrong), tcpTotal(long, [[14e3, 3]], { connectsFailed: 1 })],
      closeWaits: [{ process, endpoint: long, count: 4, fd: 19 }],
    });
    const told = (width: number) => {
      const text = lines(profile, width);
      const from = text.indexOf("TCP connections, what went wrong");
      return text.slice(from + 1, from + 4);
    };
    const failed = ": 5 of 8 connects failed, 3 resets received, 10 segments sent again";
    const other = "[2001:db8:1111:2222:3333:4444:5555:6666]:44300";
    const close = "  4 connections in CLOSE-WAIT all the time, ";
    expect(told(140)).toEqual([
      expect.stringContaining(`  127.0.0.1:46123, python3${failed}, connects in `),
      expect.stringContaining(`  ${other}, python3: 1 of 4 connects failed, connects in `),
      `${close}of python3[80] at ${other}, descriptor 19`,
    ]);
    expect(told(100)).toEqual([
      `  127.0.0.1:46123, python3${failed}`,
      `  ${other}, python3: 1 of 4 connects failed`,
      `${close}at ${other}`,
    ]);
    expect(told(85).slice(0, 2)).toEqual([
      `  127.0.0.1:46123${failed}`,
      `  ${other}, python3: 1 of 4 connects failed`,
    ]);
    expect(told(40)).toEqual([
      `  127.0.0.1:46123${failed}`,
      `  ${other}: 1 of 4 connects failed`,
      `${close}at ${other}`,
    ]);
  });

  it("never cuts a port off: what goes with an end is left out before", () => {
    const capture = new FakeCapture();
    const short = capture.endpoint({ address: "127.0.0.1", port: 46_123 });
    const long = capture.endpoint({
      ...{ family: 10, address: "2001:db8:1111:2222:3333:4444:5555:6666", port: 44_300 },
    });
    const path = `/run/${"long/".repeat(18)}x.sock`;
    const unix = capture.endpoint({ role: "path", family: 1, protocol: 0, address: path, port: 0 });
    const { process, thread } = capture.process(80, "python3");
    for (const endpoint of [short, long]) {
      const open = { durationNs: ns(8e9), blockedNs: ns(8e9), flags: SampleFlag.inProgress };
      capture.slowCall(thread, [], { ...open, timeNs: 9e9, syscall: SYS.connect, endpoint });
    }
    const profile = socketProfile(capture, {
      callTotals: [callTotal(process, SYS.connect, [[5_000, 9]])],
      endpointTotals: [short, long, unix].map((endpoint) => endTotal(process, endpoint, 9, [[1e6, 9]])),
      tcpTotals: [tcpTotal(short, [[14e3, 3]])],
    });
    const told = (width: number, name: string) =>
      lines(profile, width)
        .filter((line) => line.includes(name))
        .map((line) => line.replace(/^(?: *[\d.]+ (?:s|ms|us|ns))+ +/, ""));
    const one = "127.0.0.1:46123";
    const other = "[2001:db8:1111:2222:3333:4444:5555:6666]:44300";
    expect(told(120, one)).toEqual([
      expect.stringMatching(`^${one} answers python3, 9 answers, connects in `),
      `${one}, python3[80], 9 calls`,
      `connect of python3[80] on ${one}, blocked`,
    ]);
    expect(told(75, one)).toEqual([
      `${one} answers python3, 9 answers`,
      `${one}, python3[80], 9 calls`,
      `connect of python3[80] on ${one}, blocked`,
    ]);
    expect(told(60, one)).toEqual([
      `${one}, 9 answers`,
      `${one}, python3[80]`,
      `connect of python3[80] on ${one}`,
    ]);
    expect(told(40, one)).toEqual([one, one, `connect on ${one}`]);
    for (const width of [40, 60, 80]) {
      expect(told(width, other)).toHaveLength(3);
      for (const line of told(width, ":44300")) expect(line).toContain(other);
    }
    // What has no port is cut in its middle, and the lines keep to the width.
    const cut = lines(profile, 80).filter((line) => line.includes("unix"));
    expect(cut).toHaveLength(2);
    for (const line of cut) expect(line.length).toBeLessThanOrEqual(80);
    expect(cut[0]).toMatch(/unix \/r\S*….* answers python3, 9 answers$/);
  });

  it("tells for whom connections still waited at the end, where a queue was full or this one is long", () => {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "python3");
    const endpoint = capture.endpoint({ role: "listening", address: "127.0.0.1", port: 7002 });
    const told = (listenOverflows: number, lengths: readonly number[]) =>
      lines(
        socketProfile(capture, {
          callTotals: [callTotal(process, SYS.accept, [[5_000, 9]])],
          listenQueues: lengths.map((length, n) => ({
            process: n === 1 ? -1 : process,
            endpoint,
            length,
            capacity: 0,
          })),
          tcpCounters: { listenOverflows, listenDrops: listenOverflows, closeWaitAtEnd: 0 },
        }),
      ).filter((line) => line.includes("still waited"));
    expect(told(0, [9, 3])).toEqual([]);
    const first = "  10 connections still waited to be accepted by python3[80], listening on 127.0.0.1:7002";
    expect(told(0, [10, 3])).toEqual([first]);
    expect(told(4, [10, 3, 2, 1])).toEqual([
      first,
      "  3 connections still waited to be accepted by (not known), listening on 127.0.0.1:7002",
      "  2 connections still waited to be accepted by python3[80], listening on 127.0.0.1:7002",
    ]);
  });

  it("of a quiet machine is one line", () => {
    expect(lines(socketProfile(new FakeCapture()))).toContain("Sockets: no call on one was made.");
  });

  it("keeps to the width, and prints hostile names as text", () => {
    expect(lines(recorded(true), 160).join("\n")).toContain("<script>alert(1)</script>[669]");
    const text = lines(recorded(true), 90);
    for (const line of text.filter((each) => each.includes("onerror"))) expect(line.length).toBeLessThan(91);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
    expect(text.join("")).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
  });
});

describe("files", () => {
  const planned = (file: string, sources: readonly SourceName[], format?: string) =>
    planOutputs({ files: [file], format, sources, cwd: "/tmp", defaultStem: "x" });

  it("a CSV becomes a file for each table, or the one that its name asks for", () => {
    const { outputs, notes } = planned("out.csv", ["cpu", "sockets"]);
    expect(outputs.map(({ path, table }) => [path, table])).toEqual([
      ["/tmp/out.calls.csv", "calls"],
      ["/tmp/out.endpoints.csv", "endpoints"],
      ["/tmp/out.tcp.csv", "tcp"],
      ["/tmp/out.slow.csv", "slow"],
    ]);
    expect(notes).toEqual([
      "a .csv file holds one table, so out.csv becomes out.calls.csv, out.endpoints.csv, out.tcp.csv and out.slow.csv",
    ]);
    const one = planned("out.slow.csv", ["sockets"]);
    expect(one.outputs.map(({ path, table }) => [path, table])).toEqual([["/tmp/out.slow.csv", "slow"]]);
    expect(one.notes).toEqual([]);
  });

  it("stacks are written of the sources that have some", () => {
    expect(planned("o.pb.gz", ["cpu", "sockets"]).outputs).toMatchObject([
      { path: "/tmp/o.pb.gz", source: "cpu" },
    ]);
  });

  it.each([
    ["o.csv", ["cpu"], "NO_TABLES"],
    ["o.folded", ["sockets"], "NO_STACKS"],
    ["o.speedscope.json", ["sockets"], "NO_STACKS"],
  ] as const)("%s of %j is refused with the way out", (file, sources, code) => {
    expect(() => planned(file, sources)).toThrow(expect.objectContaining({ code }));
  });
});
