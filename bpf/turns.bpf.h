/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Turnarounds: how long an answer takes, by socket. A line is of one socket, and whoever reads and writes that socket
 * writes it; a question without an answer stays until its socket is closed or another takes its line.
 */
#ifndef LOWFLAME_TURNS_H
#define LOWFLAME_TURNS_H

#include "tables.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, LF_TURNS);
  __type(key, __u32);
  __type(value, struct lf_turn);
} lf_turns SEC(".maps");

/* Sockets come again at the same address: one that another process left behind is not ours. */
static __always_inline __u64 turn_key(__u64 socket, __u32 tgid) {
  return socket ^ (__u64)tgid << 40;
}

#define TURN_PROBES 4

static __always_inline struct lf_turn* turn_line(__u64 key, __u32 probe) {
  __u32 at = (lf_hash(key) + probe) & (LF_TURNS - 1);

  return bpf_map_lookup_elem(&lf_turns, &at);
}

/*
 * Notes bytes that are to be answered, or the answer: then gives the time that it took, else 0. Of several requests
 * before an answer the first counts.
 */
static __always_inline __u64 turn_of(__u64* replaced, __u64 key, bool question, __u64 now) {
  struct lf_turn *own = NULL, *idle = NULL;

#pragma clang loop unroll(full)
  for (__u32 i = 0; i < TURN_PROBES; i++) {
    struct lf_turn* t = turn_line(key, i);

    if (!t) return 0;
    if (!own && t->key == key) own = t;
    if (!idle && !t->since_ns) idle = t;
  }
  if (question) {
    if (own && own->since_ns) return 0;
    if (!own) own = idle;
    if (!own) {
      (*replaced)++;
      own = turn_line(key, 0);
      if (!own) return 0;
    }
    own->key = key;
    own->since_ns = now;
    return 0;
  }
  if (!own || !own->since_ns) return 0;
  __u64 since = own->since_ns;

  own->since_ns = 0;
  return now > since ? now - since : 1;
}

/* A socket is closed: who waits for an answer there does so no more. */
static __always_inline void forget_turn(__u64 key) {
#pragma clang loop unroll(full)
  for (__u32 i = 0; i < TURN_PROBES; i++) {
    struct lf_turn* t = turn_line(key, i);

    if (t && t->key == key && t->since_ns) t->since_ns = 0;
  }
}

#endif
