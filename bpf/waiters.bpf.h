/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who is seen to wait for an answer: by a receive in vain, by a poll, or because the socket is in an epoll set when it
 * is closed. A socket that was only ever written to is a log's.
 */
#ifndef LOWFLAME_WAITERS_H
#define LOWFLAME_WAITERS_H

#include "call-tables.bpf.h"
#include "endpoint.bpf.h"
#include "turns.bpf.h"

#define SYS_POLL 7
#define SYS_PPOLL 271
#define POLL_IN 1
#define POLL_MOST 8 /* who waits for an answer, not for any of many, names few */

struct poll_entry { /* struct pollfd, poll(2) */
  __s32 fd;
  __s16 events;
  __s16 happened;
};

static __always_inline bool is_poll(__u32 nr) {
  return nr == SYS_POLL || nr == SYS_PPOLL;
}

/* Somebody received on area->socket, and got nothing: after `blocked_ns`. */
__noinline int lf_received_in_vain(struct lf_call_area* area, __u32 tid, __u64 blocked_ns) {
  if (!area) return 0;
  struct lf_turn* t = turn_of(turn_key(area->socket, 0));

  if (!t || turn_began(t)) return 0;
  t->flags |= LF_TURN_TRIED;
  if (blocked_ns >= LF_GAVE_UP_NS && t->asker == (__u16)tid) t->flags |= LF_TURN_WAITED;
  return 0;
}

__noinline int lf_polled_one(struct lf_call_area* area, __u32 fd) {
  if (!area) return 0;
  area->socket = (__u64)lf_socket_of(bpf_get_current_task_btf(), fd);
  __u64 socket = *(volatile __u64*)&area->socket;
  struct lf_turn* t = socket ? turn_of(turn_key(socket, 0)) : NULL;

  if (t && !turn_began(t)) t->flags |= LF_TURN_TRIED;
  return 0;
}

/* The thread has slept in a poll for some time: for what comes on the first of its descriptors. */
__noinline int lf_polled(struct lf_call_area* area, __u64 entries, __u64 count) {
  struct poll_entry entry[POLL_MOST] = {};
  __u64 bytes = (count < POLL_MOST ? count : POLL_MOST) * sizeof(entry[0]);

  if (bpf_probe_read_user(entry, bytes & (2 * sizeof(entry) - 1), (void*)entries)) return 0;
#pragma clang loop unroll(full)
  for (__u32 i = 0; i < POLL_MOST; i++)
    if (entry[i].events & POLL_IN && entry[i].fd >= 0) lf_polled_one(area, entry[i].fd);
  return 0;
}

/* Whether the socket, whose last descriptor is being closed, is in an epoll set: who only writes to it needs none. */
static __always_inline bool is_in_epoll(struct file* file) {
  struct hlist_head* sets = LF_GET(file, file, f_ep);

  return sets && LF_GET(hlist_head, sets, first);
}

#endif
