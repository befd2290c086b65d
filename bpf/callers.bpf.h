/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which thread makes a call, as its CPU remembers it, and its slot. */
#ifndef LOWFLAME_CALLERS_H
#define LOWFLAME_CALLERS_H

#include "calls.bpf.h"
#include "current.bpf.h"
#include "endpoint.bpf.h"

struct lf_caller {
  struct lf_current thread;
  __u64 regs;              /* where the kernel keeps the registers that its calls begin with: on its stack */
  __u32 way;               /* of its slot, among those of its set */
  __u64 socket_operations; /* file operations of sockets; 0 = not seen yet */
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lf_caller);
} lf_callers SEC(".maps");

/* The current thread, whose registers at the beginning of its call are at `regs`, on its kernel stack. */
static __always_inline struct lf_caller* lf_caller(__u64 regs, struct task_struct** task) {
  __u32 zero = 0;
  struct lf_caller* who = bpf_map_lookup_elem(&lf_callers, &zero);

  if (!who) return NULL;
  *task = lf_current(&who->thread, who->regs == regs);
  who->regs = regs;
  return who;
}

/*
 * The file behind descriptor `fd` of `task`, which is `who`, where that is a socket; else NULL. All sockets have one
 * set of file operations, which the kernel keeps to itself (socket_file_ops). A CPU learns it from the first by its
 * inode, which lies in memory of its own, as the socket does: neither is needed at the entry then.
 */
static __always_inline struct file* lf_socket_file(struct lf_caller* who, struct task_struct* task, __u32 fd) {
  struct file* file = lf_file_of(task, fd);

  if (!file) return NULL;
  __u64 operations;

  *(volatile __u64*)&operations = (__u64)LF_GET(file, file, f_op);
  if (lf_rare(operations != who->socket_operations)) {
    /* a unix socket's path may be open without being one */
    if (!lf_is_socket(file) || !LF_GET(file, file, private_data)) return NULL;
    who->socket_operations = operations;
  }
  return file;
}

/* The slot of `who` among `set`'s, or NULL. Its way goes through memory: to the verifier one way to go on, not four. */
static __always_inline struct lf_call_slot* lf_caller_slot(struct lf_caller* who, struct lf_call_set* set) {
  __u64 key = who->thread.slot_key;

  if (lf_rare(set->way[who->way & (LF_SLOT_WAYS - 1)].key != key)) {
#pragma clang loop unroll(full)
    for (__u32 i = 0; i < LF_SLOT_WAYS; i++)
      if (set->way[i].key == key) *(volatile __u32*)&who->way = i;
  }
  struct lf_call_slot* slot = &set->way[*(volatile __u32*)&who->way & (LF_SLOT_WAYS - 1)];

  if (slot->key != key) slot = NULL;
  /* or clang compares the keys again where it may be NULL, and the verifier does not know that they differ */
  asm volatile("" : "+r"(slot));
  return slot;
}

static __always_inline struct lf_call_set* lf_caller_set(const struct lf_caller* who) {
  __u32 set = who->thread.tid & (settings.call_sets - 1);

  return bpf_map_lookup_elem(&lf_call_slots, &set);
}

#endif
