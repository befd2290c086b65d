/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Waits for locks that are older than the recording: their beginning was not seen. The addon finds the threads by their
 * stacks before the activation and puts a map of them, by lf_lock_key, into the outer one; where nobody waited there is
 * none, and a look costs one load. The addon knows the kind of the lock; its address is told by the wait's end, or by a
 * mutex that tells of its beginning once more. From the activation on an entry has one writer, the thread,
 * and programs neither add nor remove any: no lock of the map is ever taken by them.
 */
#ifndef LOWFLAME_EARLIER_LOCKS_H
#define LOWFLAME_EARLIER_LOCKS_H

#include "locks.bpf.h"

struct lf_earlier_locks_map {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __uint(key_size, sizeof(__u64));
  __uint(value_size, sizeof(struct lf_lock_wait));
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u32);
  __array(values, struct lf_earlier_locks_map);
} lf_earlier SEC(".maps");

/* The wait that `who` is in since before the recording, NULL if it is in none. Its key is 0 once it is over. */
static __always_inline struct lf_lock_wait* earlier_wait(const struct lf_current* who) {
  __u32 zero = 0;
  void* inner = bpf_map_lookup_elem(&lf_earlier, &zero);

  if (!inner) return NULL;
  __u64 key = lf_lock_key(who->slot_key);
  struct lf_lock_wait* wait = bpf_map_lookup_elem(inner, &key);

  return wait && wait->key ? wait : NULL;
}

/* Whether what begins is a wait that began before the recording: a mutex tells each time that its first waiter wakes.
 */
static __always_inline bool earlier_wait_goes_on(const struct lf_current* who, __u64 lock) {
  struct lf_lock_wait* wait = earlier_wait(who);

  if (wait) wait->lock = lock;
  return wait;
}

/* The wait that ends now, if it began before the recording: it counts from `since`. */
static __always_inline struct lf_lock_wait* earlier_wait_ends(const struct lf_current* who, struct task_struct* task,
                                                              __u64 lock, __u64 since) {
  struct lf_lock_wait* wait = earlier_wait(who);

  if (!wait) return NULL;
  wait->lock = lock;
  wait->begin_ns = since;
  wait->object = lock_object(task, lock, wait->kind);
  return wait;
}

#endif
