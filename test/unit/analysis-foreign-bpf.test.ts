// Other people's BPF programs and probes, in stacks as kernels 6.1, 6.12 and 7.2 show them.
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { FinalFacts, OtherProgram } from "../../src/capture/binding.js";
import { ns } from "../../src/model/units.js";
import { buildProfile, HOSTILE_NAMES } from "./helpers/build-profile.js";
import { b, FakeCapture, type FakeFrame, k } from "./helpers/fake-capture.js";
import { healthyNginx, SEND } from "./helpers/proxy-load.js";

const TAG = "6deef7357e7b4530";
const PROGRAM = b(`bpf_prog_${TAG}_tcp_sendmsg`);
const OWN = b("bpf_prog_00112233445566ff_lf_switch");

/** The way from a function's return to a kretprobe's program. */
const KRETPROBE: readonly FakeFrame[] = [
  ...SEND.slice(0, -1),
  k("arch_rethook_trampoline"),
  k("arch_rethook_trampoline_callback"),
  k("rethook_trampoline_handler"),
  k("kretprobe_rethook_handler"),
  k("kretprobe_dispatcher"),
  k("kretprobe_perf_func"),
  k("trace_call_bpf"),
];

const other = (over: Partial<OtherProgram> = {}): OtherProgram => ({
  id: 77,
  name: "tcp_sendmsg",
  tag: TAG,
  type: "kprobe",
  runs: 2_000_000,
  ns: ns(6e9),
  recursionMisses: 31,
  owners: [{ pid: 4242, comm: "bpftrace" }],
  ...over,
});

function findings(add: (capture: FakeCapture, thread: number) => void, final: Partial<FinalFacts> = {}) {
  const capture = new FakeCapture();
  const { one } = healthyNginx(capture); // 1,000 samples
  add(capture, one.thread);
  return analyze(buildProfile(capture.events({ final }))).filter((f) => f.rule === "foreign-bpf");
}

test("a kretprobe's program is named, with its share, owner, cost and what stops it", () => {
  const [finding, ...rest] = findings(
    (capture, thread) => {
      capture.cpu(thread, [...KRETPROBE, PROGRAM], { times: 200 });
      capture.cpu(thread, [...KRETPROBE, PROGRAM, k("htab_map_update_elem"), k("htab_lock_bucket")], {
        times: 700,
      });
      capture.cpu(thread, KRETPROBE.slice(0, -2), { times: 100 });
    },
    { otherPrograms: [other()] },
  );
  expect(rest).toEqual([]);
  expect(finding).toMatchObject({ severity: "critical", culprit: "tcp_sendmsg", tab: "cpu" });
  expect(finding!.title).toBe(
    'BPF program "tcp_sendmsg" (of bpftrace, pid 4242) takes 50.0 % of the busy CPU time',
  );
  expect(finding!.share).toBeCloseTo(0.5, 6);
  expect(finding!.detail).toContain("it ran some 2,000,000 times, 3.0 us a run (type kprobe, id 77)");
  expect(finding!.detail).toContain("31 runs were skipped");
  expect(finding!.contributors.map((c) => [c.name, Math.round(c.share * 100)])).toEqual([
    ["htab_map_update_elem", 35],
    ["the program itself", 10],
    ["arch_rethook_trampoline (the way to the program)", 5],
  ]);
  expect(finding!.next.map((step) => step.split("    #")[0])).toEqual([
    "bpftool prog show id 77",
    "ps -fp 4242",
    "systemctl status 4242",
    "kill 4242",
  ]);
});

test("the half of a kretprobe at the function's entry belongs to the program at its return", () => {
  const entry = [...SEND, k("ftrace_trampoline"), k("kprobe_ftrace_handler")];
  const run = (final: Partial<FinalFacts>, program: boolean) =>
    findings((capture, thread) => {
      capture.cpu(thread, [...entry, k("get_kprobe")], { times: 50 });
      capture.cpu(thread, [...entry, k("pre_handler_kretprobe"), k("rethook_try_get")], { times: 50 });
      if (program) capture.cpu(thread, [...KRETPROBE, PROGRAM], { times: 150 });
    }, final);
  const [finding, ...rest] = run({ otherPrograms: [other()] }, true);
  expect(rest).toEqual([]);
  expect(finding!.culprit).toBe("tcp_sendmsg");
  expect(finding!.share).toBeCloseTo(0.2, 6);
  expect(finding!.contributors.at(-1)!.name).toBe("ftrace_trampoline (the way to the program)");
  // without a program at the return it stays a probe of somebody's
  expect(run({}, false)[0]!.title).toMatch(/^Kernel probes /);
});

test.each([
  ["raw tracepoint", [k("__schedule"), k("__bpf_trace_sched_switch"), k("bpf_trace_run4")]],
  ["classic tracepoint", [k("perf_trace_sys_enter"), k("perf_trace_run_bpf_submit"), k("trace_call_bpf")]],
  ["fentry", [b("bpf_trampoline_6442510123")]],
  [
    "kprobe on ftrace",
    [k("ftrace_trampoline"), k("kprobe_ftrace_handler"), k("kprobe_perf_func"), k("trace_call_bpf")],
  ],
  ["optimized kprobe", [k("optimized_callback"), k("opt_pre_handler"), k("trace_call_bpf")]],
  ["before 5.18", [k("kretprobe_trampoline"), k("trampoline_handler"), k("kretprobe_dispatcher")]],
] as const)("a program on a %s is found", (_, way) => {
  const [finding] = findings((capture, thread) =>
    capture.cpu(thread, [...SEND, ...way, PROGRAM], { times: 250 }),
  );
  expect(finding).toMatchObject({ severity: "critical", culprit: "tcp_sendmsg" });
  expect(finding!.share).toBeCloseTo(0.2, 6);
});

test("on a classic tracepoint of system calls, what perf does around the program is the program's", () => {
  const way = [k("entry_SYSCALL_64_after_hwframe"), k("syscall_trace_enter"), k("perf_syscall_enter")];
  const [finding, ...rest] = findings(
    (capture, thread) => {
      capture.cpu(thread, [...way, k("perf_call_bpf_enter"), k("trace_call_bpf"), PROGRAM], { times: 100 });
      capture.cpu(thread, [...way, k("perf_trace_buf_alloc")], { times: 50 });
      capture.cpu(thread, [...way, k("perf_tp_event"), k("perf_swevent_event")], { times: 100 });
    },
    { otherPrograms: [other()] },
  );
  expect(rest).toEqual([]);
  expect(finding).toMatchObject({ severity: "critical", culprit: "tcp_sendmsg" });
  expect(finding!.share).toBeCloseTo(0.2, 6);
});

test("time is counted once, for the innermost program, however deep it runs into itself", () => {
  const inner = b("bpf_prog_1111111111111111_inner");
  const nested = [...KRETPROBE, PROGRAM, k("htab_map_update_elem"), ...KRETPROBE.slice(-6), inner];
  const found = findings(
    (capture, thread) => {
      capture.cpu(thread, nested, { times: 100 });
      capture.cpu(thread, [...nested, ...KRETPROBE.slice(-6), inner], { times: 100 });
    },
    {
      otherPrograms: [other(), other({ id: 78, name: "inner", tag: "1111111111111111" })].map((p) => ({
        ...p,
        ns: ns(0),
      })),
    },
  );
  expect(found.map((f) => [f.culprit, Math.round(f.share! * 1200)])).toEqual([["inner", 200]]);
});

test("functions and callbacks of a program count as the program", () => {
  const [finding, ...rest] = findings(
    (capture, thread) =>
      capture.cpu(thread, [...KRETPROBE, PROGRAM, b("bpf_prog_2222222222222222_hash")], { times: 90 }),
    { otherPrograms: [other()] },
  );
  expect([finding!.culprit, rest.length]).toEqual(["tcp_sendmsg", 0]);
});

test("the traced function itself is not charged to the probe around it", () => {
  const found = findings((capture, thread) => {
    capture.cpu(thread, [b("bpf_trampoline_6442510123"), k("tcp_recvmsg"), k("tcp_cleanup_rbuf")], {
      times: 300,
    });
    capture.cpu(thread, [k("kretprobe_trampoline"), k("inet_recvmsg")], { times: 300 });
    // An interrupt that comes in while the program runs does its own work.
    capture.cpu(thread, [...KRETPROBE, PROGRAM, k("asm_sysvec_apic_timer_interrupt"), k("net_rx_action")], {
      times: 300,
    });
  });
  expect(found).toEqual([]);
});

test("never about lowflame's own programs, their functions, or the raw tracepoints that lead to them", () => {
  const way = [...SEND, k("__bpf_trace_sched_switch"), k("bpf_trace_run4")];
  const found = findings(
    (capture, thread) => {
      capture.cpu(thread, way, { times: 200 });
      capture.cpu(thread, [...way, OWN], { times: 200 });
      capture.cpu(
        thread,
        [...way, OWN, b("bpf_prog_3333333333333333_walk_user_stack"), k("htab_map_lookup_elem")],
        {
          times: 200,
        },
      );
    },
    { otherPrograms: [other({ name: "lf_switch", tag: "00112233445566ff" })] },
  );
  expect(found).toEqual([]);
});

test("another program under the name of one of lowflame's is not lowflame's", () => {
  const [finding] = findings((capture, thread) =>
    capture.cpu(thread, [...SEND, b("bpf_prog_ffffffffffffffff_lf_switch")], { times: 100 }),
  );
  expect(finding).toMatchObject({ culprit: "lf_switch" });
});

test("a name that the kernel cut at 15 characters is the same program", () => {
  const [finding] = findings(
    (capture, thread) =>
      capture.cpu(thread, [...SEND, b(`bpf_prog_${TAG}_trace_tcp_retransmit_skb`)], { times: 100 }),
    { otherPrograms: [other({ name: "trace_tcp_retra" })] },
  );
  expect(finding!.next[0]).toBe("bpftool prog show id 77");
});

test("a probe without a program in sight is told as a probe", () => {
  const [finding] = findings((capture, thread) =>
    capture.cpu(thread, KRETPROBE.slice(0, -2), { times: 250 }),
  );
  expect(finding).toMatchObject({ severity: "critical" });
  expect(finding!.title).toContain("Kernel probes (kprobe, uprobe, ftrace or tracepoint) take 20.0 %");
  expect(finding!.next).toContain("bpftool perf show");
});

test("a program that no stack shows is named by the kernel's statistics from 0.5 % of a CPU on", () => {
  const [finding, ...rest] = findings(() => {}, {
    otherPrograms: [
      other({ ns: ns(80e6) }),
      other({ id: 5, name: "quiet", tag: "5".repeat(16), ns: ns(40e6) }),
    ],
  });
  expect(rest).toEqual([]);
  expect(finding).toMatchObject({ severity: "info", culprit: "tcp_sendmsg" });
  expect(finding!.title).toContain("0.8 % of one CPU");
});

test("pid 1 is never to be killed, and a pinned program without an owner has steps too", () => {
  for (const owners of [[{ pid: 1, comm: "systemd" }], []]) {
    const [finding] = findings((capture, thread) => capture.cpu(thread, [...SEND, PROGRAM], { times: 100 }), {
      otherPrograms: [other({ owners })],
    });
    expect(finding!.next.join("\n")).not.toContain("kill");
    expect(finding!.next.join("\n")).toContain("bpftool link show");
  }
});

test("hostile program and process names stay on one line and out of the commands", () => {
  for (const name of HOSTILE_NAMES) {
    const [finding] = findings(
      (capture, thread) => capture.cpu(thread, [...SEND, b(`bpf_prog_${TAG}_${name}`)], { times: 100 }),
      {
        otherPrograms: [other({ name, owners: [{ pid: 7, comm: `$(reboot)\n${name}` }] })],
      },
    );
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that none is left is what is tested.
    expect(finding!.title).not.toMatch(/[\u0000-\u001f]/);
    expect(finding!.title.length).toBeLessThan(400);
    expect(finding!.next.join()).not.toContain("reboot");
    expect(finding!.next[0]).toBe("bpftool prog show id 77");
  }
});
