// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Off-CPU time and run-queue wait.
 *
 * With tp_btf sched_exit_tp (it runs in the thread that was just resumed) a wait's length is known where both of its
 * stacks can still be read: lf_switch_out notes the time, lf_switch_in measures, sums and samples. Kernels without it
 * get lf_switch_both: stacks are taken at switch-out with a probability chosen from the thread's previous wait and sent
 * ahead; the wait that follows weighs length / probability, which is as unbiased. A wait over the threshold whose
 * stacks were not sent ahead still gets its kernel half, read from outside before the thread runs.
 *
 * Blocked time and run-queue wait are told apart by the growth of task->sched_info.run_delay.
 */
#include "core.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "events.h"
#include "filter.bpf.h"
#include "slots.bpf.h"
#include "stack.bpf.h"
#include "states.bpf.h"
#include "tables.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

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

/* The growth of the thread's run delay since the last look goes into its process's histogram. */
static __always_inline __u64 account_delay(struct lf_off_area* area, struct task_struct* task, struct lf_slot* slot) {
  __u64 total = task->sched_info.run_delay;
  __u64 delay = total - slot->run_delay_ns;

  if (!delay) return 0;
  slot->run_delay_ns = total;
  if (lf_task_wanted(task, true)) lf_runq_add(area, task->tgid, task->group_leader->start_time, delay);
  return delay;
}

static __always_inline void begin_record(struct lf_record_stack* r, __u32 kind, __u32 cpu, __u64 now,
                                         struct task_struct* task) {
  r->h.kind = kind;
  r->h.flags = 0;
  r->h.cpu = cpu;
  r->h.time_ns = now;
  r->h.kernel_frames = 0;
  r->h.user_frames = 0;
  lf_fill_identity(&r->h, task);
  lf_fill_syscall(&r->h, task);
}

/* Both stacks of the current task. Returns bytes of frames. */
static __always_inline __u64 current_stacks(void* ctx, struct lf_off_area* area, struct lf_record_stack* r,
                                            struct task_struct* task) {
  __u64 kernel = lf_kernel_stack(ctx, r), user = 0;

  if (!(task->flags & PF_KTHREAD)) user = lf_user_stack(ctx, r, kernel);
  if (kernel > LF_STACK_BYTES) kernel = LF_STACK_BYTES;
  if (user > LF_STACK_BYTES) user = LF_STACK_BYTES;
  r->h.kernel_frames = kernel / 8;
  r->h.user_frames = user / 8;
  count_stack_flags(area, r->h.flags);
  area->window_stacks++;
  return kernel + user;
}

/* What a switch-out notes, whatever follows. Returns the slot, or NULL if this thread is not watched. */
static __always_inline struct lf_slot* leave_cpu(struct lf_off_area* area, struct task_struct* prev, __u32 state,
                                                 __u64 now, __u64 active_since) {
  struct lf_slot_set* set = lf_slot_set(prev);

  if (!set) return NULL;
  __u64 key = lf_slot_key(prev);
  struct lf_slot* slot = lf_slot_find(set, key);

  if (state == LF_STATE_DEAD) {
    if (slot) lf_slot_free(slot);
    return NULL;
  }
  if (!lf_task_wanted(prev, true)) return NULL;
  if (!slot) {
    slot = lf_slot_claim(set, key);
    if (!slot) {
      area->counter[LF_OFF_SLOT_COLLISION]++;
      return NULL;
    }
    /* a thread born during the recording waited for its first run within it */
    slot->run_delay_ns = prev->start_time > active_since ? 0 : prev->sched_info.run_delay;
  }
  account_delay(area, prev, slot);
  slot->state = state;
  slot->off_ns = now;
  return slot;
}

/* Chance of a wait of `ns` at threshold `t`, drawn. Marsaglia's xorshift64, seeded by the kernel once a CPU: no helper
 * call. */
static __always_inline bool drawn(struct lf_off_area* area, __u64 ns, __u64 t) {
  if (ns >= t) return true;
  __u64 x = area->random;

  if (!x) x = (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32() | 1;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  area->random = x;
  return (x >> 32) * (t >> 8) < ns << 24;
}

SEC("?tp_btf/sched_switch")
int BPF_PROG(lf_switch_out, bool preempt, struct task_struct* prev, struct task_struct* next, unsigned int prev_state) {
  __u64 since = lf_active_since();
  __u32 cpu = bpf_get_smp_processor_id();

  if (!since || !lf_cpu_wanted(cpu)) return 0;
  struct lf_off_area* area = off_area(cpu);

  if (!area) return 0;
  /* the one clock read of a switch: the thread that resumes on this CPU next takes it from here */
  __u64 now = bpf_ktime_get_ns();

  area->switch_ns = now;
  if (prev->pid) leave_cpu(area, prev, classify(preempt, prev_state), now, since);
  return 0;
}

SEC("?tp_btf/sched_exit_tp")
int BPF_PROG(lf_switch_in, bool is_switch) {
  struct task_struct* task = bpf_get_current_task_btf();
  __u64 since = lf_active_since();
  __u32 cpu = bpf_get_smp_processor_id();

  if (!is_switch || !task->pid || !since || !lf_cpu_wanted(cpu)) return 0;
  struct lf_off_area* area = off_area(cpu);
  struct lf_slot_set* set = lf_slot_set(task);

  if (!area || !set) return 0;
  __u64 now = area->switch_ns ? area->switch_ns : bpf_ktime_get_ns(), key = lf_slot_key(task);
  struct lf_slot* slot = lf_slot_find(set, key);
  __u64 begin, delay;
  __u32 state;

  if (slot && slot->off_ns) {
    begin = slot->off_ns;
    state = slot->state;
    slot->off_ns = 0;
    delay = account_delay(area, task, slot);
  } else if (slot) {
    area->counter[LF_OFF_ORPHAN_END]++;
    return 0;
  } else {
    /* newborn, or it left the CPU before the recording began, or had no slot when it left */
    if (!lf_task_wanted(task, true)) return 0;
    slot = lf_slot_claim(set, key);
    if (!slot) return 0; /* counted when it left */
    if (task->start_time > since) {
      /* it has waited for its first run, and for nothing else */
      account_delay(area, task, slot);
      return 0;
    }
    slot->run_delay_ns = task->sched_info.run_delay;
    area->counter[LF_OFF_BEGAN_BEFORE]++;
    begin = since;
    state = LF_STATE_OTHER;
    delay = 0;
  }

  __u64 wait = now > begin ? now - begin : 0;

  if (state != LF_STATE_PREEMPTED) wait = wait > delay ? wait - delay : 0;
  area->counter[LF_OFF_WAITS]++;
  lf_total_add(area, task->tgid, task->group_leader->start_time, state, wait);

  __u64 t = threshold(area, now);

  if (!wait || !drawn(area, wait, t)) return 0;
  struct lf_record_stack* r = &area->scratch;
  __u64 weight = wait > t ? wait : t;

  begin_record(r, LF_RECORD_WAIT, cpu, now, task);
  r->h.state = state;
  r->h.duration_ns = wait;
  r->h.weight_ns = weight;
  area->counter[LF_OFF_SAMPLED]++;
  send(area, cpu, r, current_stacks(ctx, area, r, task), weight);
  return 0;
}

/* --- kernels without sched_exit_tp ----------------------------------------------------------------------------- */

#define PROBABILITY_ONE (1ULL << 32)
#define PROBABILITY_MIN (PROBABILITY_ONE / 32)

/*
 * Draws whether the stacks of the wait that begins are sent ahead. Its length is not known yet: the previous one of
 * this thread predicts it. Any probability chosen before the length is known keeps weights unbiased; a good one
 * keeps them small.
 */
static __always_inline void send_stacks_ahead(void* ctx, struct lf_off_area* area, __u32 cpu, __u64 now,
                                              struct task_struct* prev, struct lf_slot* slot) {
  __u64 t = threshold(area, now), predicted = slot->last_wait_ns ? slot->last_wait_ns : t;
  __u64 p = PROBABILITY_ONE;

  if (predicted < t) {
    /* in steps of 1/256 to stay clear of overflow */
    __u64 unit = t >> 8;

    p = unit ? (predicted / unit) << 24 : PROBABILITY_ONE;
    if (p < PROBABILITY_MIN) p = PROBABILITY_MIN;
    if (p > PROBABILITY_ONE) p = PROBABILITY_ONE;
  }
  slot->seq = 0;
  if (p < PROBABILITY_ONE && bpf_get_prandom_u32() >= p) return;
  struct lf_record_stack* r = &area->scratch;
  /* unique among the waits in flight: a count of this CPU's and the CPU itself; never 0 */
  __u32 seq = (__u32)++area->seq << 12 | (cpu & 0xfff) | 1u << 31;

  begin_record(r, LF_RECORD_WAIT_STACK, cpu, now, prev);
  r->h.state = slot->state;
  r->h.duration_ns = 0;
  r->h.weight_ns = seq;
  slot->seq = seq;
  slot->probability = p;
  send(area, cpu, r, current_stacks(ctx, area, r, prev), 0);
}

/* Run-queue wait that ends now, for a thread that is about to run: its account is not yet up to date. */
static __always_inline __u64 delay_until_now(struct task_struct* next) {
  __u64 queued = next->sched_info.last_queued;
  struct cfs_rq* cfs;

  /* the run queue's clock, by way of the thread: `runqueues` itself is a name of data that few kernels keep */
  if (!queued || !bpf_core_field_exists(next->se.cfs_rq) || !bpf_core_field_exists(((struct cfs_rq*)0)->rq)) return 0;
  cfs = next->se.cfs_rq;
  __u64 clock = cfs->rq->clock;

  return clock > queued ? clock - queued : 0;
}

static __always_inline void resume(struct lf_off_area* area, __u32 cpu, __u64 now, struct task_struct* next,
                                   __u64 since) {
  struct lf_slot_set* set = lf_slot_set(next);

  if (!set) return;
  __u64 key = lf_slot_key(next);
  struct lf_slot* slot = lf_slot_find(set, key);

  if (!slot) {
    /* it left the CPU before the recording began; a new thread has not waited at all */
    if (next->start_time > since || !lf_task_wanted(next, false) || settings.filter_cgroups) return;
    slot = lf_slot_claim(set, key);
    if (!slot) return;
    slot->run_delay_ns = next->sched_info.run_delay;
    slot->off_ns = since;
    slot->state = LF_STATE_OTHER;
    area->counter[LF_OFF_BEGAN_BEFORE]++;
  } else if (!slot->off_ns) {
    area->counter[LF_OFF_ORPHAN_END]++;
    return;
  }
  __u64 wait = now - slot->off_ns;

  slot->off_ns = 0;
  if (slot->state != LF_STATE_PREEMPTED) {
    __u64 delay = delay_until_now(next);

    wait = wait > delay ? wait - delay : 0;
  }
  slot->last_wait_ns = wait;
  area->counter[LF_OFF_WAITS]++;
  lf_total_add(area, next->tgid, next->group_leader->start_time, slot->state, wait);
  if (!wait) return;

  struct lf_record_stack* r = &area->scratch;
  __u64 t = area->threshold_ns, bytes = 0;

  if (slot->seq) {
    begin_record(r, LF_RECORD_WAIT_END, cpu, now, next);
    r->h.syscall_arg0 = slot->seq;
    /* a wait over the threshold is always there, so it weighs itself */
    __u64 scale = slot->probability >> 16;

    r->h.weight_ns = wait >= t || !scale ? wait : (wait << 16) / scale;
    slot->seq = 0;
  } else if (wait >= t) {
    begin_record(r, LF_RECORD_WAIT, cpu, now, next);
    r->h.weight_ns = wait;
    r->h.flags = LF_USER_MISSING;
    long n = bpf_get_task_stack(next, r->frames, LF_STACK_BYTES, 0);

    if (n > 0 && n <= LF_STACK_BYTES) bytes = n;
    r->h.kernel_frames = bytes / 8;
    area->window_stacks++;
  } else {
    return;
  }
  r->h.state = slot->state;
  r->h.duration_ns = wait;
  area->counter[LF_OFF_SAMPLED]++;
  send(area, cpu, r, bytes, r->h.weight_ns);
}

SEC("?tp_btf/sched_switch")
int BPF_PROG(lf_switch_both, bool preempt, struct task_struct* prev, struct task_struct* next,
             unsigned int prev_state) {
  __u64 since = lf_active_since();
  __u32 cpu = bpf_get_smp_processor_id();

  if (!since || !lf_cpu_wanted(cpu)) return 0;
  struct lf_off_area* area = off_area(cpu);

  if (!area) return 0;
  __u64 now = bpf_ktime_get_ns();

  if (prev->pid) {
    struct lf_slot* slot = leave_cpu(area, prev, classify(preempt, prev_state), now, since);

    if (slot) send_stacks_ahead(ctx, area, cpu, now, prev, slot);
  }
  if (next->pid) resume(area, cpu, now, next, since);
  return 0;
}
