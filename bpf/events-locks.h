/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs on kernel locks share with the addon: waits in progress, tables, counters. Part of events.h. */
#ifndef LOWFLAME_EVENTS_LOCKS_H
#define LOWFLAME_EVENTS_LOCKS_H

/* A wait in progress: on the per-CPU nesting stack (the waiter spins and cannot move) or in the thread's slot. */
struct lf_lock_wait {
  __u64 key; /* of the thread, as in lf_slot; 0 = free slot; on the nesting stack see lock-nest.bpf.h */
  __u64 lock;
  __u64 begin_ns;
  __u64 seq; /* of the stack sent ahead, 0 = none */
  __u16 kind;
  __u16 object;
  __u32 weight; /* of the stack sent ahead */
  __u32 like;   /* see lock-likes.bpf.h */
  __u32 tgid;
  __u64 start_time_ns; /* of the process */
  __u64 stack_ns;      /* spent on the stack, not on waiting */
};
struct lf_lock_set {
  struct lf_lock_wait way[LF_SLOT_WAYS];
};
#define LF_LOCK_NEST 8

#define LF_LOCK_ROWS 1024
#define LF_LOCK_REST 64 /* rows of locks without a process, for waits whose own row is gone; a power of two */

enum lf_lock_counter {
  LF_LOCKS_RING_FULL,
  LF_LOCKS_NO_RING,
  LF_LOCKS_SLOT_COLLISION,
  LF_LOCKS_NESTED,     /* deeper than the nesting stack, or left on it: waits not known */
  LF_LOCKS_ORPHAN_END, /* ends without a beginning */
  LF_LOCKS_TABLE_FULL,
  LF_LOCKS_KERNEL_TRUNCATED,
  LF_LOCKS_USER_TRUNCATED,
  LF_LOCKS_USER_UNREADABLE,
  LF_LOCKS_WAITS,   /* all waits seen (not a loss) */
  LF_LOCKS_SAMPLED, /* waits sent with a stack (not a loss) */
  LF_LOCKS_COUNTERS,
};

/* A wait that ended and is not in the table yet. */
struct lf_lock_ended {
  __u64 lock;
  __u64 key; /* as in lf_lock_row */
  __u64 start_time_ns;
  __u64 ns;
  __u64 like; /* 0 = it had a stack */
};
#define LF_LOCK_ENDED 64 /* a power of two */

/* Waits that are alike and had no stack: the mean of those below LF_LOCK_OWN_NS, sum_ns / count, and what the longer
 * ones lasted since the last of them that had a stack. */
struct lf_lock_like {
  __u32 like;
  __u32 count;
  __u64 sum_ns;
  __u64 long_ns;
};
#define LF_LOCK_LIKES 512     /* a power of two */
#define LF_LOCK_LIKE_WAITS 64 /* from so many on the mean follows the last ones */
#define LF_LOCK_OWN_NS 65536  /* several times what it takes to take a stack */

/* Where a wait goes in the table; in memory, where the verifier takes both for unknown numbers. */
struct lf_lock_place {
  __u32 place;
  __u32 bucket;
};

struct lf_lock_area {
  __u64 counter[LF_LOCKS_COUNTERS]; /* written by lf_lock_end, but for those of stacks and slots: see lf_lock_begin */
  __u64 begin_counter[LF_LOCKS_COUNTERS];
  __u64 random;
  __u64 seq;
  __u64 window_ns;
  __u64 window_stacks;
  __u64 one_in; /* a stack is taken for one wait in so many; a power of two */
  __u64 depth;
  __u64 begin_at, end_at; /* where the programs' arguments lie: on the stack of whoever runs */
  struct lf_current current;
  __u64 regs_on, regs; /* user registers of the thread whose kernel stack is regs_on */
  struct lf_lock_wait nest[LF_LOCK_NEST];
  struct lf_record_lock begin_scratch; /* an interrupt's end may come while a begin fills its own */
  struct lf_record_lock end_scratch;
  struct lf_uw_walk begin_unwind, end_unwind;
  /* waits from lf_lock_end, which runs with the lock held, to lf_lock_begin, which runs while its thread waits anyway
   */
  struct lf_lock_place begin_place, end_place; /* of the wait that is added just now */
  __u64 ended_head;                            /* written by lf_lock_end */
  __u64 ended_tail;                            /* written by lf_lock_begin */
  __u64 adding; /* lf_lock_begin is at the table: an interrupt's end that comes on top must not be */
  struct lf_lock_ended ended[LF_LOCK_ENDED];
  struct lf_lock_like any; /* all that are below LF_LOCK_OWN_NS; long_ns of those that lost their line */
  struct lf_lock_like like[LF_LOCK_LIKES];
  struct lf_lock_row row[LF_LOCK_ROWS + 1 + LF_LOCK_REST]; /* behind the last: "other", and the rest by lock */
};

#endif
