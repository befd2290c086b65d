/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Turnarounds: how long an answer takes, by socket. A line is of one socket, and whoever reads and writes that socket
 * writes it; a question without an answer stays until its socket is closed or another takes its line.
 */
#ifndef LOWFLAME_TURNS_H
#define LOWFLAME_TURNS_H

#include "call-tables.bpf.h"
#include "endpoint.bpf.h"
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

/* A question or its answer: how the line is found, and who asks whom. */
struct turn {
  __u64 key, now;
  const struct lf_endpoint* end; /* NULL: nobody here waits for the answer */
  __u64 start_ns;
  __u64 tcp;      /* the socket, where it tells when bytes came; else 0 */
  __u64 woken_ns; /* of the time of the answer's call: ready to run, without a CPU */
  __u32 tgid;
  bool question;
  bool once; /* the answer has one part only */
};

/*
 * For how long the bytes that were just read had lain in the socket, at least: until the program came to read them, and
 * until it got a CPU. Both ends are known in whole ticks, so one less is no more than it was.
 */
static __always_inline __u64 lay_there(const struct turn* w, __u64 wait) {
  __u64 ns = w->woken_ns, tcp = w->tcp;

  if (tcp && wait > settings.tick_ns) {
    __u32 came = LF_GET(inet_connection_sock, tcp, icsk_ack.lrcvtime);
    __s32 ticks = (__u32)bpf_jiffies64() - came;

    if (ticks > 1 && (__u32)(ticks - 1) * settings.tick_ns > ns) ns = (__u32)(ticks - 1) * settings.tick_ns;
  }
  return ns < wait ? ns : wait - 1;
}

/* Notes bytes that are to be answered. Of several requests before an answer the first counts. */
static __always_inline void asked(__u64* counter, const struct turn* w, struct lf_turn* own, struct lf_turn* idle) {
  if (own && own->since_ns && !own->whole_ns) {
    own->sends++;
    return;
  }
  if (!own) {
    own = idle;
    if (!own) {
      counter[LF_CALLS_TURN_REPLACED]++;
      own = turn_line(w->key, 0);
      if (!own) return;
    } else if (own->since_ns && w->now - own->since_ns < LF_ANSWERED_NS) {
      counter[LF_CALLS_TURN_CUT]++;
    }
  }
  own->key = w->key;
  own->end.role = LF_END_NONE;
  if (w->end) own->end = *w->end;
  own->start_time_ns = w->start_ns;
  own->tgid = w->tgid;
  own->sends = 1;
  own->whole_ns = 0;
  own->since_ns = w->now;
}

/* Notes bytes that are to be answered, or some of the answer: then gives the time that it took. */
static __always_inline void turn_of(__u64* counter, const struct turn* w, struct lf_answer* answer) {
  struct lf_turn *own = NULL, *idle = NULL;

  /* most sockets are at the first place: the others are lines of memory that nobody else needs just now */
#pragma clang loop unroll(full)
  for (__u32 i = 0; i < TURN_PROBES; i++) {
    if (own) break;
    struct lf_turn* t = turn_line(w->key, i);

    if (!t) return;
    if (t->key == w->key) {
      own = t;
      continue;
    }
    /* one that waits for an answer does not give way; else the longest silent, and first those that were closed */
    if (t->since_ns && !t->whole_ns) continue;
    if (!idle || t->since_ns < idle->since_ns) idle = t;
  }
  if (w->question) {
    asked(counter, w, own, idle);
    return;
  }
  if (!own || !own->since_ns) return;
  __u64 since = own->since_ns, wait = w->now > since ? w->now - since : 1;

  answer->late_ns = lay_there(w, wait);
  answer->part_ns = wait - answer->late_ns;
  answer->whole_ns = own->whole_ns + answer->part_ns;
  own->whole_ns = answer->whole_ns;
  own->since_ns = w->once ? 0 : w->now;
}

/* A socket is closed: who waits for an answer there does so no more. What was waited for long enough counts as an
 * answer. */
static __always_inline void gave_up(struct lf_call_area* area, __u64 key, __u64 now) {
#pragma clang loop unroll(full)
  for (__u32 i = 0; i < TURN_PROBES; i++) {
    struct lf_turn* t = turn_line(key, i);

    if (!t || t->key != key || !t->since_ns) continue;
    __u64 ns = now - t->since_ns;

    t->since_ns = 0;
    if (t->whole_ns) return;
    /* a unix name is not in the line */
    if (ns < LF_GAVE_UP_NS || !t->end.role || t->end.family == AF_UNIX || t->sends > LF_GAVE_UP_SENDS) return;
    struct lf_call_result* c = &area->given_up;

    area->end = t->end;
    area->name_length = 0;
    c->answer.part_ns = ns;
    c->answer.whole_ns = ns;
    c->tgid = t->tgid;
    c->start_ns = t->start_time_ns;
    lf_add_endpoint(area, c);
    return;
  }
}

#endif
