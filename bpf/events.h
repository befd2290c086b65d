/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What crosses from the kernel to the addon: ring records, per-CPU state and thread slots. Included by both sides,
 * so it uses fixed-width types only and every struct is laid out without padding surprises.
 */
#ifndef LOWFLAME_EVENTS_H
#define LOWFLAME_EVENTS_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "unwind-state.h"

#define LF_MAX_FRAMES 127 /* of each half; the kernel's own limit (kernel.perf_event_max_stack) */
#define LF_COMM_LEN 16
#define LF_SCHED_WORDS 8
#define LF_MAX_COMMS 16
#define LF_MAX_CGROUPS 16
#define LF_MAX_CPUS 4096

enum lf_record_kind {
  LF_RECORD_CPU_USER = 1,   /* user half of a CPU sample */
  LF_RECORD_WAIT = 2,       /* a wait that ended, with its stacks */
  LF_RECORD_WAIT_STACK = 3, /* stacks taken at switch-out; the wait itself follows (kernels without sched_exit_tp) */
  LF_RECORD_WAIT_END = 4,   /* end of the wait whose stacks went ahead */
  LF_RECORD_EXEC = 5,
  LF_RECORD_TASK = 6,       /* one task of the iterator at the end */
  LF_RECORD_LOCK_STACK = 7, /* stacks taken where a wait for a lock begins; the wait itself follows */
  LF_RECORD_LOCK_END = 8,   /* end of the wait whose stacks went ahead */
  LF_RECORD_LOCK_WAIT = 9,  /* a long wait for a lock, with stacks taken at its end */
  LF_RECORD_CALL = 10,      /* a slow socket call, or one that has not returned (LF_IN_PROGRESS) */
};

/* Must match SampleFlag in src/capture/binding.ts */
enum lf_flag {
  LF_KERNEL_TRUNCATED = 1,
  LF_USER_TRUNCATED = 2,
  LF_USER_UNREADABLE = 4,
  LF_USER_MISSING = 8,
  LF_IN_PROGRESS = 16,
  LF_SOFTIRQ_ON_IDLE = 32,
  LF_SPINS = 64,
  LF_NOTHING_ASKED = 128, /* of a call that has not returned: the other side spoke last */
  LF_USER_WHOLE = 256,    /* the walk by unwind tables ended at its thread's first frame */
  LF_GIVEN_UP = 512, /* a wait for a futex that ended by its timeout or by a signal: nobody woke it to take a lock */
};

/*
 * Bits 16 to 19 of a sample's flags (not of a record's): how its user half ended, lf_uw_stop + 1; 0 = no walk by unwind
 * tables. Must match USER_END_SHIFT in src/capture/user-stacks.ts.
 */
#define LF_USER_END_SHIFT 16

/* Must match OFFCPU_STATES in src/capture/binding.ts */
enum lf_state {
  LF_STATE_NONE = 0,
  LF_STATE_PREEMPTED = 1,
  LF_STATE_INTERRUPTIBLE = 2,
  LF_STATE_UNINTERRUPTIBLE = 3,
  LF_STATE_STOPPED = 4,
  LF_STATE_IDLE = 5,
  LF_STATE_DEAD = 6,
  LF_STATE_OTHER = 7,
};

/* Values that a waiter expects in a futex: below 1 << 30, with bit 30 or 31, all bits. */
#define LF_FUTEX_OTHER 0xfffd
#define LF_FUTEX_BITS 0xfffe
#define LF_FUTEX_ONES 0xffff

/*
 * In lf_record.futex_owner, above all thread ids: the waiter's process is in no nested pid namespace, and the lock is
 * no other process's, so that the id is that of a thread of this process and the machine's own.
 */
#define LF_OWNER_AS_IS 0x80000000

/* Every ring record begins with this; `kernel_frames` then `user_frames` addresses follow, leaf first. */
struct lf_record {
  __u8 kind;
  __u8 unwind_stop; /* lf_uw_stop of the user half; 0 where there is none, or LF_USER_WHOLE */
  __u16 flags;
  __u32 cpu;
  __u64 time_ns; /* CLOCK_MONOTONIC; of a wait its end: when the thread was woken, for what follows is the queue */
  __u64 start_time_ns; /* of the process: group_leader->start_time */
  __u32 tgid;
  __u32 tid;
  __u32 task_flags; /* task->flags (PF_*) */
  __s32 syscall;    /* number, -1 none */
  __u64 syscall_arg0;
  __u64 duration_ns; /* of this wait */
  __u64 weight_ns;
  __u16 kernel_frames;
  __u16 user_frames;
  __u32 state;
  __u64 seq;         /* joins a stack sent ahead with the end of its wait; 0 = none */
  __u16 futex_kind;  /* lf_lock_kind; 0 = no wait for a futex */
  __u16 futex_value; /* what its waiter expects in it; greater ones as LF_FUTEX_OTHER, _BITS or _ONES */
  __u32 futex_owner; /* thread id as its process knows it, and LF_OWNER_AS_IS; 0 = unknown */
  __u64 copied_ns;   /* joins the copy of the user stack that went ahead (struct lf_stack_copy); 0 = none */
  char comm[LF_COMM_LEN];
  char leader_comm[LF_COMM_LEN];
};

struct lf_record_stack {
  struct lf_record h;
  __u64 frames[2 * LF_MAX_FRAMES + 2];
};

/*
 * Stack memory of a thread whose program is too young to be known: the addon walks it. From LF_COPY_BELOW bytes under
 * `sp` on, page by page to the end of the stack; those pages that could be read follow one another (bit n of `pages`:
 * the n-th). What a program never touched is not there.
 */
#define LF_COPY_PAGE 4096
#define LF_COPY_PAGES 32
#define LF_COPY_MOST (16 * LF_COPY_PAGE)
/* Copied from below `sp`: where a function ends, registers that it has restored are told by where they were saved. */
#define LF_COPY_BELOW 128
struct lf_stack_copy {
  __u64 taken_ns; /* with `tid`: lf_record.copied_ns */
  __u32 tid;
  __u32 pages;
  __u64 ip, sp, bp;
  __u64 end; /* of the stack, or where the copy was given up */
};
struct lf_copy_area {
  __u64 dropped; /* copies that found no room */
  __u64 busy;    /* a program is at it: an interrupt's that comes on top must not be */
  __u64 at;      /* in the stack: what comes next */
  __u32 page;
  __u32 filled; /* bytes of `memory` */
  struct lf_stack_copy copy;
  char memory[LF_COPY_MOST + LF_COPY_PAGE];
};

/* A task as the iterator finds it at the end. Kernel frames follow; the user half is walked by the addon. */
struct lf_task {
  struct lf_record h;
  __u64 off_since_ns; /* when it left the CPU; 0 or LF_OFF_BEFORE = before the recording */
  __u64 own_start_ns; /* of the thread */
  __u64 queued_ns;    /* how long it has been runnable by now, without a CPU; 0 = it is not */
  __u64 delay_ns;     /* run delay that no switch has accounted yet */
  __u32 last_cpu;
  __u32
      gone_on; /* it has run since it was noted: there is no stack of the wait, and neither system call nor registers */
  __u64 user_ip, user_sp, user_bp;
  /*
   * What lies on its stack and points into the kernel's code of scheduling and locks, innermost first, 0 = no more: the
   * kernel leaves those functions out of another thread's stack. Some may be left over from earlier calls.
   */
  __u64 sched_word[LF_SCHED_WORDS];
  __u16 sched_at[LF_SCHED_WORDS]; /* how many words above the saved stack pointer */
};

/* Must match LOCK_KINDS in src/capture/locks.ts */
enum lf_lock_kind {
  LF_LOCK_SPIN = 0,
  LF_LOCK_RWLOCK_READ = 1,
  LF_LOCK_RWLOCK_WRITE = 2,
  LF_LOCK_RWSEM_READ = 3,
  LF_LOCK_RWSEM_WRITE = 4,
  LF_LOCK_RT = 5,
  LF_LOCK_PERCPU_READ = 6,
  LF_LOCK_PERCPU_WRITE = 7,
  LF_LOCK_MUTEX = 8,
  LF_LOCK_FUTEX = 9,
  LF_LOCK_FUTEX_PI = 10,
  LF_LOCK_FUTEX_CONDITION = 11,
  LF_LOCK_FUTEX_RWLOCK = 12, /* of Rust: native/session/futex_words.h finds it, no program does */
};

/* What a lock is, as far as the waiter itself can tell. */
enum lf_lock_object {
  LF_LOCK_PLAIN = 0,
  LF_LOCK_MMAP = 1,    /* mmap_lock of the waiter's process */
  LF_LOCK_SIGHAND = 2, /* siglock of the waiter's process */
  LF_LOCK_FILES = 3,   /* file_lock of the waiter's table of descriptors */
};

struct lf_record_lock {
  struct lf_record h; /* state = lock kind; duration_ns without the time for the stack */
  __u64 lock;
  __u64 seq; /* joins stack and end; 0 = none */
  __u64 owner_start_ns;
  __u32 owner_tid; /* 0 = unknown */
  __u32 owner_tgid;
  char owner_comm[LF_COMM_LEN];
  char owner_leader_comm[LF_COMM_LEN];
  __u32 owner_frames; /* kernel frames of the owner, behind those of the waiter */
  __u32 object;
  __u64 frames[3 * LF_MAX_FRAMES + 3];
};

/* A thread that is off the CPU when the recording begins. */
struct lf_sleeper {
  __u64 slot_key;
  __u64 run_delay_ns;
  __u32 tid;
  __u32 tgid;
  __u32 state;
  __u32 runs; /* as in lf_slot */
};

/* --- thread slots -------------------------------------------------------------------------------------------- */
/* One cache line a thread; written by that thread alone, except for the claim (compare and swap, once a thread life).
 */
struct lf_slot {
  __u64 key;               /* tid and start time folded: see slots.bpf.h; 0 = free */
  __u64 off_ns;            /* when it left the CPU, 0 = it runs, LF_OFF_BEFORE = before the recording */
  __u64 run_delay_ns;      /* task->sched_info.run_delay at the last look */
  __u64 last_wait_ns;      /* fallback: length of the previous wait, predicts the next */
  __u64 futex_address;     /* of the futex that it waits for */
  __u64 futex_deadline_ns; /* 0 = none */
  __u32 futex_owner;       /* as in lf_record */
  __u32 runs;              /* low half of task->sched_info.pcount when it left: another now, and it has run since */
  __u32 seq;               /* fallback: number of the stack record sent ahead; 0 = none */
  __u16 probability;       /* fallback: of the stack sent ahead, in 1/256 */
  __u8 state;
  __u8 futex_kind; /* of the wait that began, 0 = none */
};
#define LF_OFF_BEFORE 1
#define LF_SLOT_WAYS 4
/* The thread that runs, as its CPU remembers it (current.bpf.h). */
struct lf_current {
  __u64 stack; /* where its kernel stack begins */
  __u64 task;
  __u64 start_ns; /* of the process */
  __u64 slot_key;
  __u32 tgid, tid;
};

struct lf_slot_set {
  struct lf_slot way[LF_SLOT_WAYS];
};

/* --- per-CPU state: one inner array of one element for each online CPU and program family -------------------- */
enum lf_cpu_counter {
  LF_CPU_RING_FULL,
  LF_CPU_NO_RING,
  LF_CPU_USER_UNREADABLE,
  LF_CPU_USER_TRUNCATED,
  LF_CPU_TAKEN, /* user halves sent (not a loss) */
  LF_CPU_COUNTERS,
};

struct lf_cpu_area {
  __u64 counter[LF_CPU_COUNTERS];
  __u64 event_id; /* written by the addon: id of the perf event of this CPU; the timers of others are not ours */
  __u64 pad[2];
  struct lf_record_stack scratch;
  struct lf_uw_walk unwind;
};

enum lf_off_counter {
  LF_OFF_RING_FULL,
  LF_OFF_NO_RING,
  LF_OFF_SLOT_COLLISION, /* all ways of the set taken: the wait is not known */
  LF_OFF_ORPHAN_END,     /* an end without a beginning after the first switch */
  LF_OFF_TOTALS_FULL,    /* weight went into the "other" row */
  LF_OFF_RUNQ_FULL,
  LF_OFF_KERNEL_TRUNCATED,
  LF_OFF_USER_TRUNCATED,
  LF_OFF_USER_UNREADABLE,
  LF_OFF_STACK_LOST_NS, /* weight of waits whose stack record was lost */
  LF_OFF_WAITS,         /* all waits seen (not a loss) */
  LF_OFF_SAMPLED,       /* waits sent with a stack (not a loss) */
  LF_OFF_BEGAN_BEFORE,  /* waits that began before the recording (not a loss) */
  LF_OFF_FUTEX_FULL,    /* weight went into the "other" row */
  LF_OFF_COUNTERS,
};

struct lf_total {
  __u64 key; /* tgid | state << 32 | 1 << 63 (used) */
  __u64 start_time_ns;
  __u64 count;
  __u64 sum_ns;
  __u64 max_ns;
};

#define LF_RUNQ_BUCKETS 56
struct lf_runq {
  __u64 key; /* tgid | 1 << 63 */
  __u64 start_time_ns;
  __u64 count;
  __u64 sum_ns;
  __u64 max_ns;
  __u32 bucket[LF_RUNQ_BUCKETS];
};

/* Exact waits of one process for one lock or futex. */
struct lf_lock_row {
  __u64 lock; /* address, 0 = free */
  __u64 key;  /* tgid | kind << 32 | object << 40 */
  __u64 start_time_ns;
  __u64 count;
  __u64 timeouts; /* of a futex */
  __u64 sum_ns;
  __u64 max_ns;
  __u32 bucket[LF_RUNQ_BUCKETS];
};

/* powers of two; the row behind the last is "other" */
#define LF_FUTEX_ROWS 1024
#define LF_TOTAL_ROWS 4096
#define LF_RUNQ_ROWS 2048
#define LF_TABLE_PROBES 8

struct lf_off_area {
  __u64 counter[LF_OFF_COUNTERS];
  __u64 threshold_ns; /* T of the sampling of waits on this CPU */
  __u64 threshold_max_ns;
  __u64 window_ns; /* begin of the current budget window */
  __u64 window_stacks;
  __u64 seq;
  __u64 random;     /* state of the generator that draws waits */
  __u64 switch_ns;  /* time of the last switch on this CPU that was told */
  __u64 switch_tid; /* the thread that it was to */
  struct lf_record_stack scratch;
  struct lf_uw_walk unwind;
  struct lf_total total[LF_TOTAL_ROWS + 1];
  struct lf_runq runq[LF_RUNQ_ROWS + 1];
  struct lf_lock_row futex[LF_FUTEX_ROWS + 2]; /* behind the last: other locks, other conditions */
};

#include "events-locks.h"

/* A slab cache that an address lies in; "" = none. */
struct lf_slab_name {
  __u64 address;
  char name[32];
};
#define LF_SLAB_ADDRESSES 64

/* The run queue of a CPU; its lock is its first member. */
struct lf_run_queue {
  __u64 address;
  __u64 cpu;
};

struct lf_proc_area {
  __u64 ring_full;
  __u64 no_ring;
};

#include "events-calls.h"

struct lf_text {
  __u64 begin, end;
};

/* Settings, in .rodata of each object: the verifier drops what is switched off. */
struct lf_settings {
  __u32 filter_pids; /* number of entries of the map of wanted process ids */
  __u32 filter_comms;
  __u32 filter_cgroups;
  __u32 filter_cpus; /* 1 = look into the bit map */
  char comm[LF_MAX_COMMS][LF_COMM_LEN];
  __u64 cpu_bits[LF_MAX_CPUS / 64];
  __u64 swevent_function;    /* address of perf_swevent_hrtimer */
  __u64 threshold_ns;        /* base T */
  __u32 stacks_per_window;   /* budget of stacks a CPU and window */
  __u32 slot_sets;           /* a power of two */
  __u32 user_stack_in_chain; /* the perf event's own chain has it, and nobody walks */
  __u32 table_mask;          /* rows used of each table less one, at most all */
  __u32 want_offcpu;         /* the off-CPU object serves two sources */
  __u32 want_futex;
  __u32 want_calls;
  __u32 call_sets; /* a power of two */
  __u64 call_busy_limit_ns, call_blocked_limit_ns;
  __u64 wall_offset_ns;      /* wall clock less CLOCK_MONOTONIC */
  __u32 lock_sets;           /* a power of two */
  __u64 lock_limit_ns;       /* a longer wait for a lock always has its stack */
  struct lf_text sched_text; /* the kernel's code of scheduling and locks; 0 = not asked for */
  __u64 tick_ns;             /* of one jiffy */
  __u32 unwind;              /* user stacks from the tables of unwind.h */
  __u32 pad;
};

#endif
