// User locks of a made-up server, for the tests of the report and for looking at it: a contended mutex whose owner writes
// to a disk, the allocator's lock, and an idle thread pool that waits for work.
import type { LockTotal } from "../../../src/capture/binding.js";
import { bucketBounds } from "../../../src/model/histogram.js";
import { ns } from "../../../src/model/units.js";
import { type FakeCapture, type FakeFrame, k, u } from "./fake-capture.js";
import { total } from "./lock-totals.js";

export const LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6";
const SERVER = "/usr/sbin/ledgerd";
export const FUTEX_SYSCALL = 202;

const libc = (name: string): FakeFrame => u(name, LIBC);
const server = (name: string): FakeFrame => u(name, SERVER);
/** How a thread of the server begins, and how every wait for a futex ends. */
export const THREAD = [libc("clone3"), libc("start_thread")];
export const FUTEX_WAIT = [
  k("entry_SYSCALL_64_after_hwframe"),
  k("do_syscall_64"),
  k("__x64_sys_futex"),
  k("do_futex"),
  k("futex_wait"),
];
/** Asks for a mutex of glibc, for a condition variable of it. */
export const MUTEX = [libc("pthread_mutex_lock@@GLIBC_2.2.5"), libc("__lll_lock_wait"), ...FUTEX_WAIT];
export const CONDITION = [
  libc("pthread_cond_wait@@GLIBC_2.3.2"),
  libc("__futex_abstimed_wait_common"),
  ...FUTEX_WAIT,
];

/** Adds processes, locks and waits. Returns the exact totals. */
export function addFutexes(
  capture: FakeCapture,
  hostile?: { readonly process: string; readonly lock: string },
) {
  const totals: LockTotal[] = [];
  const { process, thread } = capture.process(7100, "ledgerd");
  const workers = [1, 2, 3, 4, 5].map((n) => capture.thread(process, 7100 + n, `worker-${n}`));
  const flusher = capture.thread(process, 7110, "flusher");
  const run = [...THREAD, server("Worker::run()"), server("Ledger::append(Entry const&)")];
  const ledger = capture.lock({
    kind: "user lock",
    address: 0x7f3c14001a40n,
    name: "futex 0x7f3c14001a40 of ledgerd (pid 7100)",
  });
  const fsync = [
    ...THREAD,
    server("Ledger::flush()"),
    k("do_syscall_64"),
    k("__x64_sys_fdatasync"),
    k("jbd2_log_wait_commit"),
  ];
  // Six flushes of 200 ms, for which all workers wait but the one that asked for it.
  for (let flush = 0; flush < 6; flush++)
    for (const [n, worker] of workers.entries()) {
      if (n === flush % 5) continue;
      const wait = { lock: ledger, durationNs: 180e6, at: 1e9 + flush * 1e9 + n * 1e6 };
      capture.futex(worker, [...run, ...MUTEX], { ...wait, syscall: FUTEX_SYSCALL });
      capture.futexOwners(flusher, fsync, { ...wait, syscall: 75, state: "uninterruptible" });
    }
  const buckets = new Array<number>(56).fill(0);
  Object.assign(buckets, { 22: 40, 30: 300, 35: 30 });
  const sumNs = buckets.reduce((sum, waits, bucket) => sum + waits * bucketBounds(bucket).low, 0);
  totals.push({
    ...{ lock: ledger, process, count: 370, sumNs: ns(sumNs), maxNs: ns(181e6), timeouts: 2, buckets },
  });
  const arena = capture.lock({
    kind: "user lock",
    address: 0x7f3c20000030n,
    name: "futex 0x7f3c20000030 of ledgerd (pid 7100)",
  });
  const allocate = [...run, libc("malloc"), libc("__lll_lock_wait_private"), ...FUTEX_WAIT];
  for (const worker of workers.slice(0, 2))
    capture.futex(worker, allocate, { lock: arena, durationNs: 1e5, weightNs: 1e6, times: 2 });
  totals.push(total(arena, process, 900, 24e3));
  const config = capture.lock({
    kind: "user lock, priority inheritance",
    address: 0x55d01b2c4080n,
    name: "futex 0x55d01b2c4080 of ledgerd (pid 7100)",
  });
  totals.push(total(config, process, 3, 40e3));
  // Sixteen threads of a pool, asleep for the whole recording but for a moment: 150 s of waiting, and no contention.
  const pool = capture.lock({
    kind: "user condition or idle wait",
    address: 0x7f3c14002028n,
    name: "futex 0x7f3c14002028 of ledgerd (pid 7100)",
  });
  for (let n = 0; n < 16; n++) {
    const idle = capture.thread(process, 7200 + n, `pool-${n}`);
    for (const at of [4.8e9, 9.8e9])
      capture.futex(idle, [...THREAD, server("Pool::wait()"), ...CONDITION], {
        ...{ lock: pool, syscall: FUTEX_SYSCALL, durationNs: 4.7e9, at },
      });
  }
  totals.push(total(pool, process, 32, 4.7e9));
  const timer = capture.lock({
    kind: "user condition or idle wait",
    address: 0x7f3c14002100n,
    name: "futex 0x7f3c14002100 of ledgerd (pid 7100)",
  });
  for (let second = 1; second < 10; second++)
    capture.futex(thread, [server("main"), server("Timer::loop()"), ...CONDITION], {
      ...{ lock: timer, syscall: FUTEX_SYSCALL, durationNs: 1e9, at: second * 1e9 },
    });
  totals.push(total(timer, process, 9, 1e9, 9));
  if (hostile !== undefined) {
    const evil = capture.process(668, hostile.process);
    const lock = capture.lock({ kind: "user lock", address: 0x1000n, name: hostile.lock });
    const wanted = [server("main"), server(hostile.lock), ...MUTEX];
    capture.futex(evil.thread, wanted, { lock, durationNs: 50e6, times: 3 });
    capture.futexOwners(evil.thread, [server(hostile.lock)], { lock, durationNs: 50e6 });
    totals.push(total(lock, evil.process, 9, 60e6));
  }
  return totals;
}
