/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Thread slots: state of a thread between two events, 64 bytes each, in sets of four chosen by the low bits of the
 * thread id. A slot is claimed once per thread life by compare and swap and has one writer from then on: the thread
 * (or the CPU that is switching to it). No slot left: the caller counts it.
 */
#ifndef LOWFLAME_SLOTS_H
#define LOWFLAME_SLOTS_H

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE); /* begins at a page, so that an element lies in cache lines of its own */
  __type(key, __u32);
  __type(value, struct lf_slot_set);
} lf_slots SEC(".maps");

/* 1 = this set once had no way left: written once, so that a thread without a slot is known to have been counted lost.
 */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} lf_full_sets SEC(".maps");

static __always_inline bool lf_set_was_full(struct task_struct* task) {
  __u32 index = (__u32)task->pid & (settings.slot_sets - 1);
  __u32* full = bpf_map_lookup_elem(&lf_full_sets, &index);

  return full && *full;
}

static __always_inline void lf_set_is_full(struct task_struct* task) {
  __u32 index = (__u32)task->pid & (settings.slot_sets - 1);
  __u32* full = bpf_map_lookup_elem(&lf_full_sets, &index);

  if (full && !*full) *full = 1;
}

/* Thread id alone would confuse a thread with the dead one whose id it got: the start time goes into the key. */
static __always_inline __u64 lf_slot_key(struct task_struct* task) {
  return (task->start_time >> 8) << 32 | (__u32)task->pid;
}

static __always_inline struct lf_slot_set* lf_slot_set(struct task_struct* task) {
  __u32 index = (__u32)task->pid & (settings.slot_sets - 1);

  return bpf_map_lookup_elem(&lf_slots, &index);
}

static __always_inline struct lf_slot* lf_slot_find(struct lf_slot_set* set, __u64 key) {
  if (set->way[0].key == key) return &set->way[0];
  if (set->way[1].key == key) return &set->way[1];
  if (set->way[2].key == key) return &set->way[2];
  if (set->way[3].key == key) return &set->way[3];
  return NULL;
}

static __always_inline struct lf_slot* lf_slot_claim(struct lf_slot_set* set, __u64 key) {
#pragma clang loop unroll(full)
  for (int i = 0; i < LF_SLOT_WAYS; i++) {
    if (!set->way[i].key && !__sync_val_compare_and_swap(&set->way[i].key, 0, key)) return &set->way[i];
  }
  return NULL;
}

static __always_inline void lf_slot_free(struct lf_slot* slot) {
  slot->off_ns = 0;
  slot->run_delay_ns = 0;
  slot->state = 0;
  slot->seq = 0;
  slot->probability = 0;
  slot->last_wait_ns = 0;
  slot->futex_owner = 0;
  slot->futex_kind = 0;
  slot->futex_address = 0;
  slot->futex_deadline_ns = 0;
  slot->runs = 0;
  /* the key last: from here on another thread may claim it */
  *(volatile __u64*)&slot->key = 0;
}

#endif
