/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the off-CPU programs share: the per-CPU area and ring, the budget of stacks, records and run-queue accounts. */
#ifndef LOWFLAME_OFFCPU_H
#define LOWFLAME_OFFCPU_H

#include "filter.bpf.h"
#include "slots.bpf.h"
#include "stack.bpf.h"
#include "tables.bpf.h"
#include "unwind.bpf.h"

struct lf_off_area_map {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(struct lf_off_area)); /* as a type it would reach BTF as a mere forward declaration */
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u32);
  __array(values, struct lf_off_area_map);
} lf_off_areas SEC(".maps");

struct lf_off_ring_map {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u32);
  __array(values, struct lf_off_ring_map);
} lf_off_rings SEC(".maps");

#define BUDGET_WINDOW_NS 100000000ULL
#define THRESHOLD_GROWTH_MAX 64

static __always_inline struct lf_off_area* off_area(__u32 cpu) {
  __u32 zero = 0;
  void* inner = bpf_map_lookup_elem(&lf_off_areas, &cpu);

  return inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
}

/*
 * Keeps stacks within the budget: a CPU that took more than its share in a window doubles its threshold, one that
 * took less than half of it halves it down to the base. The threshold is fixed before a wait's length is known, so
 * weights stay unbiased whatever it does.
 */
static __always_inline __u64 threshold(struct lf_off_area* area, __u64 now) {
  __u64 t = area->threshold_ns;

  if (now - area->window_ns >= BUDGET_WINDOW_NS) {
    __u64 n = area->window_stacks;

    if (n > settings.stacks_per_window && t < settings.threshold_ns * THRESHOLD_GROWTH_MAX)
      t *= 2;
    else if (n < settings.stacks_per_window / 2 && t > settings.threshold_ns)
      t /= 2;
    area->window_ns = now;
    area->window_stacks = 0;
    area->threshold_ns = t;
    if (t > area->threshold_max_ns) area->threshold_max_ns = t;
  }
  return t;
}

static __always_inline void count_stack_flags(struct lf_off_area* area, __u32 flags) {
  if (flags & LF_KERNEL_TRUNCATED) area->counter[LF_OFF_KERNEL_TRUNCATED]++;
  if (flags & LF_USER_TRUNCATED) area->counter[LF_OFF_USER_TRUNCATED]++;
  if (flags & LF_USER_UNREADABLE) area->counter[LF_OFF_USER_UNREADABLE]++;
}

static __always_inline void send(struct lf_off_area* area, __u32 cpu, struct lf_record_stack* r, __u64 bytes,
                                 __u64 weight) {
  void* ring = bpf_map_lookup_elem(&lf_off_rings, &cpu);

  if (!ring) {
    area->counter[LF_OFF_NO_RING]++;
    area->counter[LF_OFF_STACK_LOST_NS] += weight;
  } else if (!lf_send(ring, r, bytes)) {
    area->counter[LF_OFF_RING_FULL]++;
    area->counter[LF_OFF_STACK_LOST_NS] += weight;
  }
}

/* The growth of the thread's run delay since the last look goes into its process's histogram, if `counted`; `start_ns`
 * is the process's. */
static __always_inline __u64 account_delay(struct lf_off_area* area, struct task_struct* task, struct lf_slot* slot,
                                           __u64 start_ns, bool counted) {
  __u64 total = task->sched_info.run_delay;

  if (total <= slot->run_delay_ns) return 0;
  __u64 delay = total - slot->run_delay_ns;

  slot->run_delay_ns = total;
  if (counted && settings.want_offcpu && lf_task_wanted(task, true)) lf_runq_add(area, task->tgid, start_ns, delay);
  return delay;
}

static __always_inline void begin_record(struct lf_record_stack* r, __u32 kind, __u32 cpu, __u64 now,
                                         struct task_struct* task) {
  r->h.kind = kind;
  r->h.flags = 0;
  r->h.unwind_stop = 0;
  r->h.cpu = cpu;
  r->h.time_ns = now;
  r->h.kernel_frames = 0;
  r->h.user_frames = 0;
  r->h.futex_kind = 0;
  r->h.futex_value = 0;
  r->h.futex_owner = 0;
  r->h.seq = 0;
  lf_fill_identity(&r->h, task);
  lf_fill_syscall(&r->h, task);
}

/* Both stacks of the current task. Returns bytes of frames. */
static __always_inline __u64 current_stacks(void* ctx, struct lf_off_area* area, struct lf_record_stack* r,
                                            struct task_struct* task) {
  __u64 kernel = lf_kernel_stack(ctx, r), user = 0;

  if (kernel > LF_STACK_BYTES) kernel = LF_STACK_BYTES;
  if (!(task->flags & PF_KTHREAD)) user = lf_user_stack(ctx, task, &r->h, (char*)r->frames + kernel, &area->unwind);
  r->h.kernel_frames = kernel / 8;
  r->h.user_frames = user / 8;
  count_stack_flags(area, r->h.flags);
  area->window_stacks++;
  return kernel + user;
}

#endif
