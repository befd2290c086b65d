/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Waits for futexes, recognised from the registers that the thread saved at its system call: nothing is attached to
 * system calls. Numbers and layouts: include/uapi/linux/futex.h and the x86-64 system call table.
 */
#ifndef LOWFLAME_FUTEX_H
#define LOWFLAME_FUTEX_H

#include "core.h"
#include "lock-rows.bpf.h"

#define SYS_FUTEX 202
#define SYS_FUTEX_WAITV 449
#define SYS_FUTEX_WAIT 455

#define FUTEX_PRIVATE_FLAG 128
#define FUTEX_CLOCK_REALTIME 256
#define FUTEX_CMD_MASK 127
#define FUTEX_WAIT 0
#define FUTEX_LOCK_PI 6
#define FUTEX_WAIT_BITSET 9
#define FUTEX_WAIT_REQUEUE_PI 11
#define FUTEX_LOCK_PI2 13
#define FUTEX_WAITERS 0x80000000
#define FUTEX_TID_MASK 0x3fffffff
#define CLOCK_REALTIME 0

/* A relative timeout runs from the system call's entry, the wait from the switch: they differ by less than this. */
#define TIMEOUT_SLACK_NS 100000

struct lf_futex {
  __u64 address;
  __u64 timeout; /* user address of a timespec, 0 = none */
  __u32 kind;    /* 0 = it does not wait for a futex */
  __u32 value;
  bool relative;
  bool realtime;
  bool shared; /* of the locks with priority inheritance: another process may own it */
};

struct lf_futex_waitv {
  __u64 value;
  __u64 address;
};

struct lf_timespec {
  __s64 seconds;
  __s64 nanoseconds;
};

/* A futex so near above the waiter's own stack pointer is in the frames that wait. */
#define OWN_FRAMES_BYTES 512

/*
 * What a waiter says of its futex by the value that it waits for. glibc, musl, Go and Rust write 2 into a lock that has
 * waiters, glibc's read-write lock 2 or 3; robust and musl's locks hold the owner's id with the top bit, Rust's
 * read-write lock has bits 30 and 31 for waiters. Condition variables wait for a sequence number, semaphores and parked
 * threads for 0, Rust's parked threads for -1. What that leaves open native/session/futex_words.h looks up in memory.
 */
static __always_inline __u32 futex_kind_of(__u32 value) {
  bool lock = value == 2 || value == 3 || (value >= 1U << 30 && value != ~0U);

  return lock ? LF_LOCK_FUTEX : LF_LOCK_FUTEX_CONDITION;
}

static __always_inline __u16 lf_futex_value(__u32 value) {
  if (value == ~0U) return LF_FUTEX_ONES;
  if (value >= 1U << 30) return LF_FUTEX_BITS;
  return value < LF_FUTEX_OTHER ? value : LF_FUTEX_OTHER;
}

/*
 * The same where FUTEX_WAIT_BITSET comes without the private flag. glibc waits so for locks that processes share, and
 * in pthread_join, for a thread's id and as a rule for ever: that is a 2 or 3 in a container at most, since outside of
 * one those are the kernel's own.
 */
static __always_inline __u32 futex_kind_of_shared(struct task_struct* task, __u32 value, bool timed) {
  if (value < 1U << 30 && !timed && task->thread_pid->level) return LF_LOCK_FUTEX_CONDITION;
  return futex_kind_of(value);
}

/* glibc's pthread_mutex_t as far as it is read (nptl/bits/struct_mutex.h, x86-64). */
struct lf_pthread_mutex {
  __u32 lock;
  __u32 count;
  __u32 owner;
  __u32 users;
  __u32 kind; /* one of four types, flags for robust, priority inheritance and protection, sharing, elision */
};
#define PTHREAD_MUTEX_KINDS 0x3ffU
#define PTHREAD_MUTEX_ROBUST 16
#define PTHREAD_MUTEX_SHARED 128

/* Whether glibc's mutex is at `address` and has waiters. musl, Go and Rust keep no owner, so theirs do not fit. */
static __always_inline bool lf_read_mutex(__u64 address, struct lf_pthread_mutex* m) {
  if (bpf_probe_read_user(m, sizeof(*m), (void*)address)) return false;
  if (!m->users || m->kind & ~PTHREAD_MUTEX_KINDS || m->owner > FUTEX_TID_MASK) return false;
  if (m->lock == 2) return true;
  return m->kind & PTHREAD_MUTEX_ROBUST && m->lock & FUTEX_WAITERS && (m->lock & FUTEX_TID_MASK) == m->owner;
}

/* What `task` waits for. Of another task than the current one futex_waitv gives no address: that is in its memory. */
static __always_inline void lf_futex_of(struct task_struct* task, bool is_current, struct lf_futex* f) {
  f->kind = 0;
  f->timeout = 0;
  f->relative = false;
  f->realtime = false;
  f->shared = false;
  if (task->flags & PF_KTHREAD) return;
  struct pt_regs* regs = (struct pt_regs*)bpf_task_pt_regs(task);
  long nr = (long)regs->orig_ax;

  if (nr != SYS_FUTEX && nr != SYS_FUTEX_WAITV && nr != SYS_FUTEX_WAIT) return;
  f->address = regs->di;
  if (nr == SYS_FUTEX) {
    __u32 op = regs->si, command = op & FUTEX_CMD_MASK;

    f->value = regs->dx;
    f->timeout = regs->r10;
    f->realtime = op & FUTEX_CLOCK_REALTIME;
    if (command == FUTEX_WAIT) {
      f->kind = futex_kind_of(f->value);
      f->relative = true;
    } else if (command == FUTEX_WAIT_BITSET) {
      f->kind =
          op & FUTEX_PRIVATE_FLAG ? futex_kind_of(f->value) : futex_kind_of_shared(task, f->value, f->timeout != 0);
    } else if (command == FUTEX_LOCK_PI) {
      f->kind = LF_LOCK_FUTEX_PI;
      f->realtime = true;
      f->shared = !(op & FUTEX_PRIVATE_FLAG);
    } else if (command == FUTEX_LOCK_PI2) {
      f->kind = LF_LOCK_FUTEX_PI;
      f->shared = !(op & FUTEX_PRIVATE_FLAG);
    } else if (command == FUTEX_WAIT_REQUEUE_PI) {
      f->kind = LF_LOCK_FUTEX_CONDITION;
    }
  } else if (nr == SYS_FUTEX_WAIT) {
    f->value = regs->si;
    f->timeout = regs->r8;
    f->realtime = regs->r9 == CLOCK_REALTIME;
    f->kind = futex_kind_of(f->value);
  } else {
    struct lf_futex_waitv first = {};

    f->timeout = regs->r10;
    f->realtime = regs->r8 == CLOCK_REALTIME;
    if (is_current && !bpf_probe_read_user(&first, sizeof(first), (void*)f->address)) {
      f->address = first.address;
      f->value = first.value;
      f->kind = futex_kind_of(f->value);
    } else {
      f->kind = LF_LOCK_FUTEX_CONDITION;
    }
  }
}

/*
 * Owner of the lock that the current task begins to wait for, as in lf_record; 0 = unknown. The addon asks whether it
 * is a living thread. Of a lock that processes share it may be a thread of another pid namespace, where its number
 * means another one: unknown in a container. Sets the kind right, too: musl's condition variables wait for a 2 in the
 * waiter's own frames.
 */
static __always_inline __u32 lf_futex_owner(struct task_struct* task, struct lf_futex* f, __u64 sp) {
  struct lf_pthread_mutex m = {};
  bool inside = task->thread_pid->level;
  __u32 as_is = inside ? 0 : LF_OWNER_AS_IS;

  if (f->kind == LF_LOCK_FUTEX_PI) {
    /* the word is the kernel's own protocol: Documentation/locking/pi-futex.rst */
    if (bpf_probe_read_user(&m.lock, sizeof(m.lock), (void*)f->address)) return 0;
    m.owner = m.lock & FUTEX_TID_MASK;
    if (inside && f->shared) return 0;
    return m.owner && !f->shared ? m.owner | as_is : m.owner;
  }
  if (f->kind != LF_LOCK_FUTEX) return 0;
  if (lf_read_mutex(f->address, &m)) {
    bool shared = m.kind & PTHREAD_MUTEX_SHARED;

    if (inside && shared) return 0;
    return m.owner && !shared ? m.owner | as_is : m.owner;
  }
  if (f->address - sp < OWN_FRAMES_BYTES) f->kind = LF_LOCK_FUTEX_CONDITION;
  return 0;
}

/* When the wait that the current task begins at `now` will be given up, by CLOCK_MONOTONIC; 0 = never. */
static __always_inline __u64 lf_futex_deadline(const struct lf_futex* f, __u64 now) {
  struct lf_timespec t;

  if (!f->timeout || bpf_probe_read_user(&t, sizeof(t), (void*)f->timeout)) return 0;
  __u64 limit = (__u64)t.seconds * 1000000000ULL + (__u64)t.nanoseconds;

  if (f->relative) return now + limit - TIMEOUT_SLACK_NS;
  return f->realtime ? limit - settings.wall_offset_ns : limit;
}

/*
 * The threshold of a wait for a lock whose owner is known, by that of other waits: it is finer, since the waits tell
 * through whose hands the lock goes, and each that is left out is a hand that nobody knows of; and it grows later.
 */
static __always_inline __u64 lf_owned_threshold(__u64 t) {
  __u64 grown = t / 16, base = settings.threshold_ns / 4;

  return grown > base ? grown : base;
}

static __always_inline void lf_futex_add(struct lf_off_area* area, const struct lf_futex* f, __u32 tgid, __u64 start_ns,
                                         __u64 ns, bool timed_out) {
  __u64 key = (__u64)f->kind << 32 | tgid;
  __u32 at = lf_hash(f->address ^ key << 7 ^ start_ns);
  /* each has half of the table: parked threads, of which there are many, must not hide the locks */
  bool condition = f->kind == LF_LOCK_FUTEX_CONDITION;
  __u32 half = condition ? LF_FUTEX_ROWS / 2 : 0, mask = settings.table_mask & (LF_FUTEX_ROWS / 2 - 1);
  struct lf_lock_row* row = NULL;

  for (int i = 0; i < LF_TABLE_PROBES; i++) {
    struct lf_lock_row* t = &area->futex[half | ((at + i) & mask)];

    if (t->lock == f->address && t->key == key && t->start_time_ns == start_ns) {
      row = t;
      break;
    }
    if (!t->lock) {
      t->key = key;
      t->start_time_ns = start_ns;
      t->lock = f->address;
      row = t;
      break;
    }
  }
  if (!row) {
    struct lf_lock_row* other = &area->futex[condition ? LF_FUTEX_ROWS + 1 : LF_FUTEX_ROWS];

    row = &area->futex[half | ((at + (lf_random(&area->random) >> 61)) & mask)];
    if (row_gives_way(row, ns, &area->random)) {
      area->counter[LF_OFF_FUTEX_FULL] += lf_empty_row(row, other);
      row->key = key;
      row->start_time_ns = start_ns;
      row->lock = f->address;
    } else {
      area->counter[LF_OFF_FUTEX_FULL]++;
      row = other;
    }
  }
  row->timeouts += timed_out;
  row_add(row, ns, lf_bucket(ns));
}

#endif
