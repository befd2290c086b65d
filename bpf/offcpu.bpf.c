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
#include "calls.bpf.h"
#include "futex.bpf.h"
#include "offcpu.bpf.h"
#include "random.bpf.h"
#include "slots.bpf.h"
#include "stack.bpf.h"
#include "states.bpf.h"
#include "tables.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * What a switch-out notes, whatever follows. Returns the slot, or NULL if this thread is not watched. Slots are kept on
 * every CPU, since threads move; with a filter on CPUs a wait counts where it ends.
 */
static __always_inline struct lf_slot* leave_cpu(struct lf_off_area* area, struct task_struct* prev, __u32 state,
                                                 __u64 now, __u64 active_since, bool counted) {
  struct lf_slot_set* set = lf_slot_set(prev);

  if (!set) return NULL;
  /* here, before the ways part: see lf_fill_identity */
  __u64 key = lf_slot_key(prev), start_ns = prev->group_leader->start_time;
  struct lf_slot* slot = lf_slot_find(set, key);

  if (state == LF_STATE_DEAD) {
    if (slot) lf_slot_free(slot);
    if (settings.want_calls) lf_call_free(prev);
    return NULL;
  }
  if (!lf_task_wanted(prev, true)) return NULL;
  if (!slot) {
    slot = lf_slot_claim(set, key);
    if (!slot) {
      area->counter[LF_OFF_SLOT_COLLISION]++;
      lf_set_is_full(prev);
      return NULL;
    }
    /* a thread born during the recording waited for its first run within it */
    slot->run_delay_ns = prev->start_time > active_since ? 0 : prev->sched_info.run_delay;
  }
  account_delay(area, prev, slot, start_ns, counted);
  slot->state = state;
  slot->off_ns = now;
  slot->runs = prev->sched_info.pcount;
  if (settings.want_futex) {
    struct lf_futex f = {};

    if (state == LF_STATE_INTERRUPTIBLE) lf_futex_of(prev, true, &f);
    slot->futex_owner = f.kind ? lf_futex_owner(prev, &f, ((struct pt_regs*)bpf_task_pt_regs(prev))->sp) : 0;
    slot->futex_kind = f.kind;
    slot->futex_address = f.address;
    slot->futex_deadline_ns = f.kind ? lf_futex_deadline(&f, now) : 0;
  }
  return slot;
}

/* Whether a signal waits for `task`, as one does for each thread of a process that is killed. For records only: the
 * helper takes its time, and without it the verifier does (see lf_fill_identity). */
static __always_inline bool has_signal(struct task_struct* task) {
  struct signal_struct* of_process = NULL;
  __u64 shared = 0;

  bpf_core_read(&of_process, sizeof(of_process), &task->signal);
  bpf_core_read(&shared, sizeof(shared), &of_process->shared_pending.signal.sig[0]);
  return (task->pending.signal.sig[0] | shared) & ~task->blocked.sig[0];
}

/*
 * Counts the wait that ended at `end`, if it was for a futex: as noted when it began, or, if it is older than the
 * recording, as the registers tell. Returns whether its time was up.
 */
static __always_inline bool end_of_futex_wait(struct lf_off_area* area, struct task_struct* task, __u64 start_ns,
                                              bool is_current, const struct lf_slot* slot, bool before, __u64 end,
                                              __u64 wait, struct lf_futex* f) {
  if (!settings.want_futex || slot->state != LF_STATE_INTERRUPTIBLE) return false;
  if (before) {
    lf_futex_of(task, is_current, f);
  } else {
    f->kind = slot->futex_kind;
    f->address = slot->futex_address;
  }
  if (!f->kind) return false;
  bool timed_out = !before && slot->futex_deadline_ns && end >= slot->futex_deadline_ns;

  lf_futex_add(area, f, task->tgid, start_ns, wait, timed_out);
  return timed_out;
}

/* What the waiter expects is asked of its registers only here: few waits have a record. */
static __always_inline void note_futex(struct lf_record_stack* r, struct task_struct* task, const struct lf_futex* f,
                                       __u32 owner, bool timed_out) {
  struct lf_futex now = {};

  if (timed_out || has_signal(task)) r->h.flags |= LF_GIVEN_UP;
  lf_futex_of(task, false, &now);
  r->h.syscall_arg0 = f->address;
  r->h.futex_kind = f->kind;
  r->h.futex_value = now.kind && now.address == f->address ? lf_futex_value(now.value) : LF_FUTEX_OTHER;
  r->h.futex_owner = owner;
}

/* Chance of a wait of `ns` at threshold `t`, drawn. */
static __always_inline bool drawn(struct lf_off_area* area, __u64 ns, __u64 t) {
  if (ns >= t) return true;
  return (lf_random(&area->random) >> 32) * (t >> 8) < ns << 24;
}

SEC("?tp_btf/sched_switch")
int BPF_PROG(lf_switch_out, bool preempt, struct task_struct* prev, struct task_struct* next, unsigned int prev_state) {
  __u64 since = lf_active_since();
  __u32 cpu = bpf_get_smp_processor_id();

  if (!since) return 0;
  struct lf_off_area* area = off_area(cpu);

  if (!area) return 0;
  /* the one clock read of a switch: the thread that resumes on this CPU next takes it from here */
  __u64 now = bpf_ktime_get_ns();

  area->switch_ns = now;
  area->switch_tid = next->pid;
  if (prev->pid) leave_cpu(area, prev, classify(preempt, prev_state), now, since, lf_cpu_wanted(cpu));
  return 0;
}

SEC("?tp_btf/sched_exit_tp")
int BPF_PROG(lf_switch_in, bool is_switch) {
  struct task_struct* task = bpf_get_current_task_btf();
  __u64 since = lf_active_since();
  __u32 cpu = bpf_get_smp_processor_id();

  if (!is_switch || !task->pid || !since) return 0;
  struct lf_off_area* area = off_area(cpu);
  struct lf_slot_set* set = lf_slot_set(task);

  if (!area || !set) return 0;
  __u64 start_ns = task->group_leader->start_time;
  /* a switch now and then goes by without sched_switch: then the time is an earlier one's */
  __u64 now = area->switch_tid == (__u32)task->pid ? area->switch_ns : bpf_ktime_get_ns(), key = lf_slot_key(task);
  struct lf_slot* slot = lf_slot_find(set, key);
  __u64 begin, delay;
  __u32 state;
  bool before = false, counted = lf_cpu_wanted(cpu);

  if (slot && slot->off_ns) {
    begin = slot->off_ns;
    state = slot->state;
    slot->off_ns = 0;
    delay = account_delay(area, task, slot, start_ns, counted);
    before = begin == LF_OFF_BEFORE;
    if (before) {
      begin = since;
      area->counter[LF_OFF_BEGAN_BEFORE]++;
    }
  } else if (slot) {
    area->counter[LF_OFF_ORPHAN_END]++;
    return 0;
  } else {
    /* newborn, or it had no slot when it left, or it left between the look at the sleepers and the activation */
    if (!lf_task_wanted(task, true)) return 0;
    slot = lf_slot_claim(set, key);
    if (!slot) return 0; /* counted when it left */
    if (task->start_time > since) {
      /* it has waited for its first run, and for nothing else */
      account_delay(area, task, slot, start_ns, counted);
      return 0;
    }
    slot->run_delay_ns = task->sched_info.run_delay;
    if (lf_set_was_full(task)) return 0; /* counted when it left */
    area->counter[LF_OFF_BEGAN_BEFORE]++;
    begin = since;
    state = LF_STATE_OTHER;
    delay = 0;
  }

  __u64 wait = now > begin ? now - begin : 0;

  if (state != LF_STATE_PREEMPTED) {
    wait = wait > delay ? wait - delay : 0;
    if (settings.want_calls) lf_call_slept(task, wait, begin + wait);
  }
  if (!counted || (!settings.want_offcpu && !settings.want_futex)) return 0;
  struct lf_futex futex = {};

  __u64 end = begin + wait;
  bool timed_out = end_of_futex_wait(area, task, start_ns, true, slot, before, end, wait, &futex);

  area->counter[LF_OFF_WAITS]++;
  if (settings.want_offcpu) lf_total_add(area, task->tgid, start_ns, state, wait);

  __u64 t = threshold(area, now);

  if (futex.kind && slot->futex_owner) t = lf_owned_threshold(t);
  if (!wait || !drawn(area, wait, t)) return 0;
  struct lf_record_stack* r = &area->scratch;
  __u64 weight = wait > t ? wait : t;

  begin_record(r, LF_RECORD_WAIT, cpu, end, task);
  r->h.state = state;
  r->h.duration_ns = wait;
  r->h.weight_ns = weight;
  if (futex.kind) note_futex(r, task, &futex, slot->futex_owner, timed_out);
  area->counter[LF_OFF_SAMPLED]++;
  send(area, cpu, r, current_stacks(ctx, area, r, task), weight);
  return 0;
}

/* --- kernels without sched_exit_tp ----------------------------------------------------------------------------- */

#define PROBABILITY_ONE 256
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
    __u64 unit = t / PROBABILITY_ONE;

    p = unit ? predicted / unit : PROBABILITY_ONE;
    if (p < PROBABILITY_MIN) p = PROBABILITY_MIN;
    if (p > PROBABILITY_ONE) p = PROBABILITY_ONE;
  }
  slot->seq = 0;
  if (p < PROBABILITY_ONE && (bpf_get_prandom_u32() & (PROBABILITY_ONE - 1)) >= p) return;
  struct lf_record_stack* r = &area->scratch;
  /* unique among the waits in flight: a count of this CPU's and the CPU itself; never 0 */
  __u32 seq = (__u32)++area->seq << 12 | (cpu & 0xfff) | 1u << 31;

  begin_record(r, LF_RECORD_WAIT_STACK, cpu, now, prev);
  r->h.state = slot->state;
  r->h.duration_ns = 0;
  r->h.weight_ns = 0;
  r->h.seq = seq;
  slot->seq = seq;
  slot->probability = p;
  send(area, cpu, r, current_stacks(ctx, area, r, prev), 0);
}

static __always_inline void resume(struct lf_off_area* area, __u32 cpu, __u64 now, struct task_struct* next,
                                   __u64 since, bool counted) {
  struct lf_slot_set* set = lf_slot_set(next);

  if (!set) return;
  __u64 key = lf_slot_key(next), start_ns = next->group_leader->start_time;
  struct lf_slot* slot = lf_slot_find(set, key);

  if (!slot) {
    /*
     * It left between the look at the sleepers and the activation; a new thread has not waited at all. Whether it is
     * of a wanted cgroup cannot be asked here.
     */
    if (next->start_time > since || !lf_task_wanted(next, false) || settings.filter_cgroups) return;
    slot = lf_slot_claim(set, key);
    if (!slot) return;
    slot->run_delay_ns = next->sched_info.run_delay;
    if (lf_set_was_full(next)) return; /* counted when it left */
    slot->off_ns = since;
    slot->state = LF_STATE_OTHER;
    area->counter[LF_OFF_BEGAN_BEFORE]++;
  } else if (!slot->off_ns) {
    area->counter[LF_OFF_ORPHAN_END]++;
    return;
  }
  bool before = slot->off_ns == LF_OFF_BEFORE;

  if (before) {
    slot->off_ns = since;
    area->counter[LF_OFF_BEGAN_BEFORE]++;
  }
  __u64 begin = slot->off_ns, wait = now > begin ? now - begin : 0;

  slot->off_ns = 0;
  if (slot->state != LF_STATE_PREEMPTED) {
    __u64 delay = queued_until_now(next);

    wait = wait > delay ? wait - delay : 0;
    if (settings.want_calls) lf_call_slept(next, wait, begin + wait);
  }
  if (!counted || (!settings.want_offcpu && !settings.want_futex)) {
    slot->seq = 0;
    return;
  }
  slot->last_wait_ns = wait;
  struct lf_futex futex = {};

  __u64 end = begin + wait;
  bool timed_out = end_of_futex_wait(area, next, start_ns, false, slot, before, end, wait, &futex);

  area->counter[LF_OFF_WAITS]++;
  if (settings.want_offcpu) lf_total_add(area, next->tgid, start_ns, slot->state, wait);
  if (!wait) return;

  struct lf_record_stack* r = &area->scratch;
  __u64 t = area->threshold_ns, bytes = 0;

  if (futex.kind && slot->futex_owner) t = lf_owned_threshold(t);
  if (slot->seq) {
    begin_record(r, LF_RECORD_WAIT_END, cpu, end, next);
    r->h.seq = slot->seq;
    /* a wait over the threshold is always there, so it weighs itself */
    __u64 p = slot->probability;

    r->h.weight_ns = wait >= t || !p ? wait : wait * PROBABILITY_ONE / p;
    slot->seq = 0;
  } else if (wait >= t) {
    begin_record(r, LF_RECORD_WAIT, cpu, end, next);
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
  if (futex.kind) note_futex(r, next, &futex, slot->futex_owner, timed_out);
  area->counter[LF_OFF_SAMPLED]++;
  send(area, cpu, r, bytes, r->h.weight_ns);
}

SEC("?tp_btf/sched_switch")
int BPF_PROG(lf_switch_both, bool preempt, struct task_struct* prev, struct task_struct* next,
             unsigned int prev_state) {
  __u64 since = lf_active_since();
  __u32 cpu = bpf_get_smp_processor_id();

  if (!since) return 0;
  struct lf_off_area* area = off_area(cpu);

  if (!area) return 0;
  __u64 now = bpf_ktime_get_ns();
  bool counted = lf_cpu_wanted(cpu);

  if (prev->pid) {
    struct lf_slot* slot = leave_cpu(area, prev, classify(preempt, prev_state), now, since, counted);

    /* one that moves to a wanted CPU has no stack: the ring of an unwanted one is a token */
    if (slot && counted && (settings.want_offcpu || settings.want_futex))
      send_stacks_ahead(ctx, area, cpu, now, prev, slot);
  }
  if (next->pid) resume(area, cpu, now, next, since, counted);
  return 0;
}
