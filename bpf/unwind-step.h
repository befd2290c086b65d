/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One frame up a user stack, over the tables of unwind.h: plain C, for BPF and for the addon alike. The includer
 * defines first how memory is read and tables are found:
 *
 *   lf_uw_read_user(w, to, bytes, from)  stack memory of the thread; 0 = done
 *   lf_uw_process_of(w, key)             mappings of a process, NULL = not known
 *   lf_uw_file_of(w, table), lf_uw_rule_of(w, rule)
 *   lf_uw_table_of(w, table)             NULL = not loaded
 *   lf_uw_chunk_of(w, chunks, index)     words of a chunk, NULL = there is none
 *
 * Nothing that a process or a table says is believed: each index is bounded, and the walk rises or stops, but for a
 * change of stacks; LF_MAX_FRAMES ends it anyway.
 */
#ifndef LOWFLAME_UNWIND_STEP_H
#define LOWFLAME_UNWIND_STEP_H

#include "unwind-state.h"

#ifdef __bpf__
#define LF_UW_INLINE static __always_inline
#define LF_UW_NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define LF_UW_INLINE static inline
#define LF_UW_NO_UNROLL
#endif

/* A frame pointer further up than this is none. */
#define LF_UW_FP_MOST (8ULL << 20)
#define LF_UW_PAGE_4K 4096U
/* What a step returns while there is a caller. */
#define LF_UW_GO_ON (-1)
/* The same, and the frame that it came from is what a signal handler returns to. */
#define LF_UW_SIGNALLED (-2)

/* struct sigcontext within the ucontext that the stack pointer is at when a signal handler has returned (x86-64,
 * arch/x86/include/uapi/asm/{ucontext,sigcontext}.h) */
#define LF_UW_SIGNAL_BP 120
#define LF_UW_SIGNAL_SP 160
#define LF_UW_SIGNAL_IP 168

/* first half if a <= b, else 0: without a branch, since which half it is cannot be predicted */
#define LF_UW_IF_UP_TO(a, b, half) ((half) & ~(__u32)(((__s64)(b) - (__s64)(a)) >> 63))

/* `w` is in the mapping `m`. */
LF_UW_INLINE void lf_uw_settle(struct lf_uw_walk* w, const struct lf_uw_mapping* m) {
  w->begin = m->begin;
  w->bytes = (__u64)m->pages * LF_UW_PAGE_4K;
  w->without = LF_UW_STOP_NO_RULE;
  w->table = m->table;
  if (m->table == LF_UW_TABLE_FP) return;
  __u32 table = m->table;
  const struct lf_uw_file* f = lf_uw_file_of(w, table);

  /* either comes first, and goes first */
  if (!f || !f->pages || !lf_uw_table_of(w, table)) {
    w->without = LF_UW_STOP_TABLE;
    return;
  }
  __u32 most = f->directory_chunks < 65536 ? f->directory_chunks * LF_UW_CHUNK_WORDS : 0;

  w->text = m->bias + f->first;
  w->pages = f->pages < most ? f->pages : most;
}

/*
 * Finds the mapping that `pc` is in, and its table. Returns whether the process is known; where none of its mappings
 * holds `pc`, `bytes` is 0.
 */
LF_UW_INLINE int lf_uw_enter(struct lf_uw_walk* w, __u64 pc) {
  struct lf_uw_key key = {w->tgid, 0};
  const struct lf_uw_process* p = NULL;
  __u32 part;

  w->bytes = 0;
  w->pages = 0;
  w->without = LF_UW_STOP_MAPPING;
  LF_UW_NO_UNROLL
  for (part = 0; part < LF_UW_PARTS; part++) {
    key.part = part;
    p = lf_uw_process_of(w, &key);
    /* another process may have had its id, and its mappings may be written anew just now */
    if (!p || (p->start_time_ns && p->start_time_ns != w->start_time_ns)) return part > 0;
    if (!part) w->generation = p->generation;
    if (p->generation != w->generation) return 1;
    if (pc < p->next_begin) break;
  }
  if (!p || part == LF_UW_PARTS || !p->mappings || p->mappings > LF_UW_PART_MAPPINGS) return 1;

  /* the last one that begins at or below pc; addresses of user space have the highest bit clear */
  __u32 at = 0, left = p->mappings;

  LF_UW_NO_UNROLL
  for (__u32 i = 0; i < 6; i++) {
    if (left <= 1) break;
    __u32 half = left >> 1;

    at += LF_UW_IF_UP_TO(p->mapping[(at + half) & (LF_UW_PART_MAPPINGS - 1)].begin, pc, half);
    left -= half;
  }
  const struct lf_uw_mapping* m = &p->mapping[at & (LF_UW_PART_MAPPINGS - 1)];

  if (pc - m->begin < (__u64)m->pages * LF_UW_PAGE_4K) lf_uw_settle(w, m);
  return 1;
}

/*
 * The chunks that the last frame was looked up in: neighbours in a stack are often neighbours in the file, and to look
 * up a chunk is a call. All zero at first.
 */
struct lf_uw_near {
  const __u32 *directory, *rows; /* NULL = none */
  __u32 directory_at, rows_at;
};

LF_UW_INLINE const __u32* lf_uw_chunk_at(struct lf_uw_walk* w, __u32 at) {
  __u32 table = w->table;
  void* chunks = lf_uw_table_of(w, table);

  return chunks ? lf_uw_chunk_of(w, chunks, at) : NULL;
}

/* Rule for the address `offset` bytes into the mapping's table; 0 = none. */
LF_UW_INLINE __u32 lf_uw_search(struct lf_uw_walk* w, struct lf_uw_near* near, __u64 offset) {
  __u32 page = offset >> LF_UW_PAGE_SHIFT;

  if (!near->directory || near->directory_at != page / LF_UW_CHUNK_WORDS) {
    near->directory_at = page / LF_UW_CHUNK_WORDS;
    near->directory = lf_uw_chunk_at(w, near->directory_at);
    if (!near->directory) return 0;
  }
  __u32 word = near->directory[page & (LF_UW_CHUNK_WORDS - 1)];
  __u32 at = (word >> 8) & 255, left = word & 255;

  if (!left || at + left > LF_UW_CHUNK_WORDS) return 0;
  if (!near->rows || near->rows_at != word >> 16) {
    near->rows_at = word >> 16;
    near->rows = lf_uw_chunk_at(w, near->rows_at);
    if (!near->rows) return 0;
  }
  /* greater than any row of this offset, less than the next one's */
  __u32 key = LF_UW_ROW(offset & (LF_UW_PAGE_BYTES - 1), 0xffff);

  LF_UW_NO_UNROLL
  for (__u32 i = 0; i < 8; i++) {
    if (left <= 1) break;
    __u32 half = left >> 1;

    at += LF_UW_IF_UP_TO(near->rows[(at + half) & (LF_UW_CHUNK_WORDS - 1)], key, half);
    left -= half;
  }
  __u32 row = near->rows[at & (LF_UW_CHUNK_WORDS - 1)];

  /* 0 where the page's first row is missing */
  return row <= key ? row & 0xffff : 0;
}

/* Sets out from the registers of user space. */
LF_UW_INLINE void lf_uw_begin(struct lf_uw_walk* w, __u64 ip, __u64 sp, __u64 bp) {
  w->ip = ip;
  w->sp = sp;
  w->bp = bp;
  w->exact = 1;
  w->above = 0;
  w->lost = 0;
  w->guessed = 0;
  w->missed = 0;
  w->begin = 0;
  w->bytes = 0;
  w->text = 0;
  w->pages = 0;
  w->window_at = 0;
  w->window_bytes = 0;
}

/* A word of stack memory; 0 = done. */
LF_UW_INLINE int lf_uw_word(struct lf_uw_walk* w, __u64 at, __u64* word) {
  __u64 d = at - w->window_at;

  if (d >= w->window_bytes || d & 7) return lf_uw_read_user(w, word, sizeof(*word), at);
  *word = w->window[(d >> 3) & (LF_UW_WINDOW_WORDS - 1)];
  return 0;
}

/*
 * The window shall hold `span` bytes from `at` on, both multiples of 8, and what follows, which the next frames are in;
 * where that ends it holds the rest of the page. 0 = done.
 */
LF_UW_INLINE int lf_uw_fill(struct lf_uw_walk* w, __u64 at, __u64 span) {
  w->window_bytes = 0;
  w->window_at = at;
  if (!lf_uw_read_user(w, w->window, LF_UW_WINDOW_BYTES, at)) {
    w->window_bytes = LF_UW_WINDOW_BYTES;
    return 0;
  }
  __u64 rest = LF_UW_PAGE_4K - (at & (LF_UW_PAGE_4K - 1));

  if (rest < span || rest >= LF_UW_WINDOW_BYTES || lf_uw_read_user(w, w->window, rest, at)) {
#ifdef __bpf__
    return 1;
#else
    /* a copy of a stack ends anywhere */
    rest = span;
    if (lf_uw_read_user(w, w->window, rest, at)) return 1;
#endif
  }
  w->window_bytes = rest;
  return 0;
}

/*
 * How a walk that ended with `stop` is told. Where a frame pointer was followed for want of a mapping or of a table
 * that there may be, functions may be missing in the middle, and no end makes such a stack whole.
 */
LF_UW_INLINE int lf_uw_told(const struct lf_uw_walk* w, int stop) {
  return w->missed ? w->missed : stop;
}

/* The caller is what a signal interrupted. Its stack may be another one, so it need not be higher up. */
LF_UW_INLINE int lf_uw_signal(struct lf_uw_walk* w) {
  __u64 sp = w->sp, next[2];

  if (lf_uw_read_user(w, &w->bp, sizeof(w->bp), sp + LF_UW_SIGNAL_BP) ||
      lf_uw_read_user(w, next, sizeof(next), sp + LF_UW_SIGNAL_SP))
    return LF_UW_STOP_READ;
  w->sp = next[0];
  w->ip = next[1];
  w->exact = 1;
  w->above = 1;
  w->lost = 0;
  return LF_UW_SIGNALLED;
}

/*
 * From the frame that `w` is at to its caller. Returns LF_UW_GO_ON or LF_UW_SIGNALLED, or lf_uw_stop where there is no
 * caller or none can be found.
 *
 * Whoever names a frame above the leaf looks one byte below its address, where the call is. What a signal interrupted
 * was no call (`above`), nor was what its handler returns to: both are told one byte higher.
 */
LF_UW_INLINE int lf_uw_up(struct lf_uw_walk* w, struct lf_uw_near* near) {
  /* the address behind a call may be of the next function already */
  __u64 pc = w->ip - !w->exact, sp = w->sp, bp = w->bp, cfa = 0, span = 8;
  const struct lf_uw_rule* r = NULL;
  __u8 how = LF_UW_NONE, fp = LF_UW_FP_SAME, restore = 0, lost = w->lost;

  if (pc - w->begin >= w->bytes) {
    lf_uw_find(w, pc);
    near->directory = NULL;
    near->rows = NULL;
  }
  __u64 offset = pc - w->text;

  if (offset >> LF_UW_PAGE_SHIFT < w->pages) {
    __u32 rule = lf_uw_search(w, near, offset);

    if (rule) {
      r = lf_uw_rule_of(w, rule);
      if (!r) return LF_UW_STOP_RULE;
      how = r->cfa;
      fp = r->fp;
    } else if (!w->exact && !w->guessed && lf_uw_search(w, near, offset + 1)) {
      /* where a function begins, and none ends: no call returns there, who made this stack has put it there
       * (makecontext) */
      return LF_UW_WHOLE;
    }
  }

  if (how == LF_UW_SP) {
    cfa = sp + (__s64)r->cfa_offset;
  } else if (how == LF_UW_FP) {
    if (lost) return LF_UW_STOP_RULE;
    cfa = bp + (__s64)r->cfa_offset;
  } else if (how == LF_UW_NONE || how == LF_UW_OTHER_STACK) {
    if (lost) return LF_UW_STOP_RULE;
    /* the ABI marks the deepest frame with 0, but code without a table may use rbp for anything */
    if (!bp) return w->without;
    if (bp & 7 || (how == LF_UW_NONE && (bp < sp || bp - sp >= LF_UW_FP_MOST))) return w->without;
    cfa = bp + 16;
    span = 16;
    restore = 1;
    if (how == LF_UW_NONE) {
      w->guessed = 1;
      if (w->without != LF_UW_STOP_NO_RULE) w->missed = w->without;
    }
  } else if (how == LF_UW_PLT) {
    cfa = sp + (__s64)r->cfa_offset + ((w->ip & 15) >= (__u32)r->cfa_add ? 8 : 0);
  } else if (how == LF_UW_DEREF_SP || how == LF_UW_DEREF_FP) {
    if (how == LF_UW_DEREF_FP && lost) return LF_UW_STOP_RULE;
    if (lf_uw_word(w, (how == LF_UW_DEREF_FP ? bp : sp) + (__s64)r->cfa_offset, &cfa)) return LF_UW_STOP_READ;
    cfa += (__s64)r->cfa_add;
  } else if (how == LF_UW_SIGNAL) {
    return lf_uw_signal(w);
  } else if (how == LF_UW_END) {
    return LF_UW_WHOLE;
  } else {
    return LF_UW_STOP_RULE;
  }
  if (cfa <= sp && how != LF_UW_OTHER_STACK) return LF_UW_STOP_BACKWARDS;

  if (r && fp == LF_UW_FP_CFA) {
    __s64 below = -(__s64)r->fp_offset;

    lost = 0;
    /* in one piece with the return address, as nearly always */
    if (below >= 16 && below <= LF_UW_WINDOW_BYTES && !(below & 7)) {
      span = below;
      restore = 1;
    } else if (lf_uw_word(w, cfa - below, &bp)) {
      return LF_UW_STOP_READ;
    }
  } else if (r && fp == LF_UW_FP_DEREF_FP) {
    if (lost) return LF_UW_STOP_RULE;
    if (lf_uw_word(w, bp + (__s64)r->fp_offset, &bp)) return LF_UW_STOP_READ;
  } else if (fp != LF_UW_FP_SAME) {
    lost = 1;
  }

  __u64 at = cfa - span, d = at - w->window_at, ip;

  if (cfa & 7) {
    /* nobody keeps a stack so, but what a rule says must not be read amiss */
    if ((restore && lf_uw_read_user(w, &bp, sizeof(bp), at)) || lf_uw_read_user(w, &ip, sizeof(ip), cfa - 8))
      return LF_UW_STOP_READ;
  } else {
    if (d >= w->window_bytes || d + span > w->window_bytes) {
      if (lf_uw_fill(w, at, span)) return LF_UW_STOP_READ;
      d = 0;
    }
    if (restore) bp = w->window[(d >> 3) & (LF_UW_WINDOW_WORDS - 1)];
    ip = w->window[((d + span - 8) >> 3) & (LF_UW_WINDOW_WORDS - 1)];
  }
  w->ip = ip;
  w->sp = cfa;
  w->bp = bp;
  w->exact = 0;
  w->above = 0;
  w->lost = lost;
  if (ip) return LF_UW_GO_ON;
  /* what runtimes push below their first frame; but who has lost the way finds words of 0 anywhere */
  return w->guessed ? LF_UW_STOP_GUESSED : LF_UW_WHOLE;
}

#endif
