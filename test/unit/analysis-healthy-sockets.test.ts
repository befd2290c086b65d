// Servers at full load with nothing wrong, recorded with their sockets, get no finding.
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { SampleFlag } from "../../src/capture/binding.js";
import { ns } from "../../src/model/units.js";
import { FakeCapture, k, u } from "./helpers/fake-capture.js";
import { SYSCALL } from "./helpers/proxy-load.js";
import {
  callTotal,
  descriptor,
  EAGAIN,
  endTotal,
  SYS,
  socketProfile,
  tcpTotal,
} from "./helpers/socket-example.js";

const IDLE = { syscall: SYS.epoll, durationNs: ns(9e9), blockedNs: ns(9e9), flags: SampleFlag.inProgress };

test("nginx before two upstreams, with softirq work inside of its sends", () => {
  const capture = new FakeCapture();
  const { process, thread } = capture.process(4711, "nginx");
  const [one, two] = ["10.0.0.1", "10.0.0.2"].map((address) => capture.endpoint({ address }));
  const front = capture.endpoint({ role: "accepted", address: "0.0.0.0", port: 80 });
  const listening = capture.endpoint({ role: "listening", address: "0.0.0.0", port: 80 });
  capture.slowCall(thread, [...SYSCALL, k("do_epoll_wait")], IDLE);
  for (let second = 1; second <= 10; second++) capture.socketCount(process, second * 1e9, 900 + second, 20);
  const profile = socketProfile(capture, {
    callTotals: [
      callTotal(process, SYS.recvfrom, [[2_000, 400_000]], {
        errors: 190_000,
        byError: [{ errno: EAGAIN, count: 190_000 }],
      }),
      callTotal(process, SYS.writev, [
        [8_000, 195_000],
        [60_000, 3_000],
        [130_000, 2_000],
      ]),
      callTotal(process, SYS.epoll, [[3_000, 90_000]], { blockedNs: ns(6e9) }),
    ],
    endpointTotals: [
      endTotal(process, one!, 200_000, [[2e6, 90_000]], { again: 90_000 }),
      endTotal(process, two!, 190_000, [[3e6, 85_000]], { again: 85_000 }),
      endTotal(process, front, 400_000, [[4e6, 180_000]], { queueMax: 200, queueLimit: 511 }),
    ],
    descriptorTotals: [descriptor({ process, endpoint: front, count: 60_000, again: 30_000 })],
    // Clients that break off, a connect or two that failed, some loss, a busy queue in which some wait at the end, and a client that closed its half.
    tcpTotals: [
      tcpTotal(one!, [[200e3, 900]], { connectsFailed: 2, retransmits: 40 }),
      tcpTotal(two!, [
        [200e3, 900],
        [1.1e9, 4],
      ]),
      tcpTotal(front, [], { accepted: 20_000, closes: 19_000, resetsReceived: 300, retransmits: 500 }),
    ],
    closeWaits: [{ process, endpoint: front, count: 2, fd: 40 }],
    listenQueues: [{ process, endpoint: listening, length: 40, capacity: 0 }],
    tcpCounters: { listenOverflows: 0, listenDrops: 3, closeWaitAtEnd: 12 },
  });
  expect(analyze(profile)).toEqual([]);
});

test("haproxy, whose threads accept until nothing is left", () => {
  const capture = new FakeCapture();
  const { process } = capture.process(900, "haproxy");
  const endpoint = capture.endpoint({ role: "listening", address: "0.0.0.0", port: 443 });
  const profile = socketProfile(capture, {
    callTotals: [callTotal(process, SYS.accept, [[5_000, 40_000]], { errors: 20_000 })],
    endpointTotals: [endTotal(process, endpoint, 40_000, [], { again: 20_000 })],
    descriptorTotals: [descriptor({ process, endpoint, count: 40_000, again: 20_000 })],
  });
  expect(analyze(profile)).toEqual([]);
});

test("redis under a benchmark, on one core", () => {
  const capture = new FakeCapture();
  const { process, thread } = capture.process(6379, "redis-server");
  capture.cpu(
    thread,
    [u("_start"), u("main"), u("aeMain"), ...SYSCALL, k("__x64_sys_read"), k("sock_read_iter")],
    {
      times: 400,
    },
  );
  const front = capture.endpoint({ role: "accepted", address: "127.0.0.1", port: 6379 });
  const profile = socketProfile(capture, {
    callTotals: [
      callTotal(process, SYS.read, [[1_100, 900_000]]),
      callTotal(process, SYS.write, [
        [3_000, 890_000],
        [40_000, 10_000],
      ]),
    ],
    endpointTotals: [endTotal(process, front, 1_800_000, [[20_000, 900_000]])],
    descriptorTotals: [descriptor({ process, endpoint: front, count: 36_000 })],
  });
  expect(analyze(profile)).toEqual([]);
});
