/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The state in which a thread left its CPU, from what sched_switch says. */
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

#endif
