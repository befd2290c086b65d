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
#define MSG_PEEK 2
#define MSG_ERRQUEUE 0x2000
#define MMSG_BYTES 64
#define MMSG_LENGTH_AT 56
#define MMSG_MOST 1024 /* UIO_MAXIOV: the kernel takes no more */

static __always_inline bool is_many(__u32 nr) {
  return nr == SYS_SENDMMSG || nr == SYS_RECVMMSG;
}

/* Whether a receive takes nothing of what the other side sent: it only looks at it, or asks for errors and for when its
 * own bytes were sent (recv(2)). */
static __always_inline bool takes_nothing(__u32 nr, __u64 third, __u64 fourth) {
  if (nr == SYS_RECVMSG) return third & (MSG_PEEK | MSG_ERRQUEUE);
  return (nr == SYS_RECVFROM || nr == SYS_RECVMMSG) && fourth & (MSG_PEEK | MSG_ERRQUEUE);
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

/*
 * Whether a send on a connected socket may give an address of its own, which the kernel then sends to: registers alone,
 * but for the socket's type.
 */
static __always_inline bool may_name_another(struct sock* sk, const struct lf_call_result* c, __u32 role,
                                             __u64 address) {
  if (!(c->call & LF_CALL_OUT) || (role != LF_END_REMOTE && role != LF_END_PATH)) return false;
  if (c->nr != SYS_SENDMSG && c->nr != SYS_SENDMMSG && (c->nr != SYS_SENDTO || !address)) return false;
  return LF_GET(sock, sk, sk_type) == SOCK_DGRAM;
}

/* A connected end that is named as well stays what it is. */
static __always_inline void keep_connected(struct lf_call_area* area, const struct lf_endpoint* connected) {
  if (area->end.role != LF_END_DATAGRAM || area->end.port != connected->port) return;
  if (area->end.addr[0] == connected->addr[0] && area->end.addr[1] == connected->addr[1]) area->end = *connected;
}

/* The end that such a send names, as area->end. Returns whether it names one. */
__noinline int lf_other_end(struct lf_call_area* area, __u64 second, __u64 fifth, __u64 sixth) {
  if (!area) return 0;
  struct lf_endpoint connected = area->end;

  lf_address_end(area, second, 0, fifth, sixth);
  if (area->end.role != LF_END_DATAGRAM) return 0;
  keep_connected(area, &connected);
  return 1;
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

/* One of `messages` messages at its own end, leaves that in area->end. A function of its own, as its parts are: the
 * verifier looks at it once, and not at each turn of the loop. */
__noinline int lf_add_one_message(struct lf_call_area* area, __u64 at, __u32 messages) {
  struct {
    __u64 name;
    __u64 name_length;
    __u64 rest[5];
    __u64 length;
  } m;

  if (!area) return 0;
  /* one that cannot be read any more is left all 0 by the helper: the call counts at the socket's own end */
  bpf_probe_read_user(&m, sizeof(m), (void*)at);
  lf_own_end(area);
  struct lf_endpoint own = area->end;

  lf_datagram_end(area, m.name, (__u32)m.name_length);
  keep_connected(area, &own);
  return lf_add_message(area, (__u32)m.length, messages);
}

/* Each message of area->result's call at its own end; leaves the first one's in area->end. */
__noinline int lf_add_messages(struct lf_call_area* area, __u64 vector, __u64 messages) {
  if (!area) return 0;
  if (messages > MMSG_MOST) messages = MMSG_MOST;
  for (__u32 i = 0; i < MMSG_MOST; i++) {
    if (i >= messages) break;
    lf_add_one_message(area, vector + (messages - 1 - i) * MMSG_BYTES, messages);
  }
  return 0;
}

#endif
