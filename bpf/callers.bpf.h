/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which thread makes a call, and its slot. A CPU remembers the one that made the last call there: to ask the kernel for
 * the current thread takes 10 to 15 ns where returns are guarded against speculation, at each end of a call. Where
 * memory can only be read by a helper that would be no gain: there the kernel is asked.
 */
#ifndef LOWFLAME_CALLERS_H
#define LOWFLAME_CALLERS_H

#include "calls.bpf.h"
#include "endpoint.bpf.h"

struct lf_caller {
  __u64 regs;  /* where the kernel keeps the registers that its calls begin with: on a stack of its own */
  __u64 stack; /* that one */
  __u64 task;
  __u64 start_ns; /* of the process */
  __u32 tgid, tid;
  __u64 slot_key;
  __u32 set, way; /* of the slot */
};

#ifdef LF_RDONLY_CAST
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lf_caller);
} lf_callers SEC(".maps");

#define LF_CALLER_TASK(who) LF_AT(task_struct, (who)->task)

/*
 * Whether `who` is the current thread, whose registers are at `regs`. A stack is one thread's at a time; one that ended
 * has none any more (free_thread_stack), and its memory may be another's. A thread that executes a program gets the id
 * of its process.
 */
static __always_inline bool lf_is_caller(const struct lf_caller* who, __u64 regs) {
  if (who->regs != regs) return false;
  struct task_struct* task = LF_CALLER_TASK(who);

  return (__u64)task->stack == who->stack && (__u32)task->pid == who->tid;
}
#else
#define LF_CALLER_TASK(who) bpf_get_current_task_btf()

static __always_inline bool lf_is_caller(const struct lf_caller* who, __u64 regs) {
  return false;
}
#endif

static __always_inline void lf_ask_caller(struct lf_caller* who, __u64 regs) {
  struct task_struct* task = bpf_get_current_task_btf();

  who->regs = regs;
  who->stack = (__u64)task->stack;
  who->task = (__u64)task;
  who->start_ns = task->group_leader->start_time;
  who->tgid = task->tgid;
  who->tid = task->pid;
  who->slot_key = lf_slot_key(task);
  who->set = who->tid & (settings.call_sets - 1);
  who->way = 0;
}

/* The current thread, whose registers are at `regs`; `here` is room for it where the CPU does not remember it. */
static __always_inline struct lf_caller* lf_caller(struct lf_caller* here, __u64 regs) {
#ifdef LF_RDONLY_CAST
  __u32 zero = 0;

  here = bpf_map_lookup_elem(&lf_callers, &zero);
  if (!here) return NULL;
#endif
  if (lf_rare(!lf_is_caller(here, regs))) lf_ask_caller(here, regs);
  return here;
}

/* The slot of `who` among `set`'s, or NULL. Its way goes through memory: to the verifier one way to go on, not four. */
static __always_inline struct lf_call_slot* lf_caller_slot(struct lf_caller* who, struct lf_call_set* set) {
  __u64 key = who->slot_key;

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
  return bpf_map_lookup_elem(&lf_call_slots, &who->set);
}

#endif
