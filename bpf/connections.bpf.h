/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Life of TCP connections, by endpoint: opened and in what time, accepted, closed, reset, sent again. These events
 * happen in interrupts as well, where the current process says nothing, and on top of each other: rows are claimed with
 * a compare and swap and counted with atomic adds, all on memory of this CPU.
 */
#ifndef LOWFLAME_CONNECTIONS_H
#define LOWFLAME_CONNECTIONS_H

#include "connecting.bpf.h"
#include "endpoint.bpf.h"
#include "turns.bpf.h"

#define TCP_ESTABLISHED 1
#define TCP_SYN_RECV 3
#define TCP_TIME_WAIT 6
#define TCP_CLOSE 7
#define TCP_NEW_SYN_RECV 12
#define ETIMEDOUT 110
/* in place of a process in the key of a turn: no process id is as large */
#define CONNECTING 0xffffff

#define COUNT(member) __sync_fetch_and_add(&(member), 1)

/* Endpoint of the connection `sk`; role 0 = none. `opened`: by this side, for certain. */
static __always_inline void connection_end(struct sock* sk, bool opened, struct lf_endpoint* e) {
  __u16 family = LF_GET(sock, sk, __sk_common.skc_family);
  __u8 state = LF_GET(sock, sk, __sk_common.skc_state);

  __builtin_memset(e, 0, sizeof(*e));
  if (family != AF_INET && family != AF_INET6) return;
  e->family = family;
  e->protocol = IPPROTO_TCP;
  e->network = lf_network_of(sk);
  if (state == TCP_NEW_SYN_RECV || state == TCP_TIME_WAIT) {
    /* no whole socket: what tells accepted ones apart is not there but the port, and of these only answers to others
     * are told */
    bool opens = state == TCP_TIME_WAIT && lf_is_clients_port(sk, LF_GET(sock, sk, __sk_common.skc_num));

    e->role = opens ? LF_END_REMOTE : LF_END_ACCEPTED;
    if (opens)
      lf_remote(sk, family, e);
    else
      lf_local(sk, family, e);
  } else if (state == TCP_LISTEN) {
    e->role = LF_END_LISTEN;
    lf_local(sk, family, e);
  } else if (!opened && lf_accepted(sk)) {
    e->role = LF_END_ACCEPTED;
    lf_local(sk, family, e);
  } else {
    e->role = LF_END_REMOTE;
    lf_remote(sk, family, e);
  }
}

/* The row of an endpoint in this CPU's table; the last one where there is none. */
static __always_inline struct lf_tcp_row* connection_row(struct lf_call_area* area, const struct lf_endpoint* e) {
  __u64 what = *(const __u64*)e;
  __u32 at = lf_hash(what ^ e->addr[0] ^ e->addr[1] << 1);

  if (!e->role) return &area->tcp[LF_TCP_ROWS];
  for (int i = 0; i < LF_TABLE_PROBES; i++) {
    struct lf_tcp_row* t = &area->tcp[(at + i) & settings.table_mask & (LF_TCP_ROWS - 1)];
    __u64* claim = (__u64*)&t->end;

    if (*(volatile __u64*)claim == what && t->end.addr[0] == e->addr[0] && t->end.addr[1] == e->addr[1]) return t;
    if (!*(volatile __u64*)claim && !__sync_val_compare_and_swap(claim, 0, what)) {
      t->end.addr[0] = e->addr[0];
      t->end.addr[1] = e->addr[1];
      return t;
    }
  }
  COUNT(area->tcp_counter[LF_CALLS_TCP_FULL]);
  return &area->tcp[LF_TCP_ROWS];
}

/* By way of memory, where the verifier sees a number in it. */
static __always_inline __u64 connecting_key(struct lf_call_area* area, struct sock* sk) {
  area->tcp_socket = (__u64)sk;
  return turn_key(*(volatile __u64*)&area->tcp_socket, CONNECTING);
}

static __always_inline void connection_opened(struct lf_tcp_row* row, __u64 ns) {
  __u32 bucket = lf_bucket(ns);

  COUNT(row->connects);
  if (!ns) return;
  __sync_fetch_and_add(&row->connect_ns, ns);
  if (ns > row->connect_max_ns) row->connect_max_ns = ns;
  if (bucket < LF_RUNQ_BUCKETS) COUNT(row->bucket[bucket]);
}

/* Refused, or nobody answered: the kernel gave up, or the program did after packets had been sent again. */
static __always_inline void connection_failed(struct lf_tcp_row* row, struct sock* sk, __u64 ns) {
  int error = LF_GET(sock, sk, sk_err);

  COUNT(row->connects_failed);
  __sync_fetch_and_add(&row->failed_ns, ns);
  if (error == ETIMEDOUT || (!error && LF_GET(tcp_sock, sk, total_retrans))) COUNT(row->connects_unanswered);
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(lf_tcp_state, struct sock* sk, int from, int to) {
  if (to != TCP_SYN_SENT && to != TCP_ESTABLISHED && to != TCP_CLOSE) return 0;
  __u32 cpu = bpf_get_smp_processor_id();

  if (!lf_active_since() || !lf_cpu_wanted(cpu) || LF_GET(sock, sk, sk_protocol) != IPPROTO_TCP) return 0;
  struct lf_call_area* area = call_area(cpu);

  if (!area) return 0;
  struct lf_answer answer = {};

  if (to == TCP_SYN_SENT) {
    struct turn t = {
        .key = connecting_key(area, sk), .now = bpf_ktime_get_ns(), .messages = 1, .question = true, .kernel = true};

    lf_turn_of(area, &t, &answer);
    return 0;
  }
  /* a socket that never was a connection */
  if (to == TCP_CLOSE && (from == TCP_CLOSE || from == TCP_LISTEN)) return 0;
  struct lf_endpoint end;

  connection_end(sk, from == TCP_SYN_SENT, &end);
  struct lf_tcp_row* row = connection_row(area, &end);

  if (from == TCP_SYN_SENT) {
    struct turn t = {.key = connecting_key(area, sk), .now = bpf_ktime_get_ns(), .messages = 1, .kernel = true};

    lf_turn_of(area, &t, &answer);
    if (to == TCP_ESTABLISHED)
      connection_opened(row, answer.part_ns);
    else
      connection_failed(row, sk, answer.part_ns);
  } else if (to == TCP_ESTABLISHED) {
    COUNT(row->accepted);
  } else if (from != TCP_SYN_RECV) {
    COUNT(row->closes);
  }
  return 0;
}

static __always_inline struct lf_tcp_row* row_of(struct sock* sk) {
  __u32 cpu = bpf_get_smp_processor_id();

  if (!lf_active_since() || !lf_cpu_wanted(cpu)) return NULL;
  struct lf_call_area* area = call_area(cpu);
  struct lf_endpoint end;

  if (!area) return NULL;
  if (sk)
    connection_end(sk, false, &end);
  else
    __builtin_memset(&end, 0, sizeof(end));
  return connection_row(area, &end);
}

SEC("?tp_btf/tcp_retransmit_skb")
int BPF_PROG(lf_tcp_again, struct sock* sk) {
  struct lf_tcp_row* row = row_of(sk);

  if (row) COUNT(row->retransmits);
  return 0;
}

/* Without a socket where nobody listens. */
SEC("?tp_btf/tcp_send_reset")
int BPF_PROG(lf_tcp_reset_out, struct sock* sk) {
  struct lf_tcp_row* row = row_of(sk);

  if (row) COUNT(row->resets_sent);
  return 0;
}

SEC("?tp_btf/tcp_receive_reset")
int BPF_PROG(lf_tcp_reset_in, struct sock* sk) {
  struct lf_tcp_row* row = row_of(sk);

  if (row) COUNT(row->resets_received);
  return 0;
}

#endif
