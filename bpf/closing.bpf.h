/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose connection a close ends: asked when the call begins, since its socket may be another one when it returns. Kept
 * by thread, which may sleep meanwhile and move to another CPU; of two threads that share a line the second has it, and
 * the first one's close is told under "other".
 */
#ifndef LOWFLAME_CLOSING_H
#define LOWFLAME_CLOSING_H

#include "call-tables.bpf.h"
#include "endpoint.bpf.h"
#include "tables.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, LF_CLOSINGS);
  __uint(map_flags, BPF_F_MMAPABLE); /* begins at a page, so that an element lies in cache lines of its own */
  __type(key, __u32);
  __type(value, struct lf_closing);
} lf_closings SEC(".maps");

static __always_inline struct lf_closing* closing_of(__u64 slot_key) {
  __u32 at = lf_hash(slot_key) & (LF_CLOSINGS - 1);

  return bpf_map_lookup_elem(&lf_closings, &at);
}

/* area->closing_socket begins to be closed. */
static __always_inline void lf_close_begins(struct lf_call_area* area, __u64 slot_key) {
  struct lf_closing* closing = closing_of(slot_key);

  if (!closing) return;
  area->socket = area->closing_socket;
  lf_endpoint_of(area);
  lf_forget();
  closing->key = slot_key;
  closing->end = area->end;
  closing->name_length = area->name_length;
  if (area->name_length) __builtin_memcpy(closing->name, area->name, LF_UNIX_PATH);
}

/* The end of the close that returns, into area->end and area->name. False: it has none, or none is known. Of a socket
 * without another end it is of no account whose it was: who asks by datagrams has a port of its own each time. */
static __always_inline bool lf_close_ends(struct lf_call_area* area, struct lf_call_result* c, __u64 slot_key) {
  struct lf_closing* closing = closing_of(slot_key);

  if (!closing) return false;
  if (lf_rare(closing->key != slot_key)) {
    area->counter[LF_CALLS_ENDPOINTS_FULL]++;
    add_to_endpoint(&area->endpoint[LF_ENDPOINT_ROWS], c);
    return false;
  }
  closing->key = 0;
  if (closing->end.role == LF_END_LOCAL) return false;
  area->end = closing->end;
  area->name_length = closing->name_length;
  if (closing->name_length) __builtin_memcpy(area->name, closing->name, LF_UNIX_PATH);
  return true;
}

#endif
