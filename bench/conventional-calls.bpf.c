// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The usual way to time system calls, as a yardstick: the beginning in a hash map by thread, counts, bytes, errors and
// histogram in another by process and call, both shared by all CPUs, which add atomically. On the cheap hooks, for
// send and receive, read and write alone, and without the other side of the socket.
// The first has the types that libbpf's headers need: not to be sorted.
// clang-format off
#include "../bpf/core.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
// clang-format on

#define BUCKETS 32
#define BPF_NOEXIST 1  // include/uapi/linux/bpf.h

struct begun {
  __u64 ns;
  __u64 call;
};
struct whose {
  __u32 process;
  __u32 call;
};
struct sums {
  __u64 count, ns, bytes, errors, bucket[BUCKETS];
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 10240);
  __type(key, __u32);
  __type(value, struct begun);
} threads SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 10240);
  __type(key, struct whose);
  __type(value, struct sums);
} totals SEC(".maps");

static const struct sums none;

static __always_inline int is_timed(long call) {
  return call == 0 || call == 1 || call == 44 || call == 45;  // read, write, sendto, recvfrom
}

SEC("tp_btf/sys_enter")
int BPF_PROG(usual_enter, struct pt_regs* regs, long call) {
  if (!is_timed(call)) return 0;
  __u32 thread = bpf_get_current_pid_tgid();
  struct begun begun = {.ns = bpf_ktime_get_ns(), .call = call};

  bpf_map_update_elem(&threads, &thread, &begun, 0);
  return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(usual_exit, struct pt_regs* regs, long result) {
  if (!is_timed(regs->orig_ax)) return 0;
  __u64 current = bpf_get_current_pid_tgid(), bucket = 0;
  __u32 thread = current;
  struct begun* begun = bpf_map_lookup_elem(&threads, &thread);

  if (!begun) return 0;
  __u64 ns = bpf_ktime_get_ns() - begun->ns;
  struct whose whose = {.process = current >> 32, .call = begun->call};

  bpf_map_delete_elem(&threads, &thread);
  struct sums* sums = bpf_map_lookup_elem(&totals, &whose);

  if (!sums) {
    bpf_map_update_elem(&totals, &whose, &none, BPF_NOEXIST);
    sums = bpf_map_lookup_elem(&totals, &whose);
    if (!sums) return 0;
  }
  for (__u64 rest = ns; rest > 1 && bucket < BUCKETS - 1; rest >>= 1) bucket++;
  __sync_fetch_and_add(&sums->count, 1);
  __sync_fetch_and_add(&sums->ns, ns);
  if (result >= 0)
    __sync_fetch_and_add(&sums->bytes, result);
  else
    __sync_fetch_and_add(&sums->errors, 1);
  __sync_fetch_and_add(&sums->bucket[bucket & (BUCKETS - 1)], 1);
  return 0;
}
char LICENSE[] SEC("license") = "Dual BSD/GPL";
