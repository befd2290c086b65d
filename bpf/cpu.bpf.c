// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * CPU samples, user half. The kernel half comes from a plain perf event with call chains, because a BPF program on a
 * perf event is turned away while its CPU runs another tool's kprobe or tracepoint program. This program runs in
 * the same timer interrupt, just before the perf event's own handler, and is not turned away. The addon joins the
 * two by CPU and time.
 */
#include "core.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "events.h"
#include "filter.bpf.h"
#include "stack.bpf.h"
#include "unwind.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct lf_cpu_area_map {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(struct lf_cpu_area)); /* as a type it would reach BTF as a mere forward declaration */
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u32);
  __array(values, struct lf_cpu_area_map);
} lf_cpu_areas SEC(".maps");

struct lf_cpu_ring_map {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u32);
  __array(values, struct lf_cpu_ring_map);
} lf_cpu_rings SEC(".maps");

static __always_inline struct lf_cpu_area* cpu_area(__u32 cpu) {
  __u32 zero = 0;
  void* inner = bpf_map_lookup_elem(&lf_cpu_areas, &cpu);

  return inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
}

static __always_inline int take_user_half(void* ctx, struct lf_cpu_area* area, __u32 cpu) {
  struct task_struct* task = bpf_get_current_task_btf();

  /* the idle task has no user half and its name is known */
  if (!task->pid || !lf_task_wanted(task, true)) return 0;

  struct lf_record_stack* r = &area->scratch;
  __u64 bytes = 0;

  r->h.kind = LF_RECORD_CPU_USER;
  r->h.flags = 0;
  r->h.unwind_stop = 0;
  r->h.cpu = cpu;
  r->h.time_ns = bpf_ktime_get_ns();
  r->h.kernel_frames = 0;
  lf_fill_identity(&r->h, task);
  lf_fill_syscall(&r->h, task);
  if (!(task->flags & PF_KTHREAD) && !settings.user_stack_in_chain) {
    bytes = lf_user_stack(ctx, task, &r->h, r->frames, &area->unwind);
    if (r->h.flags & LF_USER_UNREADABLE) area->counter[LF_CPU_USER_UNREADABLE]++;
    if (r->h.flags & LF_USER_TRUNCATED) area->counter[LF_CPU_USER_TRUNCATED]++;
  }
  r->h.user_frames = bytes / 8;

  void* ring = bpf_map_lookup_elem(&lf_cpu_rings, &cpu);

  if (!ring) {
    area->counter[LF_CPU_NO_RING]++;
    return 0;
  }
  if (lf_send(ring, r, bytes))
    area->counter[LF_CPU_TAKEN]++;
  else
    area->counter[LF_CPU_RING_FULL]++;
  return 0;
}

SEC("?tp_btf/hrtimer_expire_entry")
int BPF_PROG(lf_cpu_timer, struct hrtimer* timer) {
  /* almost every timer of the machine ends here */
  if ((__u64)timer->function != settings.swevent_function) return 0;

  __u32 cpu = bpf_get_smp_processor_id();
  struct lf_cpu_area* area = cpu_area(cpu);

  if (!area || !lf_active_since()) return 0;

  /* someone else's cpu-clock event has the same function: only ours has our id */
  __u64 id = 0;
  void* event = (void*)timer - bpf_core_field_offset(struct perf_event, hw.hrtimer);

  bpf_probe_read_kernel(&id, sizeof(id), event + bpf_core_field_offset(struct perf_event, id));
  if (id != area->event_id) return 0;
  return take_user_half(ctx, area, cpu);
}

/*
 * Fallback for hardware events (no timer expires) and kernels that hide perf_swevent_hrtimer: on a second event of the
 * same group, which fires a little before or after the sample's. It can be turned away, so the perf event's own chain
 * has a user half along frame pointers, too, and the addon remembers who the thread is.
 */
SEC("?perf_event")
int lf_cpu_event(void* ctx) {
  __u32 cpu = bpf_get_smp_processor_id();
  struct lf_cpu_area* area = cpu_area(cpu);

  if (!area || !lf_active_since()) return 0;
  return take_user_half(ctx, area, cpu);
}
