// A recording of a busy proxy, made up: for the tests of the report and for looking at it. Names are real ones.
import type { Finding } from "../../src/analysis/finding.js";
import {
  type LockTotal,
  OFFCPU_STATES,
  RUNQUEUE_BUCKETS,
  type SourceName,
} from "../../src/capture/binding.js";
import type { ReportDocument } from "../../src/export/html/document.js";
import { toDocument } from "../../src/export/html/from-profile.js";
import { bucketBounds } from "../../src/model/histogram.js";
import type { Profile } from "../../src/model/profile.js";
import { ns, ratio } from "../../src/model/units.js";
import { buildProfile } from "./helpers/build-profile.js";
import { b, FakeCapture, type FakeFrame, fakeFinal, j, k, u } from "./helpers/fake-capture.js";
import { addFutexes } from "./helpers/futex-example.js";
import { addSockets } from "./helpers/socket-example.js";

export const HOSTILE = {
  process: "<script>alert(1)</script>",
  image: '<img src=x onerror="alert(2)">',
  quotes: "a`b'c\"d & </script><!--",
  rightToLeft: "safe\u202egnp.exe",
  broken: "caf\ufffd\ufffd",
  lock: '<img src=x onerror="alert(3)">\u202e',
  long: `std::map<${"std::basic_string<char>, ".repeat(160)}int>::find(int const&)`,
} as const;

const entry = [k("entry_SYSCALL_64_after_hwframe"), k("do_syscall_64")];
const worker = [u("_start"), u("main"), u("ngx_master_process_cycle"), u("ngx_worker_process_cycle")];
const events = [...worker, u("ngx_process_events_and_timers"), u("ngx_epoll_process_events")];
const upstream = [...events, u("ngx_http_upstream_handler"), u("ngx_http_upstream_process_upstream")];
const tcpSend = [k("__x64_sys_writev"), k("vfs_writev"), k("sock_write_iter"), k("tcp_sendmsg")];
const transmit = [k("tcp_write_xmit"), k("__tcp_transmit_skb"), k("ip_queue_xmit"), k("__dev_queue_xmit")];
const hog = b("bpf_prog_6deef7357e7b4530_count_calls");

/** Stacks of nginx on the CPU, with samples. */
const NGINX: readonly (readonly [readonly FakeFrame[], number])[] = [
  [[...events, ...entry, k("__x64_sys_epoll_wait"), k("do_epoll_wait")], 140],
  [[...upstream, u("ngx_unix_send"), ...entry, ...tcpSend, k("tcp_push"), ...transmit], 310],
  [
    [...upstream, u("ngx_unix_send"), ...entry, ...tcpSend, k("lock_sock_nested"), k("_raw_spin_lock_bh")],
    60,
  ],
  [
    [
      ...upstream,
      u("ngx_unix_send"),
      ...entry,
      ...tcpSend,
      k("lock_sock_nested"),
      k("_raw_spin_lock_bh"),
      k("native_queued_spin_lock_slowpath"),
    ],
    420,
  ],
  [[...upstream, u("ngx_http_parse_header_line")], 150],
  [[...upstream, u("memcpy", "/usr/lib/x86_64-linux-gnu/libc.so.6")], 60],
  [
    [
      ...events,
      u("ngx_http_wait_request_handler"),
      u("ngx_http_process_request_line"),
      u("ngx_http_parse_request_line"),
    ],
    120,
  ],
  [[...events, ...entry, k("trace_sys_enter"), k("bpf_trace_run2"), hog], 260],
  [
    [
      ...events,
      ...entry,
      k("trace_sys_enter"),
      k("bpf_trace_run2"),
      hog,
      k("htab_map_update_elem"),
      k("_raw_spin_lock_irqsave"),
      k("native_queued_spin_lock_slowpath"),
    ],
    180,
  ],
];

const FINDINGS: readonly Finding[] = [
  {
    rule: "foreign-bpf",
    severity: "warning",
    title: "22 % of busy CPU time is spent in the BPF program count_calls of bpftrace",
    detail:
      "A BPF program of another tool runs on every system call and takes 22 % of the time that this machine's CPUs are busy. lowflame did not load it.",
    share: ratio(0.22),
    culprit: "count_calls",
    contributors: [
      { name: "nginx", share: ratio(0.21) },
      { name: "haproxy", share: ratio(0.01) },
    ],
    next: ["sudo bpftool prog show id 6121 --pretty", "kill 4211"],
    tab: "cpu",
    search: "count_calls",
  },
  {
    rule: "spinlock-share",
    severity: "critical",
    title: "30 % of busy CPU time is spent waiting for kernel spin locks",
    detail:
      "CPUs turn in the slow path of spin locks instead of working. More workers would make it worse. The callers below make up the time.",
    share: ratio(0.3),
    contributors: [
      { name: "lock_sock_nested", share: ratio(0.21) },
      { name: "htab_map_update_elem", share: ratio(0.09) },
    ],
    next: ["lowflame record --what cpu -d 30s --comm nginx"],
    tab: "cpu",
    search: "native_queued_spin_lock_slowpath",
  },
  {
    rule: "page-faults",
    severity: "info",
    title: "1.2 % of busy CPU time is spent in page faults",
    detail: "Nothing to worry about at this share.",
    share: ratio(0.012),
    contributors: [],
    next: [],
  },
];

export interface ExampleOptions {
  readonly hostile?: boolean;
  readonly workers?: number;
  /** With kernel locks, recorded and waited for. */
  readonly locks?: boolean;
  /** The same of user locks. */
  readonly futex?: boolean;
  /** With socket calls: a proxy with a slow upstream. */
  readonly sockets?: boolean;
}

/**
 * Kernel locks: 1,000 short waits for a spin lock whose owner nobody knows, and few long ones for the memory map of
 * nginx while a worker faults pages in. Returns the exact totals.
 */
function addLocks(capture: FakeCapture, hostile: boolean): LockTotal[] {
  const totals: LockTotal[] = [];
  const first = capture.process(4100, "nginx");
  const second = capture.process(4101, "nginx");
  const holder = capture.process(4200, "php-fpm");
  const total = (lock: number, process: number, waits: Readonly<Record<number, number>>, maxNs: number) => {
    const buckets = Array.from({ length: RUNQUEUE_BUCKETS }, (_, index) => waits[index] ?? 0);
    const count = buckets.reduce((sum, waits) => sum + waits, 0);
    const sumNs = buckets.reduce((sum, waits, index) => sum + waits * bucketBounds(index).low, 0);
    totals.push({ lock, process, count, sumNs: ns(sumNs), maxNs: ns(maxNs), timeouts: 0, buckets });
  };
  const tasks = capture.lock({ kind: "spin lock", address: 0xffffffff82a0b040n, name: "tasklist_lock" });
  const fork = [
    u("main"),
    ...entry,
    k("__x64_sys_clone"),
    k("copy_process"),
    k("queued_write_lock_slowpath"),
  ];
  for (const { process, thread } of [first, second]) {
    total(tasks, process, { 1: 300, 2: 150, 5: 50 }, 7_000);
    capture.locks(thread, fork, { lock: tasks, durationNs: 2_000, weightNs: 100_000, times: 11 });
  }
  const map = capture.lock({ kind: "rwsem, write", name: "mmap_lock of nginx (pid 4100)" });
  const fault = [u("main"), k("asm_exc_page_fault"), k("lock_mm_and_find_vma"), k("down_read_killable")];
  total(map, first.process, { 20: 40, 24: 3 }, 6_000_000);
  capture.locks(first.thread, fault, { lock: map, durationNs: 4e6, times: 9 });
  const mmap = [u("php_execute"), ...entry, k("__x64_sys_munmap"), k("unmap_region"), k("zap_pte_range")];
  capture.lockOwners(holder.thread, mmap, { lock: map, durationNs: 4e6, times: 9 });
  if (hostile) {
    const evil = capture.lock({ kind: "mutex", name: HOSTILE.lock });
    total(evil, capture.process(667, HOSTILE.image).process, { 30: 9 }, 60e6);
    capture.locks(first.thread, fault, { lock: evil, durationNs: 50e6, times: 2 });
    capture.lockOwners(holder.thread, [k(HOSTILE.lock)], { lock: evil, durationNs: 50e6 });
  }
  return totals;
}

/** The recording as a profile. */
export function exampleProfile(options: ExampleOptions = {}): Profile {
  const capture = new FakeCapture();
  const workers = options.workers ?? 4;
  for (let index = 0; index < workers; index++) {
    const { thread } = capture.process(4000 + index, "nginx");
    for (const [stack, samples] of NGINX)
      capture.cpu(thread, stack, { times: Math.round((samples * (index + 2)) / 8) });
    const sleep = [
      ...events,
      ...entry,
      k("__x64_sys_epoll_wait"),
      k("do_epoll_wait"),
      k("ep_poll"),
      k("schedule"),
    ];
    capture.offcpu(thread, sleep, { times: 40, durationNs: 90e6, weightNs: 90e6, syscall: 232 });
    capture.offcpu(thread, [...upstream, ...entry, k("schedule")], {
      times: 12,
      durationNs: 2e6,
      weightNs: 3e6,
      state: "preempted",
    });
    capture.offcpu(
      thread,
      [...upstream, ...entry, k("__x64_sys_pread64"), k("folio_wait_bit_common"), k("io_schedule")],
      { times: 9, durationNs: 21e6, weightNs: 21e6, state: "uninterruptible", syscall: 17 },
    );
  }
  const node = capture.process(5000, "node");
  const libuv = [
    u("_start", "/usr/bin/node"),
    u("uv_run", "/usr/bin/node"),
    u("uv__io_poll", "/usr/bin/node"),
  ];
  capture.cpu(node.thread, [...libuv, j("LazyCompile:*parse /srv/app/router.js:18:9")], { times: 210 });
  capture.cpu(
    node.thread,
    [
      ...libuv,
      j("LazyCompile:~render /srv/app/view.js:7:1"),
      u("node::Buffer::Copy(v8::FunctionCallbackInfo<v8::Value> const&)", "/usr/bin/node"),
    ],
    { times: 44 },
  );
  const recursion = Array.from({ length: 320 }, (_, depth) =>
    j(`LazyCompile:*walk /srv/app/tree.js:${depth % 3}:1`),
  );
  capture.cpu(node.thread, [...libuv, ...recursion], { times: 25 });
  const self = capture.process(6000, "lowflame", { self: true });
  capture.cpu(self.thread, [u("main", "/usr/bin/node"), ...entry, k("perf_poll")], { times: 7 });
  const kworker = capture.process(77, "kworker/0:1", { kernelThread: true });
  const idle = [k("ret_from_fork"), k("kthread"), k("worker_thread"), k("schedule")];
  capture.offcpu(kworker.thread, idle, { times: 30, durationNs: 3e8, weightNs: 3e8, state: "idle" });
  const ksoftirqd = capture.process(15, "ksoftirqd/0", { kernelThread: true });
  capture.offcpu(
    ksoftirqd.thread,
    [k("ret_from_fork"), k("kthread"), k("smpboot_thread_fn"), k("schedule")],
    { times: 30, durationNs: 3e8, weightNs: 3e8 },
  );
  if (options.hostile) {
    const hostile = capture.process(666, HOSTILE.process);
    const frames = [
      HOSTILE.image,
      HOSTILE.quotes,
      HOSTILE.rightToLeft,
      HOSTILE.broken,
      "__proto__",
      "constructor",
      HOSTILE.long,
    ];
    capture.cpu(
      hostile.thread,
      frames.map((name) => u(name, "/tmp/<b>evil</b>")),
      { times: 900 },
    );
    capture.offcpu(
      hostile.thread,
      frames.map((name) => u(name)),
      { times: 9 },
    );
  }
  const buckets = new Array<number>(RUNQUEUE_BUCKETS).fill(0);
  buckets[3] = 900;
  buckets[12] = 90;
  buckets[20] = 10;
  const lockTotals = [
    ...(options.locks ? addLocks(capture, options.hostile ?? false) : []),
    ...(options.futex ? addFutexes(capture, options.hostile ? HOSTILE : undefined) : []),
  ];
  const sockets = options.sockets ? addSockets(capture, options.hostile ? HOSTILE : undefined) : {};
  const final = fakeFinal({
    ...sockets,
    losses: [
      {
        id: "cpu.ring_full",
        count: 0,
        meaning: "samples lost because a ring was full; record with a lower -F",
      },
      {
        id: "stack.user_unreadable",
        count: 37,
        meaning: "user stacks that could not be read; their samples count, but show kernel frames only",
      },
      { id: "perf.throttled", count: 0, meaning: "the kernel slowed sampling down" },
    ],
    cost: {
      ...fakeFinal().cost,
      programs: [
        { name: "lf_cpu_user", runs: 4021, ns: ns(9.1e6) },
        { name: "lf_switch", runs: 91_022, ns: ns(14.2e6) },
      ],
    },
    cpuTimesStart: [0, 1].map((cpu) => ({
      cpu,
      user: 0,
      nice: 0,
      system: 0,
      idle: 0,
      iowait: 0,
      irq: 0,
      softirq: 0,
      steal: 0,
    })),
    cpuTimesEnd: [0, 1].map((cpu) => ({
      cpu,
      user: 4e9,
      nice: 0,
      system: 5e9,
      idle: 5e8,
      iowait: 1e8,
      irq: 0,
      softirq: 3e8,
      steal: 1e8,
    })),
    samplesPerCpu: [0, 1].map((cpu) => ({ cpu, expected: 990, received: 989 - cpu, idle: 50 })),
    offcpuTotals: [
      {
        process: 1,
        state: OFFCPU_STATES.indexOf("interruptible"),
        count: 4100,
        sumNs: ns(3.7e9),
        maxNs: ns(9e7),
      },
      {
        process: 2,
        state: OFFCPU_STATES.indexOf("uninterruptible"),
        count: 12,
        sumNs: ns(2.1e8),
        maxNs: ns(4e7),
      },
      {
        process: -1,
        state: OFFCPU_STATES.indexOf("interruptible"),
        count: 3,
        sumNs: ns(1e6),
        maxNs: ns(5e5),
      },
    ],
    lockTotals,
    runQueue: [{ process: 1, count: 1000, sumNs: ns(31e6), maxNs: ns(1.9e6), buckets }],
    otherPrograms: [
      {
        id: 6121,
        name: "count_calls",
        tag: "6deef7357e7b4530",
        type: "tracing",
        runs: 812_222,
        ns: ns(4.1e9),
        recursionMisses: 3,
        owners: [{ pid: 4211, comm: "bpftrace" }],
      },
    ],
  });
  const sources: SourceName[] = ["cpu", "offcpu"];
  if (options.locks) sources.push("locks");
  if (options.futex) sources.push("futex");
  if (options.sockets) sources.push("sockets");
  return buildProfile(capture.events({ final, facts: { sources } }));
}

/** The recording as a report document, with findings. */
export function exampleDocument(options: ExampleOptions = {}): ReportDocument {
  return toDocument(exampleProfile(options), FINDINGS);
}
