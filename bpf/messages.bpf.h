/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a socket call has in user memory: the address it was given or gave back, and the messages of sendmmsg and
 * recvmmsg, each with a length and an address of its own.
 */
#ifndef LOWFLAME_MESSAGES_H
#define LOWFLAME_MESSAGES_H

#include "call-tables.bpf.h"
#include "endpoint.bpf.h"

#define SYS_CONNECT 42
#define SYS_SENDTO 44
#define SYS_RECVFROM 45
#define SYS_SENDMSG 46
#define SYS_RECVMSG 47
#define SYS_RECVMMSG 299
#define SYS_SENDMMSG 307
#define MMSG_BYTES 64
#define MMSG_LENGTH_AT 56
#define MMSG_MOST 1024 /* UIO_MAXIOV: the kernel takes no more */

static __always_inline bool is_many(__u32 nr) {
  return nr == SYS_SENDMMSG || nr == SYS_RECVMMSG;
}

/* Bytes of `messages` messages of sendmmsg or recvmmsg: struct mmsghdr, recvmmsg(2). */
__noinline int lf_message_bytes(__u64 vector, __u64 messages) {
  __u64 at = vector + MMSG_LENGTH_AT;
  int bytes = 0;

  for (__u32 i = 0; i < MMSG_MOST; i++) {
    __u32 length = 0;

    if (i >= messages || bpf_probe_read_user(&length, sizeof(length), (void*)at)) break;
    bytes += length;
    at += MMSG_BYTES;
  }
  return bytes;
}

/* The address that the call was given, or gave back, as the end of area->result's call. What a call gave back has its
 * length in memory, as what it was given in a message has. */
__noinline int lf_address_end(struct lf_call_area* area, __u64 second, __u64 third, __u64 fifth, __u64 sixth) {
  if (!area) return 0;
  __u32 nr = area->result.nr, length = 0;
  __u64 name = 0, length_at = second + 8;

  if (nr == SYS_SENDTO || nr == SYS_RECVFROM) {
    name = fifth;
    length = (__u32)sixth;
    length_at = sixth;
  } else if (nr == SYS_CONNECT) {
    name = second;
    length = (__u32)third;
  } else if (nr == SYS_SENDMSG || nr == SYS_RECVMSG || nr == SYS_SENDMMSG || nr == SYS_RECVMMSG) {
    bpf_probe_read_user(&name, sizeof(name), (void*)second);
  }
  if (nr != SYS_SENDTO && nr != SYS_CONNECT) bpf_probe_read_user(&length, sizeof(length), (void*)length_at);
  lf_datagram_end(area, name, length);
  /* a socket that could not be connected has no other end any more: it was to be this one */
  if (nr == SYS_CONNECT && area->end.role == LF_END_DATAGRAM)
    area->end.role = area->end.family == AF_UNIX ? LF_END_PATH : LF_END_REMOTE;
  return 0;
}

/* Counts one message of area->result's call, `bytes` long, at area->end: bytes and a share of the call's time with
 * each, the call and its latency once. */
__noinline int lf_add_message(struct lf_call_area* area, __u64 bytes, __u32 messages) {
  if (!area || !messages) return 0;
  struct lf_call_result* c = &area->result;
  struct lf_endpoint_row* row = endpoint_row(area, c);

  if (c->call & LF_CALL_OUT)
    row->bytes_out += bytes;
  else
    row->bytes_in += bytes;
  row->busy_ns += c->busy_ns / messages;
  row->blocked_ns += c->blocked_ns / messages;
  row->waiting_ns += c->waiting_ns / messages;
  if (row->many_ns == c->now) return 0;
  row->many_ns = c->now;
  __u32 bucket = c->bucket;

  row->count++;
  if (c->ns > row->max_ns) row->max_ns = c->ns;
  if (bucket < LF_RUNQ_BUCKETS) row->bucket[bucket]++;
  return 0;
}

/* The socket's own end, for a message that names none. */
__noinline int lf_own_end(struct lf_call_area* area) {
  return lf_endpoint_of(area);
}

/* Each message of area->result's call at its own end; leaves the first one's in area->end. */
__noinline int lf_add_messages(struct lf_call_area* area, __u64 vector, __u64 messages) {
  if (!area) return 0;
  if (messages > MMSG_MOST) messages = MMSG_MOST;
  for (__u32 i = 0; i < MMSG_MOST; i++) {
    struct {
      __u64 name;
      __u64 name_length;
      __u64 rest[5];
      __u64 length;
    } m;

    if (i >= messages) break;
    /* one that cannot be read any more is left all 0 by the helper: the call counts at the socket's own end */
    bpf_probe_read_user(&m, sizeof(m), (void*)(vector + (messages - 1 - i) * MMSG_BYTES));
    lf_own_end(area);
    lf_datagram_end(area, m.name, (__u32)m.name_length);
    lf_add_message(area, (__u32)m.length, messages);
  }
  return 0;
}

#endif
