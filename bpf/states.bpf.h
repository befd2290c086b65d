/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The state in which a thread left its CPU, from what sched_switch says; how long it has been runnable without one. */
#ifndef LOWFLAME_STATES_H
#define LOWFLAME_STATES_H

/* From the state argument of sched_switch; the bits are those of include/linux/sched.h. */
static __always_inline __u32 classify(bool preempt, __u32 state) {
  if (preempt || !state) return LF_STATE_PREEMPTED;
  if (state & 0x80) return LF_STATE_DEAD;
  if (state & (0x4 | 0x8)) return LF_STATE_STOPPED;
  if (state & 0x40 || (state & 0x402) == 0x402) return LF_STATE_IDLE;
  if (state & (0x2 | 0x1000)) return LF_STATE_UNINTERRUPTIBLE;
  if (state & 0x1) return LF_STATE_INTERRUPTIBLE;
  return LF_STATE_OTHER;
}

/* Run-queue wait that ends now, for a thread that is about to run: its account is not yet up to date. */
static __always_inline __u64 queued_until_now(struct task_struct* task) {
  __u64 queued = task->sched_info.last_queued;
  struct cfs_rq* cfs;

  /* the run queue's clock, by way of the thread: `runqueues` itself is a name of data that few kernels keep */
  if (!queued || !bpf_core_field_exists(task->se.cfs_rq) || !bpf_core_field_exists(((struct cfs_rq*)0)->rq)) return 0;
  cfs = task->se.cfs_rq;
  __u64 clock = cfs->rq->clock;

  return clock > queued ? clock - queued : 0;
}

#endif
