/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Maps and small parts of the lock programs: the per-CPU area, slots of sleeping waiters, the exact table, sampling. */
#ifndef LOWFLAME_LOCKS_H
#define LOWFLAME_LOCKS_H

#include "current.bpf.h"
#include "lock-likes.bpf.h"
#include "lock-rows.bpf.h"
#include "slots.bpf.h"
#include "stack.bpf.h"
#include "tables.bpf.h"
#include "unwind.bpf.h"

#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif

/* flags of contention_begin: LCB_F_*, include/trace/events/lock.h */
#define LCB_F_SPIN 1
#define LCB_F_READ 2
#define LCB_F_WRITE 4
#define LCB_F_RT 8
#define LCB_F_PERCPU 16
#define LCB_F_MUTEX 32

struct lf_lock_area_map {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(struct lf_lock_area)); /* as a type it would reach BTF as a mere forward declaration */
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u32);
  __array(values, struct lf_lock_area_map);
} lf_lock_areas SEC(".maps");

struct lf_lock_ring_map {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u32);
  __array(values, struct lf_lock_ring_map);
} lf_lock_rings SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE); /* begins at a page, so that an element lies in cache lines of its own */
  __type(key, __u32);
  __type(value, struct lf_lock_set);
} lf_lock_slots SEC(".maps");

#define LOCK_WINDOW_NS 100000000ULL
#define LOCK_STACKS_A_WINDOW 20
#define LOCK_ONE_IN_MAX 8192

#ifdef LF_TASK_FROM_PID
extern struct task_struct* bpf_task_from_pid(__s32 pid) __ksym;
extern void bpf_task_release(struct task_struct* task) __ksym;
#endif

static __always_inline struct lf_lock_area* lock_area(__u32 cpu) {
  __u32 zero = 0;
  void* inner = bpf_map_lookup_elem(&lf_lock_areas, &cpu);

  return inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
}

/* Without flags: a semaphore (__down_common in kernel/locking/semaphore.c), whose waiters sleep as those of a mutex do.
 */
static __always_inline __u32 lf_lock_kind(__u32 flags) {
  if (flags & LCB_F_MUTEX || !flags) return LF_LOCK_MUTEX;
  if (flags & LCB_F_PERCPU) return flags & LCB_F_WRITE ? LF_LOCK_PERCPU_WRITE : LF_LOCK_PERCPU_READ;
  if (flags & LCB_F_RT) return LF_LOCK_RT;
  if (flags & LCB_F_SPIN) {
    if (flags & LCB_F_READ) return LF_LOCK_RWLOCK_READ;
    if (flags & LCB_F_WRITE) return LF_LOCK_RWLOCK_WRITE;
    return LF_LOCK_SPIN;
  }
  if (flags & LCB_F_READ) return LF_LOCK_RWSEM_READ;
  if (flags & LCB_F_WRITE) return LF_LOCK_RWSEM_WRITE;
  return LF_LOCK_SPIN;
}

static __always_inline __u32 lock_object(struct task_struct* task, __u64 lock, __u32 kind) {
  /* none of these is made of a mutex, and looking costs whoever waits for one */
  if (kind == LF_LOCK_MUTEX || kind == LF_LOCK_PERCPU_READ || kind == LF_LOCK_PERCPU_WRITE) return LF_LOCK_PLAIN;
  struct mm_struct* mm = task->mm;
  struct sighand_struct* sighand = task->sighand;
  struct files_struct* files = task->files;

  if (mm) {
    __u64 mmap_lock = (__u64)mm + bpf_core_field_offset(struct mm_struct, mmap_lock);

    if (lock == mmap_lock) return LF_LOCK_MMAP;
    /* what it is made of: the spin lock of its queue; on a real-time kernel the mutex that writers hold */
    if (bpf_core_field_exists(((struct rw_semaphore*)0)->wait_lock) &&
        lock == mmap_lock + bpf_core_field_offset(struct rw_semaphore, wait_lock))
      return LF_LOCK_MMAP;
    if (bpf_core_field_exists(((struct rw_semaphore___rt*)0)->rwbase) &&
        lock == mmap_lock + bpf_core_field_offset(struct rw_semaphore___rt, rwbase) +
                    bpf_core_field_offset(struct rwbase_rt, rtmutex))
      return LF_LOCK_MMAP;
  }
  if (sighand && lock == (__u64)sighand + bpf_core_field_offset(struct sighand_struct, siglock)) return LF_LOCK_SIGHAND;
  if (files && lock == (__u64)files + bpf_core_field_offset(struct files_struct, file_lock)) return LF_LOCK_FILES;
  return LF_LOCK_PLAIN;
}

/* The current thread, and where it stands: `at`, an address on the stack in use, through memory, since the verifier
 * takes a program's arguments for something else. */
static __always_inline struct task_struct* lock_waiter(struct lf_lock_area* area, void* ctx, __u64* at) {
  *at = (__u64)ctx;
  lf_forget();
  return lf_current(&area->current, lf_on_stack_of(&area->current, *at));
}

static __always_inline __u64 lf_lock_key(__u64 slot_key) {
  /* an idle task has the id 0 on every CPU, but it never sleeps for a lock */
  return slot_key | 1ULL << 63;
}

static __always_inline struct lf_lock_set* lock_set(__u32 tid) {
  __u32 index = tid & (settings.lock_sets - 1);

  return bpf_map_lookup_elem(&lf_lock_slots, &index);
}

/* A way of a set, as one pointer to the verifier and not as four. */
static __always_inline struct lf_lock_wait* lock_way(struct lf_lock_set* set, __u32 way, struct lf_lock_place* to) {
  to->place = way;
  lf_forget();
  return &set->way[to->place & (LF_SLOT_WAYS - 1)];
}

static __always_inline struct lf_lock_wait* lock_find(struct lf_lock_set* set, __u64 key, struct lf_lock_place* to) {
  __u32 way = LF_SLOT_WAYS;

  if (set->way[0].key == key)
    way = 0;
  else if (set->way[1].key == key)
    way = 1;
  else if (set->way[2].key == key)
    way = 2;
  else if (set->way[3].key == key)
    way = 3;
  return way < LF_SLOT_WAYS ? lock_way(set, way, to) : NULL;
}

static __always_inline struct lf_lock_wait* lock_claim(struct lf_lock_set* set, __u64 key, struct lf_lock_place* to) {
  __u32 way = LF_SLOT_WAYS;

#pragma clang loop unroll(full)
  for (__u32 i = 0; i < LF_SLOT_WAYS; i++) {
    if (!set->way[i].key && !__sync_val_compare_and_swap(&set->way[i].key, 0, key)) {
      way = i;
      break;
    }
  }
  return way < LF_SLOT_WAYS ? lock_way(set, way, to) : NULL;
}

/*
 * Keeps stacks within the budget: every wait has one where few wait; where many do, one in N. N is fixed before a
 * wait's length is known, so weights stay unbiased whatever it does.
 */
static __always_inline __u64 lock_one_in(struct lf_lock_area* area, __u64 now) {
  __u64 n = area->one_in ? area->one_in : 1;

  if (lf_rare(now - area->window_ns >= LOCK_WINDOW_NS)) {
    if (area->window_stacks < LOCK_STACKS_A_WINDOW / 2 && n > 1) n /= 2;
    area->window_ns = now;
    area->window_stacks = 0;
  } else if (lf_rare(area->window_stacks >= LOCK_STACKS_A_WINDOW && n < LOCK_ONE_IN_MAX)) {
    n *= 2;
    area->window_stacks = 0;
  }
  area->one_in = n;
  return n;
}

/*
 * Where waits go that have no row of their own: to that of their lock without a process, if it has one or may have it,
 * or to "other". A process's own lock would be nobody's there.
 */
static __noinline __u32 rest_place(struct lf_lock_area* area, __u64 lock, __u64 key, __u64 ns) {
  __u32 index = LF_LOCK_ROWS + 1 + (lf_hash(lock) & (LF_LOCK_REST - 1));
  struct lf_lock_row* t = &area->row[index];

  if (key >> 40) return LF_LOCK_ROWS;
  key = key >> 32 << 32;
  if (t->lock == lock && t->key == key) return index;
  if (t->lock && !row_gives_way(t, ns, &area->random)) return LF_LOCK_ROWS;
  lf_empty_row(t, &area->row[LF_LOCK_ROWS]);
  t->key = key;
  t->lock = lock;
  return index;
}

/* One wait into the exact table of this CPU. */
static __always_inline void lock_add(struct lf_lock_area* area, __u64* counter, const struct lf_lock_ended* w,
                                     struct lf_lock_place* to) {
  __u64 key = w->key, ns = w->ns;
  __u32 at = lf_hash(w->lock ^ key << 7 ^ w->start_time_ns);
  __u32 place = LF_LOCK_ROWS;

  for (int i = 0; i < LF_TABLE_PROBES; i++) {
    __u32 index = (at + i) & settings.table_mask & (LF_LOCK_ROWS - 1);
    struct lf_lock_row* t = &area->row[index];

    if (t->lock == w->lock && t->key == key && t->start_time_ns == w->start_time_ns) {
      place = index;
      break;
    }
    if (lf_rare(!t->lock)) {
      t->key = key;
      t->start_time_ns = w->start_time_ns;
      t->lock = w->lock;
      place = index;
      break;
    }
  }
  if (lf_rare(place == LF_LOCK_ROWS)) {
    __u32 index = (at + (lf_random(&area->random) >> 61)) & settings.table_mask & (LF_LOCK_ROWS - 1);
    struct lf_lock_row* t = &area->row[index];

    if (row_gives_way(t, ns, &area->random)) {
      __u32 rest = rest_place(area, t->lock, t->key, t->sum_ns);

      counter[LF_LOCKS_TABLE_FULL] += lf_empty_row(t, &area->row[rest]);
      t->key = key;
      t->start_time_ns = w->start_time_ns;
      t->lock = w->lock;
      place = index;
    } else {
      counter[LF_LOCKS_TABLE_FULL]++;
      place = rest_place(area, w->lock, key, ns);
    }
  }
  to->place = place;
  to->bucket = lf_bucket(ns);
  lf_forget();
  place = to->place;
  if (place > LF_LOCK_ROWS + LF_LOCK_REST) return;
  row_add(&area->row[place], ns, to->bucket);
}

#define ENDED_A_BEGIN 4

/* What ended on this CPU goes into the table. Of lf_lock_begin. */
static __always_inline void add_ended(struct lf_lock_area* area) {
  __u64 tail = area->ended_tail;

  area->adding = 1;
  asm volatile("" ::: "memory");
  for (int i = 0; i < ENDED_A_BEGIN; i++) {
    if (tail == *(volatile __u64*)&area->ended_head) break;
    const struct lf_lock_ended* e = &area->ended[tail & (LF_LOCK_ENDED - 1)];

    lock_add(area, area->begin_counter, e, &area->begin_place);
    like_ended(area, e->like, e->ns);
    lf_forget();
    tail++;
  }
  area->ended_tail = tail;
  asm volatile("" ::: "memory");
  area->adding = 0;
}

/* A wait that ended. Of lf_lock_end, which keeps everybody waiting: so the table is left to the next begin. */
static __always_inline void note_ended(struct lf_lock_area* area, const struct lf_lock_wait* w, __u64 ns) {
  __u64 head = area->ended_head;
  struct lf_lock_ended own, *e = &own;
  bool room = head - area->ended_tail < LF_LOCK_ENDED;

  if (room) e = &area->ended[head & (LF_LOCK_ENDED - 1)];
  e->lock = w->lock;
  e->key = (__u64)w->object << 40 | (__u64)w->kind << 32 | w->tgid;
  e->start_time_ns = w->start_time_ns;
  e->ns = ns;
  e->like = w->seq ? 0 : w->like;
  if (!lf_rare(!room)) {
    asm volatile("" ::: "memory");
    area->ended_head = head + 1;
  } else if (!area->adding) {
    /* threads that begin to wait elsewhere and end here */
    lock_add(area, area->counter, e, &area->end_place);
  } else {
    area->counter[LF_LOCKS_NESTED]++;
  }
}

#endif
