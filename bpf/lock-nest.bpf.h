/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Waits that spin, on a stack of their CPU: a waiter that spins can neither move nor sleep, but an interrupt that comes
 * meanwhile may wait, too. The kernel skips a program that it would have to call inside itself, so beginnings and ends
 * go missing where interrupts come; a beginning without an end, left here until an end without a beginning comes, would
 * make a wait of seconds of both. So each wait is known by where its kernel stack had got to. Whoever begins to wait
 * drops what cannot be under way below him: on a thread's stack everything, on an interrupt's whatever lay as deep or
 * deeper. And an end ends only what began at its own depth: both come from one function.
 */
#ifndef LOWFLAME_LOCK_NEST_H
#define LOWFLAME_LOCK_NEST_H

#include "locks.bpf.h"

/* Between the calls of two tracepoints by one function: another program attached to one of them is a frame. */
#define ONE_FUNCTION_BYTES 512

/*
 * A place for a wait that begins, `at` being an address on the stack of the current thread or of an interrupt. The
 * caller sets its `lock` last: an interrupt's end may come while this runs, and must not take what stood here before
 * for its own.
 */
static __always_inline struct lf_lock_wait* nest_push(struct lf_lock_area* area, __u64 at) {
  __u64 depth = area->depth, had = depth;
  bool thread = lf_on_stack_of(&area->current, at);

  for (int i = 0; i < LF_LOCK_NEST; i++) {
    if (!depth) break;
    __u64 below = at - area->nest[(depth - 1) & (LF_LOCK_NEST - 1)].key;

    if (!thread && below >= KERNEL_STACK_BYTES) break;
    depth--;
  }
  /* nobody waits for so many locks at once: what stands here lost its end */
  if (depth >= LF_LOCK_NEST) depth = 0;
  area->begin_counter[LF_LOCKS_NESTED] += had - depth;
  struct lf_lock_wait* wait = &area->nest[depth & (LF_LOCK_NEST - 1)];

  *(volatile __u64*)&wait->lock = 0;
  wait->key = at;
  asm volatile("" ::: "memory");
  *(volatile __u64*)&area->depth = depth + 1;
  return wait;
}

/* The wait for `lock` that ends, or NULL. `left`: the depth without it, and without those above it, which lost their
 * ends. */
static __always_inline struct lf_lock_wait* nest_find(struct lf_lock_area* area, __u64 at, __u64 lock, __u64* left) {
  __u64 depth = area->depth;

  for (int i = 0; i < LF_LOCK_NEST; i++) {
    if (!depth) break;
    depth--;
    struct lf_lock_wait* top = &area->nest[depth & (LF_LOCK_NEST - 1)];

    if (top->lock != lock || at - top->key + ONE_FUNCTION_BYTES > 2 * ONE_FUNCTION_BYTES) continue;
    *left = depth;
    return top;
  }
  return NULL;
}

#endif
