// What is known of each call and each other end: names for people, exact sums, percentiles, processes of a program together.
import os from "node:os";
import { describe, expect, test } from "vitest";
import { endpointNames } from "../../src/analysis/endpoint-names.js";
import { programAnswers } from "../../src/analysis/socket-answers.js";
import { slowCalls, unfinishedCalls } from "../../src/analysis/socket-calls.js";
import { SOCKET_CALL, systemCallOf } from "../../src/analysis/socket-functions.js";
import { callsByProgram, endpointsByProgram } from "../../src/analysis/socket-sum.js";
import { callSummaries, endpointSummaries, socketsRecorded } from "../../src/analysis/socket-summary.js";
import type { EndpointRole } from "../../src/capture/binding.js";
import { errnoName } from "../../src/model/errno.js";
import { isWaitingCall } from "../../src/model/syscalls.js";
import { ns } from "../../src/model/units.js";
import { buildProfile } from "./helpers/build-profile.js";
import { FakeCapture } from "./helpers/fake-capture.js";
import { addSockets, callTotal, EAGAIN, endTotal, SYS, socketProfile } from "./helpers/socket-example.js";

describe("an other end is called", () => {
  type Case = [
    name: string,
    role: EndpointRole,
    family: number,
    protocol: number,
    address: string,
    port: number,
  ];
  const cases: Case[] = [
    ["127.0.0.1:8080", "remote", 2, 6, "127.0.0.1", 8080],
    ["[::1]:80", "remote", 10, 6, "::1", 80],
    ["accepted on :80", "accepted", 2, 6, "0.0.0.0", 80],
    ["accepted on 10.0.0.9:443", "accepted", 2, 6, "10.0.0.9", 443],
    ["listening on :80", "listening", 10, 6, "::", 80],
    ["listening on unix /run/x.sock", "listening", 1, 0, "/run/x.sock", 0],
    ["datagrams to 9.9.9.9:53", "datagram", 2, 17, "9.9.9.9", 53],
    ["own address :5353", "local", 2, 17, "0.0.0.0", 5353],
    ["unix /run/x.sock", "path", 1, 0, "/run/x.sock", 0],
    ["unix @abstract", "path", 1, 0, "@abstract", 0],
    ["accepted on unix /run/x.sock", "served path", 1, 0, "/run/x.sock", 0],
    ["unix pair made by pid 80 (php-fpm)", "process", 1, 0, "80", 0],
    ["unix pair made by pid 81", "process", 1, 0, "81", 0],
    ["netlink route", "family", 16, 0, "", 0],
    ["netlink kobject_uevent", "family", 16, 15, "", 15],
    ["packet", "family", 17, 3, "", 3],
    ["vsock", "family", 40, 0, "", 0],
    ["family 99", "family", 99, 0, "", 0],
  ];
  test.each(cases)("%s", (name, role, family, protocol, address, port) => {
    const capture = new FakeCapture();
    capture.process(80, "php-fpm");
    const id = capture.endpoint({ role, family, protocol, address, port });
    expect(endpointNames(socketProfile(capture))(id)).toMatchObject({ name, role });
  });

  test("by its protocol, too, and as text whatever bytes a path has", () => {
    const capture = new FakeCapture();
    const ids = [6, 17, 132, 1, 77].map((protocol) => capture.endpoint({ protocol }));
    const path = capture.endpoint({
      role: "path",
      family: 1,
      protocol: 0,
      address: "/run/\u001b[31m\u202e\n",
    });
    const nameOf = endpointNames(socketProfile(capture));
    expect(ids.map((id) => nameOf(id).protocol)).toEqual(["tcp", "udp", "sctp", "icmp", "ip protocol 77"]);
    expect(nameOf(path).name).toBe("unix /run/\\x1b[31m\\u{202e}\\x0a");
    expect(nameOf(-1).name).toMatch(/^other ends/);
    expect(nameOf(4_711).name).toBe("not known");
  });
});

describe("calls", () => {
  test("have errors by name, percentiles and where the time went; the longest total comes first", () => {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "nginx");
    const total = callTotal(
      process,
      SYS.recvfrom,
      [
        [2_000, 990],
        [5e6, 10],
      ],
      {
        ...{ bytes: 2 ** 53 - 1, errors: 9, blockedNs: ns(8e9), waitingNs: ns(1e9) },
        byError: [
          { errno: 512, count: 2 },
          { errno: EAGAIN, count: 5 },
          { errno: 514, count: 1 },
          { errno: 0, count: 1 },
        ],
      },
    );
    const other = callTotal(-1, -1, [[1_000, 3]]);
    const [first, last] = callSummaries(socketProfile(capture, { callTotals: [other, total] }));
    expect(first).toMatchObject({
      ...{ call: "recvfrom", comm: "nginx", pid: 80, waiting: false, bytes: 2 ** 53 - 1, count: 1_000 },
      ...{ totalNs: 9e9 + 51_980_000, busyNs: 51_980_000, blockedNs: 8e9, waitingNs: 1e9 },
      byError: [
        { name: "EAGAIN", count: 5 },
        { name: "interrupted", count: 3 },
        { name: "other", count: 1 },
      ],
    });
    expect(first!.p50Ns).toBeLessThan(2_100);
    expect(last).toMatchObject({ call: "other calls", comm: "(other processes)", pid: null });
  });

  test("in which programs wait for events are marked, under every name that they have", () => {
    const numbers = [7, 23, 232, 270, 271, 281, 441];
    expect(numbers.every((number) => isWaitingCall("x86_64", number))).toBe(true);
    expect([0, 42, 44, 45, 288].some((number) => isWaitingCall("x86_64", number))).toBe(false);
    expect(isWaitingCall("arm64", 22)).toBe(true);
  });

  test("of one process under two names are one row; of two workers one row by program", () => {
    const capture = new FakeCapture();
    const before = capture.process(80, "sh");
    const after = capture.process(80, "nginx");
    const worker = capture.process(81, "nginx");
    const ids = [before, after, worker].map(({ process }) => process);
    const callTotals = ids.map((id) => callTotal(id, SYS.sendto, [[3_000, 10]]));
    const rows = callSummaries(socketProfile(capture, { callTotals }));
    expect(rows.map(({ comm, count }) => [comm, count])).toEqual([
      ["nginx", 20],
      ["nginx", 10],
    ]);
    expect(callsByProgram(rows)).toMatchObject([{ comm: "nginx", processes: 2, count: 30, busyNs: 90_000 }]);
  });

  test("one by one: slow ones apart from those that had not returned, waiting calls marked", () => {
    const capture = new FakeCapture();
    const profile = socketProfile(capture, addSockets(capture));
    const slow = slowCalls(profile);
    expect(slow).toHaveLength(10);
    expect(slow[0]).toMatchObject({ call: "recvfrom", durationNs: 900e6, outcome: "1024", endNs: 0.95e9 });
    expect(slow.map(({ outcome }) => outcome)).toContain("ECONNRESET");
    expect(unfinishedCalls(profile).map(({ call, waiting, thread }) => [call, waiting, thread])).toEqual([
      ["epoll_wait", true, "worker"],
      ["connect", false, "connector"],
    ]);
  });
});

describe("answers", () => {
  const capture = new FakeCapture();
  const profile = socketProfile(capture, addSockets(capture));
  const rows = endpointSummaries(profile);

  test("of the ends that a program asks are apart from its own", () => {
    const nginx = programAnswers(rows).find(({ comm }) => comm === "nginx")!;
    expect(nginx.asked.map(({ name, turns }) => [name, turns])).toEqual([
      ["10.0.0.2:8080", 800],
      ["10.0.0.1:8080", 40_000],
    ]);
    expect(nginx.served!.turns).toBe(40_800);
    expect(nginx.upstreamShare).toBeGreaterThan(0.9);
    expect(nginx.upstreamShare).toBeLessThanOrEqual(1);
  });

  test("of workers are taken together with their calls", () => {
    const slow = endpointsByProgram(rows).find(({ name }) => name === "10.0.0.2:8080")!;
    expect(slow).toMatchObject({ processes: 2, count: 3_200, bytesIn: 1_600_000, errors: 24, turns: 800 });
    expect(slow.turnP50Ns).toBeGreaterThan(300e6);
  });
});

test("a recording of sockets is one even where nothing was seen", () => {
  expect(socketsRecorded(socketProfile(new FakeCapture()))).toBe(true);
  expect(socketsRecorded(buildProfile(new FakeCapture().events()))).toBe(false);
});

test("an end without calls is left out", () => {
  const capture = new FakeCapture();
  const { process } = capture.process(80, "nginx");
  const endpointTotals = [endTotal(process, capture.endpoint(), 0)];
  expect(endpointSummaries(socketProfile(capture, { endpointTotals }))).toEqual([]);
});

test("errors have the names that this machine gives them", () => {
  const same = new Map([
    ["EWOULDBLOCK", "EAGAIN"],
    ["ENOTSUP", "EOPNOTSUPP"],
  ]);
  for (const [name, number] of Object.entries(os.constants.errno))
    expect(errnoName(number)).toBe(same.get(name) ?? name);
  expect([errnoName(58), errnoName(4_095), errnoName(516)]).toEqual([
    "errno 58",
    "interrupted",
    "interrupted",
  ]);
});

test("kernel functions of socket calls are known, and those of other calls are not", () => {
  const inside =
    "__x64_sys_sendto __sys_sendto __sys_recvfrom sock_write_iter sock_read_iter __sys_connect".split(" ");
  for (const name of [...inside, "__sys_accept4_file", "___sys_recvmsg", "splice_to_socket", "sock_close"])
    expect(SOCKET_CALL.test(name), name).toBe(true);
  for (const name of ["do_epoll_wait", "tcp_sendmsg", "vfs_read", "__x64_sys_read", "sock_poll"])
    expect(SOCKET_CALL.test(name), name).toBe(false);
  expect(["__x64_sys_recvfrom", "ksys_read", "__sys_accept4_file", "tcp_sendmsg"].map(systemCallOf)).toEqual([
    "recvfrom",
    "read",
    "accept4",
    undefined,
  ]);
});
