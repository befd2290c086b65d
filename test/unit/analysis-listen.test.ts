// Whose queue of connections to be accepted was full: found where it was, and nobody blamed where it was not.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { Finding } from "../../src/analysis/finding.js";
import type { FinalFacts } from "../../src/capture/binding.js";
import { FakeCapture } from "./helpers/fake-capture.js";
import { endTotal, socketProfile, tcpTotal } from "./helpers/socket-example.js";

const found = (rule: string, capture: FakeCapture, final: Partial<FinalFacts> = {}) =>
  analyze(socketProfile(capture, final)).filter((finding) => finding.rule === rule);

describe("listen-overflow", () => {
  function overflowed(overflows: number, queues: readonly (readonly [max: number, limit: number])[]) {
    const capture = new FakeCapture();
    const endpointTotals = queues.flatMap(([queueMax, queueLimit], n) => {
      const endpoint = capture.endpoint({ role: "accepted", address: "0.0.0.0", port: 80 + n });
      return [1, 2].map((worker) =>
        endTotal(capture.process(100 * (n + 1) + worker, `server-${n}`).process, endpoint, 900, [], {
          ...{ queueMax: Math.max(0, queueMax - worker + 1), queueLimit },
        }),
      );
    });
    const tcpCounters = { listenOverflows: overflows, listenDrops: overflows + 5, closeWaitAtEnd: 0 };
    return { capture, final: { endpointTotals, tcpCounters } };
  }

  test("names the program whose queue was full, and what it may hold", () => {
    const { capture, final } = overflowed(40, [
      [3, 511],
      [129, 128],
    ]);
    const [finding, ...more] = found("listen-overflow", capture, final);
    expect(more).toEqual([]);
    expect(finding).toMatchObject({
      severity: "warning",
      culprit: "server-1 (2 processes), accepted on :81",
      tab: "sockets",
    });
    expect(finding!.title).toBe(
      "server-1 (2 processes) does not accept in time: 40 connections found the queue of :81 full (129 waited, 128 may)",
    );
    expect(finding!.detail).toContain("In all 45 requests were dropped");
    expect(finding!.contributors).toHaveLength(1);
    expect(finding!.next[0]).toContain("ss -ltnp 'sport = :81'");
    expect(finding!.next.join("\n")).toContain("nstat -az TcpExtListenOverflows");
    expect(finding!.next.join("\n")).toContain("net.core.somaxconn");
  });

  test("is critical by its rate, and a single burst is worth knowing", () => {
    const severity = (overflows: number) => {
      const { capture, final } = overflowed(overflows, [[128, 128]]);
      return found("listen-overflow", capture, final)[0]!.severity;
    };
    expect([1, 9, 10, 99, 100].map(severity)).toEqual(["info", "info", "warning", "warning", "critical"]);
  });

  test("lists the candidates where no queue was seen full", () => {
    const { capture, final } = overflowed(12, [
      [70, 128],
      [3, 511],
    ]);
    const [finding] = found("listen-overflow", capture, final);
    expect(finding!.title).toBe(
      "12 connections found the queue of a listening socket full; whose it is is not known",
    );
    expect(finding!.culprit).toBeUndefined();
    expect(finding!.contributors).toMatchObject([
      { name: "accepted on :80, server-0 (2 processes): 70 of 128 waited" },
    ]);
    expect(finding!.next[0]).toContain("ss -ltnp | awk");
  });

  test("says whose connections nobody was seen to accept", () => {
    const { capture, final } = overflowed(12, []);
    const dead = capture.endpoint({ role: "accepted", address: "0.0.0.0", port: 9000 });
    const tcpTotals = [tcpTotal(dead, [], { accepted: 129 })];
    expect(found("listen-overflow", capture, { ...final, tcpTotals })[0]!.detail).toContain(
      "No process was seen to use accepted on :9000 (129 connections)",
    );
  });

  test("is none: a full queue that nobody found full, drops for other reasons, no counters", () => {
    const { capture, final } = overflowed(0, [[128, 128]]);
    expect(found("listen-overflow", capture, final)).toEqual([]);
    const { tcpCounters: _, ...without } = final;
    expect(found("listen-overflow", capture, without)).toEqual([]);
  });
});

describe("listen-overflow where connections still waited at the end", () => {
  interface Waiting {
    readonly length: number;
    readonly capacity?: number;
    readonly comm?: string;
    readonly port?: number;
    readonly self?: boolean;
  }
  /** Listening sockets, and programs that accepted on a port: most that waited as they did, and how many may. */
  function stuck(
    waiting: readonly Waiting[],
    accepts: readonly (readonly [comm: string, port: number, max: number, limit: number])[] = [],
    overflows = 15,
  ): Finding {
    const capture = new FakeCapture();
    const listenQueues = waiting.map(({ length, capacity = 0, comm, port = 7002, self = false }, n) => ({
      process: comm === undefined ? -1 : capture.process(12 + n, comm, { self }).process,
      endpoint: port < 0 ? -1 : capture.endpoint({ role: "listening", address: "127.0.0.1", port }),
      ...{ length, capacity },
    }));
    const endpointTotals = accepts.map(([comm, port, queueMax, queueLimit], n) => {
      const endpoint = capture.endpoint({ role: "accepted", address: "10.0.0.5", port });
      return endTotal(capture.process(900 + n, comm).process, endpoint, 90, [], { queueMax, queueLimit });
    });
    const tcpCounters = { listenOverflows: overflows, listenDrops: overflows, closeWaitAtEnd: 0 };
    const [finding, ...more] = found("listen-overflow", capture, {
      listenQueues,
      endpointTotals,
      tcpCounters,
    });
    expect(more).toEqual([]);
    return finding!;
  }

  test("names the one listener, its process, and how many wait", () => {
    const finding = stuck([{ length: 3, comm: "python3" }]);
    expect(finding).toMatchObject({
      title:
        "python3 (pid 12) does not accept: 15 connections found the queue of 127.0.0.1:7002 full (3 still wait)",
      culprit: "python3 (pid 12), listening on 127.0.0.1:7002",
      severity: "warning",
      contributors: [
        { name: "listening on 127.0.0.1:7002, python3 (pid 12): 3 waited at the end", share: 1 },
      ],
    });
    expect(finding.detail).toContain("for this listening socket and no other that may be it.");
    expect(finding.next[0]).toContain("ss -ltnp 'sport = :7002'");
    expect(finding.next.join("\n")).toContain("why python3 (pid 12) does not come to accept");
    expect(stuck([{ length: 1, comm: "python3" }]).title).toMatch(/\(1 still waits\)$/);
  });

  test("of several names the longest, the others are contributors", () => {
    const finding = stuck([
      { length: 3, comm: "python3" },
      { length: 9, comm: "java", port: 8080 },
    ]);
    expect(finding.title).toMatch(
      /^java \(pid 13\) does not accept: .* 127\.0\.0\.1:8080 full \(9 still wait\)$/,
    );
    expect(finding.detail).toContain("for 2 listening sockets, most of them for this one");
    expect(finding.contributors.map(({ name, share }) => [name, share])).toEqual([
      ["listening on 127.0.0.1:8080, java (pid 13): 9 waited at the end", 0.75],
      ["listening on 127.0.0.1:7002, python3 (pid 12): 3 waited at the end", 0.25],
    ]);
  });

  test("says what it can of a process or an end that is not known", () => {
    const finding = stuck([{ length: 3 }]);
    expect(finding.title).toBe(
      "15 connections found the queue of 127.0.0.1:7002 full (3 still wait); which process has it open is not known",
    );
    expect(finding.culprit).toBe("listening on 127.0.0.1:7002");
    expect(finding.next.join("\n")).not.toContain("does not come to accept");
    const lost = stuck([{ length: 3, comm: "python3", port: -1 }]);
    expect(lost.title).toContain("found the queue of a listening socket full");
    expect(lost.next[0]).toContain("ss -ltnp | awk");
  });

  test("prefers the queue that was seen over its limit as a connection was accepted", () => {
    const finding = stuck([{ length: 300, comm: "python3" }], [["redis", 6379, 129, 128]]);
    expect(finding.title).toMatch(/^redis \(pid 900\) does not accept in time: .* \(129 waited, 128 may\)$/);
    expect(finding.contributors.map(({ name }) => name)).toEqual([
      "accepted on 10.0.0.5:6379, redis (pid 900): 129 of 128 waited",
      "listening on 127.0.0.1:7002, python3 (pid 12): 300 waited at the end",
    ]);
  });

  test("but not one that had a place left: a backlog of one is taken up by each connection", () => {
    const finding = stuck([{ length: 3, comm: "python3" }], [["tiny", 6379, 1, 1]]);
    expect(finding.title).toMatch(/^python3 \(pid 12\) does not accept: /);
    expect(finding.detail).toContain("accepted on 10.0.0.5:6379 was seen with just as many as it may hold");
    expect(finding.contributors).toHaveLength(2);
    expect(stuck([], [["tiny", 6379, 1, 1]]).title).toMatch(/^tiny \(pid 900\) does not accept in time: /);
  });

  test("goes by what each holds, where the kernel tells: one with room was not the full one", () => {
    const finding = stuck([
      { length: 3, capacity: 6, comm: "rcv", port: 20050 },
      { length: 1, capacity: 1, comm: "python3" },
    ]);
    expect(finding.title).toMatch(/^python3 \(pid 13\) does not accept: .* \(1 still waits, 0 may\)$/);
    expect(finding.detail).toContain("This one held more than it may at the end");
    expect(stuck([{ length: 3, capacity: 6, comm: "rcv" }]).culprit).toBeUndefined();
  });

  test("prefers one that holds more than it may to a longer one", () => {
    const finding = stuck(
      [
        { length: 300, comm: "java", port: 8080 },
        { length: 6, comm: "python3" },
      ],
      [["python3", 7002, 1, 5]],
    );
    expect(finding.title).toBe(
      "python3 (pid 13) does not accept in time: 15 connections found the queue of 127.0.0.1:7002 full (6 still wait, 5 may)",
    );
    expect(finding.detail).toContain("This one held more than it may at the end.");
    expect(finding.contributors[0]!.name).toMatch(/6 waited at the end, 5 may$/);
  });

  test("does not blame a server that accepts and has room", () => {
    const accepts = [["nginx", 80, 12, 511]] as const;
    const nginx = { length: 40, comm: "nginx", port: 80 };
    const finding = stuck([nginx], accepts);
    expect(finding.title).toMatch(/; whose it is is not known$/);
    expect(finding.detail).toContain(
      "At the end connections waited for nginx (pid 12), listening on 127.0.0.1:80 (40, 511 may): these accept, and there was room.",
    );
    expect(finding.contributors).toEqual([]);
    expect(stuck([nginx, { length: 3, comm: "python3" }], accepts).title).toMatch(/^python3 \(pid 13\) /);
    // Another program on that port, in another network namespace, says nothing of this one.
    expect(stuck([{ ...nginx, comm: "caddy" }], accepts).title).toMatch(
      /^caddy \(pid 12\) does not accept: /,
    );
  });

  test("leaves lowflame's own out, and says nothing where nobody found a queue full", () => {
    expect(stuck([{ length: 3, comm: "lowflame", self: true }]).title).toMatch(/whose it is is not known$/);
    expect(stuck([{ length: 4_000, comm: "python3" }], [], 0)).toBeUndefined();
  });
});
