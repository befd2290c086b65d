// A busy machine with nothing wrong gets no finding: a tool that cries wolf is switched off.
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { OFFCPU_STATES, RUNQUEUE_BUCKETS } from "../../src/capture/binding.js";
import { ns } from "../../src/model/units.js";
import { buildProfile } from "./helpers/build-profile.js";
import { b, FakeCapture, k } from "./helpers/fake-capture.js";
import { healthyNginx, SEND } from "./helpers/proxy-load.js";

const times = (over: object) => ({
  cpu: 0,
  user: 0,
  nice: 0,
  system: 0,
  idle: 0,
  iowait: 0,
  irq: 0,
  softirq: 0,
  steal: 0,
  ...over,
});

test("a healthy busy nginx", () => {
  const capture = new FakeCapture();
  const { one, two } = healthyNginx(capture);
  const agent = capture.process(99, "lowflame", { self: true });
  // lowflame's own program, on its raw tracepoint, takes more than any foreign one may.
  const tracepoint = [...SEND, k("__schedule"), k("__bpf_trace_sched_switch"), k("bpf_trace_run4")];
  capture.cpu(agent.thread, tracepoint, { times: 20 });
  capture.cpu(agent.thread, [...tracepoint, b("bpf_prog_00112233445566ff_lf_switch")], { times: 40 });
  capture.cpu(agent.thread, [...tracepoint, b("bpf_prog_00112233445566ff_lf_switch"), k("bpf_get_stack")], {
    times: 60,
  });
  // Some thousand short waits for a few kernel locks: half a percent of the time of the two workers.
  const locks = [
    capture.lock({ kind: "spin lock", name: "run queue of CPU 1" }),
    capture.lock({ kind: "spin lock", name: "in a filp object" }),
    capture.lock({ kind: "mutex", name: "" }),
    capture.lock({ kind: "rwsem, read", name: "mmap_lock of nginx (pid 4711)" }),
  ];
  const wait = [...SEND, k("lock_sock_nested"), k("mutex_lock"), k("__mutex_lock.constprop.0")];
  for (const lock of locks)
    for (const { thread } of [one, two])
      capture.locks(thread, wait, { lock, times: 25, durationNs: 8e3, weightNs: 0.5e6 });
  const shortWaits = new Array<number>(RUNQUEUE_BUCKETS).fill(0);
  shortWaits[6] = 1500;
  const lockTotals = locks.flatMap((lock) => [
    ...[one, two].map(({ process }) => ({
      ...{ lock, process, count: 1500, sumNs: ns(12.5e6), maxNs: ns(12e3), timeouts: 0, buckets: shortWaits },
    })),
    // lowflame's own waits are nobody's fault
    {
      lock,
      process: agent.process,
      count: 1500,
      sumNs: ns(3e9),
      maxNs: ns(2e6),
      timeouts: 0,
      buckets: shortWaits,
    },
  ]);
  const buckets = new Array<number>(RUNQUEUE_BUCKETS).fill(0);
  buckets[8] = 90_000; // about 13 us
  buckets[28] = 20; // some waits of 13 ms are no p99
  const profile = buildProfile(
    capture.events({
      facts: { sources: ["cpu", "offcpu", "locks"] },
      final: {
        lockTotals,
        runQueue: [{ process: one.process, count: 90_020, sumNs: ns(1.5e9), maxNs: ns(14e6), buckets }],
        samplesPerCpu: [0, 1, 2, 3].map((cpu) => ({ cpu, expected: 990, received: 985, idle: 100 })),
        cpuTimesStart: [0, 1, 2, 3].map((cpu) => times({ cpu })),
        cpuTimesEnd: [0, 1, 2, 3].map((cpu) => times({ cpu, user: 8.8e9, idle: 1.1e9, steal: 0.1e9 })),
        offcpuTotals: [
          {
            process: one.process,
            state: OFFCPU_STATES.indexOf("uninterruptible"),
            count: 12,
            sumNs: ns(40e6),
            maxNs: ns(9e6),
          },
          {
            process: one.process,
            state: OFFCPU_STATES.indexOf("idle"),
            count: 9,
            sumNs: ns(90e9),
            maxNs: ns(10e9),
          },
        ],
        losses: [
          { id: "cpu.ring_full", count: 3, meaning: "3 samples found no room." },
          { id: "cpu.user_truncated", count: 900, meaning: "Stacks deeper than 127 frames." },
          { id: "offcpu.ring_full_ns", count: 40_000_000, meaning: "Time of waits that found no room." },
          { id: "symbols.unnamed_at_end", count: 500, meaning: "Frames without a name." },
        ],
        otherPrograms: [
          {
            id: 12,
            name: "sd_devices",
            tag: "0102030405060708",
            type: "cgroup_device",
            runs: 900,
            ns: ns(1e6),
            recursionMisses: 0,
            owners: [{ pid: 1, comm: "systemd" }],
          },
        ],
      },
    }),
  );
  expect(analyze(profile)).toEqual([]);
});

test("nothing recorded, nothing found", () => {
  expect(analyze(buildProfile(new FakeCapture().events()))).toEqual([]);
  const capture = new FakeCapture();
  capture.process(1, "init");
  expect(analyze(buildProfile(capture.events().slice(0, -1)))).toEqual([]);
});
