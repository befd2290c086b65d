// What is said of each kernel lock: exact totals, who wanted it, who held it, and how sure the samples are.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { lockGroups } from "../../src/analysis/lock-groups.js";
import { lockSummaries, notSelf } from "../../src/analysis/lock-summary.js";
import { digestLocks } from "../../src/cli/digest-locks.js";
import { buildProfile } from "./helpers/build-profile.js";
import { b, FakeCapture, type FakeFrame, k } from "./helpers/fake-capture.js";
import { facts, MAP, profileOf, RWSEM, total } from "./helpers/lock-totals.js";
import { SEND } from "./helpers/proxy-load.js";

describe("the summary of a lock", () => {
  test("has the kernel's exact totals, summed over processes, whatever was sampled", () => {
    const capture = new FakeCapture();
    const one = capture.process(80, "nginx");
    const two = capture.process(81, "nginx");
    const tasks = capture.lock({ kind: "rwlock, read", name: "tasklist_lock" });
    const pipe = capture.lock();
    capture.locks(one.thread, MAP, { lock: tasks, durationNs: 1e6, weightNs: 9e9 });
    const summaries = lockSummaries(
      profileOf(capture, [
        total(pipe, one.process, 10, 2e6),
        total(tasks, one.process, 99, 10e3),
        total(tasks, two.process, 1, 30e6),
      ]),
    );
    expect(summaries).toHaveLength(2);
    expect(summaries[0]).toMatchObject({
      name: "tasklist_lock",
      kind: "rwlock, read",
      count: 100,
      sumNs: 99 * 10e3 + 30e6,
      maxNs: 30e6,
      waiters: [
        { process: two.process, count: 1, sumNs: 30e6 },
        { process: one.process, count: 99, sumNs: 99 * 10e3 },
      ],
    });
    expect(summaries[1]).toMatchObject({ lock: pipe, kind: "mutex", count: 10, sumNs: 20e6, samples: 0 });
  });

  test("has percentiles from the histogram of all processes", () => {
    const capture = new FakeCapture();
    const { process } = capture.process(80, "nginx");
    const lock = capture.lock();
    const [row] = lockSummaries(
      profileOf(capture, [total(lock, process, 98, 10e3), total(lock, -1, 2, 5e6)]),
    );
    expect(row!.p50Ns).toBeGreaterThanOrEqual(8192);
    expect(row!.p50Ns).toBeLessThan(12_288);
    expect(row!.p99Ns).toBeGreaterThan(4e6);
    expect(row!.p99Ns).toBeLessThanOrEqual(5e6);
    expect(row!.buckets.reduce((sum, count) => sum + count, 0)).toBe(100);
  });

  test.each<[string, readonly FakeFrame[]]>([
    ["a writer of an rwsem", [...RWSEM, k("schedule_preempt_disabled"), k("schedule"), k("__schedule")]],
    [
      "a mutex, at the tracepoint and in lowflame's own program",
      [
        k("mutex_lock"),
        k("__mutex_lock.constprop.0"),
        k("__traceiter_contention_begin"),
        k("__bpf_trace_contention_begin"),
        k("bpf_trace_run2"),
        b("bpf_prog_0011223344556677_lf_lock_begin"),
      ],
    ],
    ["a spin lock", [k("_raw_spin_lock_irqsave"), k("native_queued_spin_lock_slowpath")]],
    ["a paravirtual spin lock", [k("_raw_spin_lock"), k("__pv_queued_spin_lock_slowpath")]],
    ["a per-CPU rwsem", [k("percpu_down_write"), k("percpu_rwsem_wait"), k("schedule")]],
    [
      "a trampoline",
      [k("mutex_lock"), b("bpf_trampoline_6442491188"), b("bpf_prog_00112233445566ff_lf_switch")],
    ],
  ])("names who wants the lock, past the text of %s", (_, text) => {
    const capture = new FakeCapture();
    const { process, thread } = capture.process(80, "app");
    const lock = capture.lock();
    capture.locks(thread, [...MAP, ...text], { lock, times: 3 });
    capture.locks(thread, [...SEND, ...text], { lock });
    const [row] = lockSummaries(profileOf(capture, [total(lock, process, 4, 1e6)]));
    expect(row!.callers).toEqual([
      { name: "ksys_mmap_pgoff", share: 0.75 },
      { name: "tcp_sendmsg", share: 0.25 },
    ]);
    expect(row!.samples).toBe(4);
    expect(row!.name).toBe("mutex in ksys_mmap_pgoff");
  });

  test("says [unknown] where all of the stack is lock text, and the address where no stack was sampled", () => {
    const capture = new FakeCapture();
    const { process, thread } = capture.process(80, "app");
    const seen = capture.lock({ kind: "rwsem, write" });
    const unseen = capture.lock({ kind: "spin lock", address: 0xffff_8881_dead_be00n });
    capture.locks(thread, RWSEM, { lock: seen });
    const rows = lockSummaries(
      profileOf(capture, [total(seen, process, 9, 1e6), total(unseen, process, 1, 1e6)]),
    );
    expect(rows.map(({ name }) => name)).toEqual(["rwsem in [unknown]", "spin lock at 0xffff8881deadbe00"]);
  });

  test("says that the address is not known of what was waited for since before the recording, by caller", () => {
    const capture = new FakeCapture();
    const { process, thread } = capture.process(80, "app");
    const unknown = { address: 0n, name: "address not known" };
    const [pipe, file, unseen] = [
      capture.lock(unknown),
      capture.lock({ ...unknown, kind: "rwsem, write" }),
      capture.lock({ ...unknown, kind: "percpu rwsem, read" }),
    ];
    capture.locks(thread, [k("pipe_write"), k("__mutex_lock.constprop.0")], { lock: pipe });
    capture.locks(thread, [k("shmem_file_write_iter"), k("rwsem_down_write_slowpath")], { lock: file });
    const profile = profileOf(
      capture,
      [pipe, file, unseen].map((lock, i) => total(lock!, process, 1, (3 - i) * 1e9)),
    );
    const rows = lockSummaries(profile);
    const names = [
      "mutex in pipe_write, address not known",
      "rwsem in shmem_file_write_iter, address not known",
      "percpu rwsem, address not known",
    ];
    expect(rows.map(({ name }) => name)).toEqual(names);
    // locks that only have in common that nobody knows them are not one
    expect(lockGroups(profile, rows).map(({ name }) => name)).toEqual(names);
    expect(digestLocks(profile, 9)!.locks.map(({ address }) => address)).toEqual([null, null, null]);
  });

  const PROGRAM = [...SEND, k("trace_call_bpf"), b("bpf_prog_6deef7357e7b4530_count_calls")];
  test.each([
    ["htab_map_update_elem", "bucket lock of a BPF hash map (program count_calls)"],
    ["__htab_map_lookup_and_delete_elem", "bucket lock of a BPF hash map (program count_calls)"],
    ["__pcpu_freelist_pop", "free-list lock of a BPF map (program count_calls)"],
    ["bpf_lru_pop_free", "free-list lock of a BPF map (program count_calls)"],
  ])("below %s of a BPF program it is a lock of its map", (operation, name) => {
    for (const known of ["", "in a kmalloc-cg-64 object"]) {
      const capture = new FakeCapture();
      const { process, thread } = capture.process(80, "app");
      const lock = capture.lock({ kind: "spin lock", name: known });
      capture.locks(
        thread,
        [
          ...PROGRAM,
          k(operation),
          k("htab_lock_bucket"),
          k("_raw_spin_lock"),
          k("native_queued_spin_lock_slowpath"),
        ],
        { lock },
      );
      const [row] = lockSummaries(profileOf(capture, [total(lock, process, 4, 1e6)]));
      expect(row).toMatchObject({ name, bpfProgram: "count_calls" });
    }
  });

  test("outside a BPF program the same functions make no map lock, and a slab cache tells what it lies in", () => {
    const capture = new FakeCapture();
    const { process, thread } = capture.process(80, "bpftool");
    const lock = capture.lock({ kind: "spin lock", name: "in a filp object" });
    capture.locks(thread, [...SEND, k("htab_map_update_elem"), k("_raw_spin_lock")], { lock });
    const [row] = lockSummaries(profileOf(capture, [total(lock, process, 4, 1e6)]));
    expect(row!.name).toBe("spin lock in a filp object");
    expect(row!.bpfProgram).toBeUndefined();
  });

  test("a cache that any part of the kernel allocates from tells nothing: who wants such a lock does", () => {
    const name = (stack: readonly FakeFrame[], object = "in a kmalloc-cg-192 object") => {
      const capture = new FakeCapture();
      const { process, thread } = capture.process(80, "app");
      const lock = capture.lock({ kind: "mutex", name: object });
      capture.locks(thread, stack, { lock });
      return lockSummaries(profileOf(capture, [total(lock, process, 4, 1e6)]))[0]!.name;
    };
    expect(name([...SEND, k("anon_pipe_write"), k("mutex_lock"), k("__mutex_lock.constprop.0")])).toBe(
      "mutex in anon_pipe_write (kmalloc-cg-192)",
    );
    expect(name([k("mutex_lock")])).toBe("mutex in a kmalloc-cg-192 object");
    const lruvec = [...SEND, k("folio_lruvec_lock_irqsave"), k("_raw_spin_lock_irqsave")];
    expect(name(lruvec, "in a mem_cgroup_per_node or pool_workqueue object")).toBe(
      "mutex in folio_lruvec_lock_irqsave (mem_cgroup_per_node or pool_workqueue)",
    );
    expect(name(lruvec, "in a 192-byte object")).toBe("mutex in folio_lruvec_lock_irqsave (192-byte)");
    expect(name(lruvec, "in a task_struct object")).toBe("mutex in a task_struct object");
  });

  test("tells who held it, as a share of the sampled waiting: of the rest the owner could not be read", () => {
    const capture = new FakeCapture();
    const app = capture.process(80, "app");
    const worker = capture.thread(app.process, 83, "worker-3");
    const lock = capture.lock();
    const waiter = capture.thread(app.process, 84, "worker-4");
    capture.locks(waiter, MAP, { lock, times: 10 });
    capture.lockOwners(worker, [...MAP, k("do_mmap")], { lock, times: 6 });
    capture.lockOwners(app.thread, MAP, { lock, times: 2 });
    const [row] = lockSummaries(profileOf(capture, [total(lock, app.process, 10, 10e6)]));
    expect(row!.owners).toEqual([
      { name: "worker-3 (thread 83 of app)", share: 0.6 },
      { name: "app (pid 80)", share: 0.2 },
    ]);
  });

  test("knows how sure its samples are: 1.96 standard deviations over the sum", () => {
    const capture = new FakeCapture();
    const { process, thread } = capture.process(80, "app");
    const lock = capture.lock();
    // Four waits of 1 ms that stand for ten each: variance 4 * 10 ms * 9 ms, sum 40 ms.
    capture.locks(thread, MAP, { lock, times: 4, durationNs: 1e6, weightNs: 10e6 });
    const [row] = lockSummaries(profileOf(capture, [total(lock, process, 40, 1e6)]));
    expect(row!.relativeError).toBeCloseTo((1.96 * Math.sqrt(4 * 10 * 9)) / 40, 6);
    // A wait that stands for itself alone is certain.
    const certain = new FakeCapture();
    const app = certain.process(80, "app");
    const mutex = certain.lock();
    certain.locks(app.thread, MAP, { lock: mutex });
    const [sure] = lockSummaries(profileOf(certain, [total(mutex, app.process, 1, 10e6)]));
    expect(sure!.relativeError).toBe(0);
    // Without a sample nothing is known of it.
    const unseen = new FakeCapture();
    const other = unseen.process(80, "app");
    const [unsure] = lockSummaries(profileOf(unseen, [total(unseen.lock(), other.process, 40, 1e6)]));
    expect(unsure!.samples).toBe(0);
    expect(unsure!.relativeError).toBeNull();
  });

  test("of a cut capture is estimated from the samples", () => {
    const capture = new FakeCapture();
    const { process, thread } = capture.process(80, "app");
    const lock = capture.lock({ name: "rtnl_mutex" });
    capture.locks(thread, MAP, { lock, times: 4, durationNs: 1e6, weightNs: 10e6 });
    const [row] = lockSummaries(buildProfile(capture.events({ facts }).slice(0, -1)));
    expect(row).toMatchObject({
      name: "rtnl_mutex",
      count: 40,
      sumNs: 40e6,
      maxNs: 1e6,
      p99Ns: 0,
      samples: 4,
      waiters: [{ process, count: 40, sumNs: 40e6 }],
    });
  });

  test("gathers locks without a row, and ids that were never sent, under one heading", () => {
    const capture = new FakeCapture();
    const { process, thread } = capture.process(80, "app");
    capture.locks(thread, MAP, { lock: 4_000_000_000 });
    capture.lockOwners(thread, MAP, { lock: 77 });
    const profile = profileOf(capture, [
      total(-1, process, 3, 1e6),
      total(99, 12345, 2, 1e6),
      total(Number.NaN, -1, 1, 1e6),
    ]);
    const [row, ...rest] = lockSummaries(profile);
    expect(rest).toEqual([]);
    expect(row).toMatchObject({ lock: -1, count: 6, samples: 1 });
    expect(row!.name).not.toBe("");
    expect(() => analyze(profile)).not.toThrow();
  });

  test("without lowflame's own waits when they are not asked for", () => {
    const capture = new FakeCapture();
    const own = capture.process(99, "lowflame", { self: true });
    const lock = capture.lock();
    capture.locks(own.thread, MAP, { lock });
    const profile = profileOf(capture, [total(lock, own.process, 4, 1e9)]);
    expect(lockSummaries(profile)).toHaveLength(1);
    expect(lockSummaries(profile, "locks", notSelf(profile))).toEqual([]);
  });

  test("of a lock that lowflame waits for, too, has only the others' waits, callers and owners", () => {
    const capture = new FakeCapture();
    const app = capture.process(80, "app");
    const own = capture.process(99, "lowflame", { self: true });
    const lock = capture.lock();
    capture.locks(app.thread, MAP, { lock });
    capture.locks(own.thread, SEND, { lock, times: 5 });
    capture.lockOwners(own.thread, SEND, { lock });
    const profile = profileOf(capture, [total(lock, app.process, 1, 1e6), total(lock, own.process, 5, 9e6)]);
    expect(lockSummaries(profile, "locks", notSelf(profile))).toMatchObject([
      {
        count: 1,
        sumNs: 1e6,
        maxNs: 1e6,
        samples: 1,
        waiters: [{ process: app.process }],
        callers: [{ name: "ksys_mmap_pgoff", share: 1 }],
        owners: [],
      },
    ]);
  });
});
