/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections that nobody has answered yet: sockets in SYN-SENT that somebody has open, in any network namespace, also
 * from before the recording. Read by the addon when all other programs have stopped.
 */
#ifndef LOWFLAME_CONNECTING_H
#define LOWFLAME_CONNECTING_H

#include "endpoint.bpf.h"

#define TCP_SYN_SENT 2

/*
 * When the first packet of a connection was sent that is not established. The kernel keeps the low half of the time
 * alone (tcp_connect): 49 days in ms, 71 minutes in us, longer than it tries.
 */
static __always_inline __u64 connecting_since(struct sock* sk, __u64 now) {
  __u32 stamp = LF_GET(tcp_sock, sk, retrans_stamp);
  __u64 unit = 1000000;

  if (bpf_core_field_exists(((struct tcp_sock*)0)->tcp_usec_ts) &&
      BPF_CORE_READ_BITFIELD_PROBED((struct tcp_sock*)sk, tcp_usec_ts))
    unit = 1000;
  __u32 age = (__u32)(now / unit) - stamp;

  return age < 1U << 31 ? now - age * unit : now;
}

SEC("?iter/task_file")
int lf_connecting(struct bpf_iter__task_file* ctx) {
  struct task_struct* task = ctx->task;
  struct file* file = ctx->file;
  struct lf_connecting c = {};

  if (!task || !file || !lf_task_wanted(task, false)) return 0;
  struct sock* sk = lf_socket_in(file);

  if (!sk || LF_GET(sock, sk, __sk_common.skc_state) != TCP_SYN_SENT || LF_GET(sock, sk, sk_protocol) != IPPROTO_TCP)
    return 0;
  __u16 family = LF_GET(sock, sk, __sk_common.skc_family);

  if (family != AF_INET && family != AF_INET6) return 0;
  c.end.family = family;
  c.end.role = LF_END_REMOTE;
  c.end.protocol = IPPROTO_TCP;
  c.end.network = lf_network_of(sk);
  lf_remote(sk, family, &c.end);
  c.socket = (__u64)sk;
  c.since_ns = connecting_since(sk, bpf_ktime_get_ns());
  c.start_time_ns = task->group_leader->start_time;
  c.tgid = task->tgid;
  c.sent_again = LF_GET(tcp_sock, sk, total_retrans);
  bpf_seq_write(ctx->meta->seq, &c, sizeof(c));
  return 0;
}

#endif
