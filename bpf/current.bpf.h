/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The thread that runs, as a CPU remembers it: to ask the kernel takes 10 to 15 ns where returns are guarded against
 * speculation. What is remembered is known to be right by the kernel stack that the program runs on. Where memory can
 * only be read by a helper (before bpf_rdonly_cast, 6.2) that would be no gain: there the kernel is asked.
 */
#ifndef LOWFLAME_CURRENT_H
#define LOWFLAME_CURRENT_H

#include "cast.bpf.h"
#include "slots.bpf.h"
#include "tables.bpf.h"

/* THREAD_SIZE and IRQ_STACK_SIZE, arch/x86/include/asm/page_64_types.h; with KASAN they are more, and the thread is
 * asked for more often. */
#define KERNEL_STACK_BYTES 16384

static __always_inline void lf_ask_current(struct lf_current* who, struct task_struct* task) {
  who->stack = (__u64)task->stack;
  who->task = (__u64)task;
  who->start_ns = task->group_leader->start_time;
  who->tgid = task->tgid;
  who->tid = task->pid;
  who->slot_key = lf_slot_key(task);
}

#ifdef LF_RDONLY_CAST
/*
 * The current thread. `here`: this program runs on the stack of the thread that is remembered. A stack is one thread's
 * at a time; one that ended has none any more (free_thread_stack), and its memory may be another's. A thread that
 * executes a program gets the id of its process. An interrupt has a stack of its own: there the kernel is asked, and
 * what a program below it had found is written once more, as it is.
 */
static __always_inline struct task_struct* lf_current(struct lf_current* who, bool here) {
  if (!lf_rare(!here)) {
    struct task_struct* task = LF_AT(task_struct, who->task);

    if (!lf_rare((__u64)task->stack != who->stack || (__u32)task->pid != who->tid)) return task;
  }
  lf_ask_current(who, bpf_get_current_task_btf());
  return LF_AT(task_struct, who->task);
}
#else
static __always_inline struct task_struct* lf_current(struct lf_current* who, bool here) {
  struct task_struct* task = bpf_get_current_task_btf();

  lf_ask_current(who, task);
  return task;
}
#endif

/* Whether `at` is on the kernel stack of the thread that is remembered. */
static __always_inline bool lf_on_stack_of(const struct lf_current* who, __u64 at) {
  return at - who->stack < KERNEL_STACK_BYTES;
}

#endif
