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
  __uint(map_flags, BPF_F_MMAPABLE); /* begins at a page, so that an element lies in cache lines of its own */
  __type(key, __u32);
  __type(value, struct lf_turn);
} lf_turns SEC(".maps");

/* Whoever asks on a socket and whoever reads there have one line. `whom`: 0, or what asks in place of a process. */
static __always_inline __u64 turn_key(__u64 socket, __u32 whom) {
  return socket ^ (__u64)whom << 40;
}

#define TURN_PROBES 4

static __always_inline struct lf_turn* turn_line(__u64 key, __u32 probe) {
  __u32 at = (lf_hash(key) + probe) & (LF_TURNS - 1);

  return bpf_map_lookup_elem(&lf_turns, &at);
}

/* A question or its answer: how the line is found, and who asks whom. */
struct turn {
  __u64 key, now;
  __u64 start_ns;
  __u64 tcp;      /* the socket, where it tells when bytes came; else 0 */
  __u64 woken_ns; /* of the time of the answer's call: ready to run, without a CPU */
  __u32 tgid, tid;
  __u32 messages; /* of the call: one, or as many as sendmmsg sent and recvmmsg received */
  bool question;
  bool here;   /* somebody of this machine waits for the answer: of area->end */
  bool kernel; /* the kernel asks and answers, to connect: one part only, and counters of its own */
};

/*
 * For how long the bytes that were just read had lain in the socket, at least: until the program came to read them, and
 * until it got a CPU. Both ends are known in whole ticks, so one less is no more than it was.
 */
static __always_inline __u64 lay_there(const struct turn* w, __u64 wait) {
  __u64 ns = w->woken_ns, tcp = w->tcp;

  if (lf_rare(tcp && wait > settings.tick_ns)) {
    __u32 came = LF_GET(inet_connection_sock, tcp, icsk_ack.lrcvtime);
    __s32 ticks = (__u32)bpf_jiffies64() - came;

    if (ticks > 1 && (__u32)(ticks - 1) * settings.tick_ns > ns) ns = (__u32)(ticks - 1) * settings.tick_ns;
  }
  return ns < wait ? ns : wait - 1;
}

static __always_inline bool turn_began(const struct lf_turn* t) {
  return t->flags & LF_TURN_BEGAN;
}

/*
 * Whether the question in the line is for names. Those that are sent together (one for an IPv4 address, one for an IPv6
 * address: getaddrinfo) are answered one by one; what is sent later, while there is none, is one of them once more.
 */
static __always_inline bool asks_names(const struct lf_turn* t) {
  return t->end.role && t->end.protocol == IPPROTO_UDP && t->end.port == LF_NAMES_PORT;
}

/*
 * Whether the question in the line is of this socket, if another process asked it than the one that has the answer.
 * Sockets come again at the same address, and one that ended with its process leaves its question behind. TCP alone can
 * tell: that nothing was sent on this socket, or received there, before the answer.
 */
static __always_inline bool asked_by_another(const struct turn* w, const struct lf_endpoint* end) {
  __u64 socket = w->key;

  if (end->protocol != IPPROTO_TCP) return false;
  return w->here ? LF_GET(tcp_sock, socket, data_segs_out) : LF_GET(tcp_sock, socket, data_segs_in);
}

static __always_inline void add_sends(struct lf_turn* t, __u32 messages) {
  __u32 sends = t->sends + messages;

  t->sends = sends < 0xff ? sends : 0xff;
}

/* What lf_turn_place tells of the line whose number is in the lower bits: */
#define TURN_OWN (1U << 30)  /* it is the socket's */
#define TURN_IDLE (1U << 31) /* nobody needs it just now; with neither, it is one of those that wait for an answer */

/*
 * The line of the socket `key`, or else the one that it may have: one that waits for an answer does not give way, else
 * the longest silent, and first those that were closed. For the few sockets that are not at the first place.
 */
__noinline __u32 lf_turn_place(__u64 key) {
  __u32 place = lf_hash(key) & (LF_TURNS - 1);
  __u64 least = ~0ULL;

#pragma clang loop unroll(full)
  for (__u32 i = 0; i < TURN_PROBES; i++) {
    __u32 at = (lf_hash(key) + i) & (LF_TURNS - 1);
    struct lf_turn* t = bpf_map_lookup_elem(&lf_turns, &at);

    if (!t) return place;
    if (t->key == key) return at | TURN_OWN;
    if (t->since_ns && !turn_began(t)) continue;
    if (t->since_ns < least) {
      least = t->since_ns;
      place = at | TURN_IDLE;
    }
  }
  return place;
}

/*
 * Notes bytes that are to be answered. An answer is timed from the last that were sent before it: a question may come
 * in pieces, as slowly as a client uploads it, and what was sent before may have wanted no answer. How long there has
 * been none goes by the first; so does the answer of a name server, where a question that was lost is sent again.
 */
static __always_inline void asked(struct lf_call_area* area, __u64* counter, const struct turn* w, struct lf_turn* t,
                                  __u32 place) {
  bool known = place & TURN_OWN && t->tgid == w->tgid;

  if (lf_rare(known && t->since_ns && !turn_began(t))) {
    __u64 ns = w->now - t->since_ns;

    bool names = asks_names(t);

    if (!(names && ns >= LF_NAMES_AGAIN_NS)) add_sends(t, w->messages);
    if (ns > LF_GAVE_UP_NS) t->flags |= LF_TURN_LATER;
    t->ns = names && ns < LF_NAMES_NS ? 0 : ns;
    t->asker = w->tid;
    return;
  }
  bool spoke = known && t->flags & (LF_TURN_BEGAN | LF_TURN_SPOKE);

  if (lf_rare(!(place & TURN_OWN))) {
    if (!(place & TURN_IDLE))
      counter[LF_CALLS_TURN_REPLACED]++;
    else if (t->since_ns && w->now - t->since_ns < LF_ANSWERED_NS)
      counter[LF_CALLS_TURN_CUT]++;
  }
  t->key = w->key;
  t->end.role = LF_END_NONE;
  if (w->here) t->end = area->end;
  t->start_time_ns = w->start_ns;
  t->tgid = w->tgid;
  t->asker = w->tid;
  t->sends = 0;
  add_sends(t, w->messages);
  t->flags = spoke ? LF_TURN_SPOKE : 0;
  t->ns = 0;
  t->since_ns = w->now;
}

/* Notes bytes that are to be answered, or some of the answer: then gives the time that it took. */
static __always_inline void note_turn(struct lf_call_area* area, const struct turn* w, struct lf_answer* answer) {
  __u64* counter = w->kernel ? area->tcp_counter : area->counter;
  struct lf_turn* t = turn_line(w->key, 0);
  __u32 place = TURN_OWN;

  if (!t) return;
  if (lf_rare(t->key != w->key)) {
    place = lf_turn_place(w->key);
    __u32 at = place & (LF_TURNS - 1);

    t = bpf_map_lookup_elem(&lf_turns, &at);
    if (!t) return;
  }
  if (w->question) {
    asked(area, counter, w, t, place);
    return;
  }
  if (!(place & TURN_OWN) || !t->since_ns) return;
  if (lf_rare(t->tgid != w->tgid)) {
    if (!asked_by_another(w, &area->end)) {
      t->since_ns = 0;
      return;
    }
    t->tgid = w->tgid;
    t->start_time_ns = w->start_ns;
  }
  bool began = turn_began(t);
  __u64 since = began ? t->since_ns : t->since_ns + t->ns, before = began ? t->ns : 0;
  __u64 wait = w->now > since ? w->now - since : 1;

  answer->late_ns = lay_there(w, wait);
  answer->part_ns = wait - answer->late_ns;
  answer->whole_ns = before + answer->part_ns;
  if (lf_rare(t->sends > w->messages) && !began && asks_names(t)) {
    /* the others are waited for as before */
    t->sends -= w->messages;
    return;
  }
  t->ns = answer->whole_ns;
  t->flags |= LF_TURN_BEGAN;
  t->since_ns = w->kernel ? 0 : w->now;
}

/* note_turn where it is no matter of nanoseconds: a function of its own, which the verifier looks at once, not on each
 * way to it. */
__noinline int lf_turn_of(struct lf_call_area* area, const struct turn* w, struct lf_answer* answer) {
  if (!area || !w || !answer) return 0;
  note_turn(area, w, answer);
  return 0;
}

enum owed { OWED_NOT, OWED_MAYBE, OWED };

/*
 * Whether an answer is owed to the question in line `t`, of `socket`, which is open, from `least_ns` on. Not where data
 * is known to have come since, whoever reads it, and how; nor where so much was sent, or again so late, that nobody can
 * wait for it. Only datagrams are repeated, because they may be lost. What is sent last to an end that answers
 * otherwise may want nothing (a window, an acknowledgement): there it takes somebody who is seen to wait. So it does on
 * unix sockets, where many write to what answers nobody (a log). Whoever asks for a name wants the answer.
 */
static __always_inline enum owed is_owed(const struct lf_turn* t, __u64 socket, __u64 ns, __u64 least_ns) {
  bool tcp = t->end.protocol == IPPROTO_TCP, repeats = t->end.protocol == IPPROTO_UDP;
  bool spoke = t->flags & LF_TURN_SPOKE && !asks_names(t);

  if (turn_began(t) || t->sends > LF_GAVE_UP_SENDS || ns < least_ns) return OWED_NOT;
  if (t->flags & LF_TURN_LATER && (!repeats || spoke)) return OWED_NOT;
  if (t->end.family == AF_UNIX) {
    if (LF_GET(sock, socket, sk_receive_queue.qlen) || LF_GET(sock, socket, sk_shutdown) & RCV_SHUTDOWN)
      return OWED_NOT;
    spoke = true;
  }
  if (tcp) spoke = LF_GET(tcp_sock, socket, data_segs_in);
  if (t->end.role && (!spoke || t->flags & LF_TURN_WAITED)) return OWED;
  if (tcp) {
    __u32 came = LF_GET(inet_connection_sock, socket, icsk_ack.lrcvtime);

    /* either end is known in whole ticks */
    if (((__u32)bpf_jiffies64() - came + 2ULL) * settings.tick_ns < ns) return OWED_NOT;
  }
  return OWED_MAYBE;
}

/* The line of `key` with a question in it, or an answer. */
static __always_inline struct lf_turn* turn_of(__u64 key) {
#pragma clang loop unroll(full)
  for (__u32 i = 0; i < TURN_PROBES; i++) {
    struct lf_turn* t = turn_line(key, i);

    if (t && t->key == key && t->since_ns) return t;
  }
  return NULL;
}

/*
 * For how long the question of a socket that is being closed was left: since the last that was sent, unless that is the
 * farewell of one who leaves (TLS: close_notify), shortly before the close and after a question that was sent at once
 * (where a session of TLS goes on: after the end of the handshake).
 */
static __always_inline __u64 left_for(struct lf_turn* t, __u64 now) {
  __u64 ns = now - t->since_ns, since_last = ns - t->ns;

  if (t->end.protocol == IPPROTO_UDP) return ns;
  if (t->sends > LF_FAREWELL_SENDS || since_last >= LF_FAREWELL_NS) return since_last;
  t->flags &= ~LF_TURN_LATER;
  return ns;
}

/* The end of area->closing_socket into area->end: that of its line, whose name is elsewhere, or else as it is now. */
static __always_inline void closing_end(struct lf_call_area* area, const struct lf_turn* t) {
  if (t->end.role && t->end.family != AF_UNIX) {
    area->end = t->end;
    area->name_length = 0;
    return;
  }
  area->socket = area->closing_socket;
  lf_endpoint_of(area);
  lf_forget();
}

/*
 * area->closing_socket is closed: who waits for an answer there does so no more. What was surely waited for, and for
 * long enough, counts as an answer. The rest is told apart: who asks, or is asked, may have waited. Not who asked and
 * never looked for an answer, `in_epoll` neither: names alone are waited for in any case.
 */
__noinline int lf_gave_up(struct lf_call_area* area, __u32 tgid, __u32 in_epoll) {
  if (!area) return 0;
  struct lf_turn* t = turn_of(turn_key(area->closing_socket, 0));

  if (!t) return 0;
  __u64 now = bpf_ktime_get_ns(), ns = left_for(t, now);
  enum owed owed = t->tgid == tgid ? is_owed(t, area->closing_socket, ns, LF_CLOSED_NS) : OWED_NOT;
  bool names = asks_names(t), looked = in_epoll || t->flags & (LF_TURN_TRIED | LF_TURN_WAITED);

  if (t->end.role && !looked && !names) owed = OWED_NOT;
  t->since_ns = 0;
  t->flags = 0;
  if (owed == OWED_NOT) return 0;
  struct lf_call_result* c = &area->given_up;

  c->answer.part_ns = ns;
  c->answer.whole_ns = ns;
  c->tgid = t->tgid;
  c->start_ns = t->start_time_ns;
  closing_end(area, t);
  struct lf_endpoint_row* row = endpoint_row(area, c);

  if (owed == OWED && (ns >= LF_GAVE_UP_NS || names)) {
    row->unanswered++;
    row->unanswered_ns += ns;
    lf_add_answer(row, &c->answer);
    return 0;
  }
  __u32 bucket = lf_bucket(ns) - LF_CLOSED_BUCKET;

  row->closed++;
  row->closed_ns += ns;
  if (ns > row->closed_max_ns) row->closed_max_ns = ns;
  if (bucket < LF_RUNQ_BUCKETS - LF_CLOSED_BUCKET) row->closed_bucket[bucket]++;
  return 0;
}

#endif
