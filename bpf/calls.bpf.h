/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The system call that a thread is in, in a slot of its own as in slots.bpf.h: written by the programs on system calls,
 * and by those on switches, which add what the thread slept meanwhile. Both run as the thread, or for it.
 */
#ifndef LOWFLAME_CALLS_H
#define LOWFLAME_CALLS_H

#include "slots.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE); /* begins at a page, so that an element lies in cache lines of its own */
  __type(key, __u32);
  __type(value, struct lf_call_set);
} lf_call_slots SEC(".maps");

static __always_inline struct lf_call_set* lf_call_set(struct task_struct* task) {
  __u32 index = (__u32)task->pid & (settings.call_sets - 1);

  return bpf_map_lookup_elem(&lf_call_slots, &index);
}

static __always_inline struct lf_call_slot* lf_call_find(struct lf_call_set* set, __u64 key) {
  if (set->way[0].key == key) return &set->way[0];
  if (set->way[1].key == key) return &set->way[1];
  if (set->way[2].key == key) return &set->way[2];
  if (set->way[3].key == key) return &set->way[3];
  return NULL;
}

static __always_inline struct lf_call_slot* lf_call_claim(struct lf_call_set* set, __u64 key) {
#pragma clang loop unroll(full)
  for (int i = 0; i < LF_SLOT_WAYS; i++) {
    if (!set->way[i].key && !__sync_val_compare_and_swap(&set->way[i].key, 0, key)) return &set->way[i];
  }
  return NULL;
}

/* The call `nr` on the socket that is `file`, NULL = on none. */
static __always_inline void lf_call_note(struct lf_call_slot* slot, __u64 nr, struct file* file, bool third) {
  /* by way of memory, where the verifier sees a number in it */
  *(volatile __u64*)&slot->call = (__u64)file;
  slot->call = *(volatile __u64*)&slot->call << LF_SLOT_SHIFT | (third ? LF_SLOT_THIRD : 0) | nr;
}

/* The file of the socket that the call began on, which it holds until it returns, whatever becomes of the descriptor;
 * NULL = none. */
static __always_inline struct file* lf_call_file(const struct lf_call_slot* slot) {
  __u64 file = slot->call & LF_SLOT_FILE;

  return (struct file*)(file ? file >> LF_SLOT_SHIFT | ~0ULL << (64 - LF_SLOT_SHIFT) : 0);
}

/* `task` slept for `ns`, until `woken_ns`; since then it has waited for a CPU. */
static __always_inline void lf_call_slept(struct task_struct* task, __u64 ns, __u64 woken_ns) {
  struct lf_call_set* set = lf_call_set(task);
  struct lf_call_slot* slot = set ? lf_call_find(set, lf_slot_key(task)) : NULL;

  if (!slot) return;
  slot->slept_ns += ns;
  slot->woken_ns = woken_ns;
  if (slot->enter_ns) slot->blocked_ns += ns;
}

/* `task` ends. */
static __always_inline void lf_call_free(struct task_struct* task) {
  struct lf_call_set* set = lf_call_set(task);
  struct lf_call_slot* slot = set ? lf_call_find(set, lf_slot_key(task)) : NULL;

  if (!slot) return;
  slot->enter_ns = 0;
  /* the key last: from here on another thread may claim it */
  *(volatile __u64*)&slot->key = 0;
}

#endif
