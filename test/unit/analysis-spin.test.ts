// Spinning: slow paths by all their names, who wants the lock, and the locks of BPF maps that the timer cannot see into.
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { Finding } from "../../src/analysis/finding.js";
import { buildProfile } from "./helpers/build-profile.js";
import { b, FakeCapture, type FakeFrame, k, u } from "./helpers/fake-capture.js";
import { healthyNginx, OPEN, SEND } from "./helpers/proxy-load.js";

function find(rule: string, add: (capture: FakeCapture, thread: number) => void): Finding | undefined {
  const capture = new FakeCapture();
  const { one } = healthyNginx(capture); // 1,000 samples, 8 of them in a slow path below lock_sock_nested
  add(capture, one.thread);
  return analyze(buildProfile(capture.events())).find((finding) => finding.rule === rule);
}
const spin = (stack: readonly FakeFrame[], times = 242) =>
  find("spinlock-share", (capture, thread) => capture.cpu(thread, stack, { times }));

test.each([
  "native_queued_spin_lock_slowpath",
  "__pv_queued_spin_lock_slowpath",
  "queued_spin_lock_slowpath",
  "resilient_queued_spin_lock_slowpath",
  "resilient_tas_spin_lock",
  "virt_spin_lock",
  "queued_read_lock_slowpath",
  "queued_write_lock_slowpath",
  "__raw_spin_lock_irqsave",
  "rtlock_slowlock_locked",
  "native_queued_spin_lock_slowpath.part.0",
])("%s is a slow path, and its caller is who wants the lock", (name) => {
  const finding = spin([...OPEN, k("__d_lookup"), k("_raw_spin_lock"), k(name)]);
  expect(finding).toMatchObject({ severity: "critical", culprit: "__d_lookup", tab: "cpu" });
  expect(finding!.share).toBeCloseTo(250 / 1242, 6);
  expect(finding!.contributors.map((c) => c.name)).toEqual(["__d_lookup", "lock_sock_nested"]);
  expect(finding!.title).toContain("20.1 % of the busy CPU time");
});

test("lock and interrupt text is not the caller", () => {
  const finding = spin([
    ...SEND,
    k("tcp_v4_rcv"),
    k("asm_sysvec_apic_timer_interrupt"),
    k("__irq_exit_rcu"),
    k("_raw_spin_lock_irqsave"),
    k("__raw_callee_save___pv_queued_spin_unlock"),
    k("native_queued_spin_lock_slowpath"),
  ]);
  expect(finding!.culprit).toBe("tcp_v4_rcv");
});

test("a user function of the same name is no spin lock", () => {
  expect(spin([u("_start"), u("native_queued_spin_lock_slowpath")])).toBeUndefined();
});

test("below 5 % spinning is what a busy machine does; from there it is a warning", () => {
  const stack = [...OPEN, k("_raw_spin_lock"), k("native_queued_spin_lock_slowpath")];
  expect(spin(stack, 30)).toBeUndefined();
  expect(spin(stack, 80)?.severity).toBe("warning");
});

const BELOW_PROGRAM = [...SEND, k("trace_call_bpf"), b("bpf_prog_6deef7357e7b4530_count_calls")];

test.each([
  "htab_map_update_elem",
  "__htab_map_lookup_and_delete_elem",
  "htab_lru_map_delete_elem",
  "pcpu_freelist_pop",
  "__pcpu_freelist_push",
  "bpf_lru_pop_free",
  "bpf_common_lru_push_free",
  "__bpf_lru_list_shrink",
  "bpf_ringbuf_reserve",
])("%s below a BPF program counts, and the finding says why it cannot be told from work", (operation) => {
  const finding = spin([...BELOW_PROGRAM, k(operation)]);
  expect(finding).toMatchObject({
    severity: "critical",
    culprit: `${operation} in BPF program count_calls`,
  });
  expect(finding!.title).not.toContain("waiting");
  expect(finding!.detail).toContain("interrupts off");
  expect(finding!.detail).toContain("cannot be told apart");
});

test("the advice does not send anybody to a per-CPU hash map, whose updates lock buckets as well", () => {
  const finding = spin([...BELOW_PROGRAM, k("htab_map_update_elem")]);
  expect(finding!.next[0]).toMatch(/^bpftool prog show .*of a per-CPU hash map, too; arrays have none$/);
});

test("a spin below a map operation is given to that operation, once", () => {
  const finding = spin([
    ...BELOW_PROGRAM,
    k("htab_map_update_elem"),
    k("htab_lock_bucket"),
    k("_raw_spin_lock"),
    k("__pv_queued_spin_lock_slowpath"),
  ]);
  expect(finding!.culprit).toBe("htab_map_update_elem in BPF program count_calls");
  expect(finding!.share).toBeCloseTo(250 / 1242, 6);
});

test("the same functions outside BPF programs, and other helpers below them, do not count", () => {
  expect(spin([...SEND, k("bpf_map_update_elem"), k("htab_map_update_elem")])).toBeUndefined();
  expect(spin([...BELOW_PROGRAM, k("bpf_get_stackid")])).toBeUndefined();
  // Look-ups take no lock.
  expect(spin([...BELOW_PROGRAM, k("__htab_map_lookup_elem"), k("lookup_nulls_elem_raw")])).toBeUndefined();
  expect(spin([...BELOW_PROGRAM, k("htab_map_hash")])).toBeUndefined();
});

test("never about the maps and locks of lowflame's own programs", () => {
  const own = [
    ...SEND,
    k("bpf_trace_run4"),
    b("bpf_prog_00112233445566ff_lf_switch"),
    k("htab_map_update_elem"),
  ];
  expect(spin(own)).toBeUndefined();
  expect(spin([...own, k("native_queued_spin_lock_slowpath")])).toBeUndefined();
});

test("spinning for a mutex or rwsem is a finding of its own", () => {
  const finding = find("optimistic-spin", (capture, thread) =>
    capture.cpu(
      thread,
      [...OPEN, k("rwsem_down_write_slowpath"), k("rwsem_optimistic_spin"), k("osq_lock")],
      {
        times: 250,
      },
    ),
  );
  expect(finding).toMatchObject({ severity: "critical", culprit: "link_path_walk" });
});
