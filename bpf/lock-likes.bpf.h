/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How long waits without a stack last, by what they have in common: a wait that has a stack cannot tell. Who takes a
 * stack for ten microseconds has missed the end of a shorter wait, and may have to wait for the next holder then. So a
 * stack says who waits, and what it weighs is what waits like it last. Alike are waits for one lock from one place of
 * the program (instruction and lower bits of the stack pointer, which are the same in all its threads) and about as
 * deep in the kernel (which adds a random number below 256 or 1024 to where its stack begins).
 */
#ifndef LOWFLAME_LOCK_LIKES_H
#define LOWFLAME_LOCK_LIKES_H

#include "current.bpf.h"
#include "events-locks.h"
#include "tables.bpf.h"

#ifdef LF_RDONLY_CAST
#define USER_REGISTER(area, name) LF_GET(pt_regs, (area)->regs, name)
#else
#define USER_REGISTER(area, name) (((struct pt_regs*)bpf_task_pt_regs(bpf_get_current_task_btf()))->name)
#endif

/* `at`: on the stack of the current thread or of an interrupt. Never 0. */
static __always_inline __u32 lock_like(struct lf_lock_area* area, __u64 lock, __u64 at) {
  const struct lf_current* who = &area->current;
  __u64 same = lock ^ (at & (KERNEL_STACK_BYTES - 1)) >> 8 << 52;

  if (!lf_rare(!lf_on_stack_of(who, at))) {
    if (lf_rare(area->regs_on != who->stack)) {
      area->regs = (__u64)bpf_task_pt_regs(bpf_get_current_task_btf());
      area->regs_on = who->stack;
    }
    same ^= USER_REGISTER(area, ip) * 31 ^ (USER_REGISTER(area, sp) & 0xfff) << 40;
  }
  return (__u32)(same * 0x9E3779B97F4A7C15ULL >> 32) | 1;
}

static __always_inline struct lf_lock_like* lock_like_line(struct lf_lock_area* area, __u32 like) {
  return &area->like[like >> 23 & (LF_LOCK_LIKES - 1)];
}

static __always_inline void like_lasts(struct lf_lock_like* l, __u64 ns) {
  if (l->count < LF_LOCK_LIKE_WAITS) {
    l->count++;
    l->sum_ns += ns;
  } else {
    l->sum_ns += ns - l->sum_ns / LF_LOCK_LIKE_WAITS;
  }
}

/* The line of waits like this one, which another has to leave. */
static __always_inline struct lf_lock_like* like_line_for(struct lf_lock_area* area, __u32 like) {
  struct lf_lock_like* l = lock_like_line(area, like);

  if (lf_rare(l->like != like)) {
    area->any.long_ns += l->long_ns;
    l->long_ns = 0;
    l->count = 0;
    l->sum_ns = 0;
    l->like = like;
  }
  return l;
}

/* A wait without a stack that ended. */
static __always_inline void like_ended(struct lf_lock_area* area, __u32 like, __u64 ns) {
  if (!like || ns >= settings.lock_limit_ns) return;
  struct lf_lock_like* l = like_line_for(area, like);

  if (lf_rare(ns >= LF_LOCK_OWN_NS)) {
    l->long_ns += ns;
    return;
  }
  like_lasts(l, ns);
  like_lasts(&area->any, ns);
}

/* Whether a stack was taken at such a wait that was short: then some are left without one, to know how long they are.
 */
static __always_inline bool like_is_short(struct lf_lock_area* area, __u32 like) {
  return lock_like_line(area, like)->like == like;
}

/*
 * What a wait of `ns`, below the limit, that had a stack stands for, one being drawn in `one_in`. From LF_LOCK_OWN_NS
 * on for itself and for those that long since the last one with a stack: who takes a stack may lose its turn at the
 * lock, so such waits have one more often than once in `one_in`. Below for as many of the mean of those without, which
 * were below as well; where none was seen yet, of all short ones; else of its own. What each lasted is in *each.
 */
static __always_inline __u64 like_weighs(struct lf_lock_area* area, __u32 like, __u64 ns, __u64 one_in, __u64* each) {
  bool known = like_is_short(area, like);
  struct lf_lock_like* l = like_line_for(area, like);

  *each = ns;
  if (ns >= LF_LOCK_OWN_NS) {
    if (!known) l = &area->any;
    ns += l->long_ns;
    l->long_ns = 0;
    return ns;
  }
  if (!l->count) l = &area->any;
  if (l->count) *each = l->sum_ns / l->count + 1;
  return *each * one_in;
}

#endif
