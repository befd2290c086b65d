// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Names of the slab caches that some addresses lie in: the addon fills in addresses, reads the iterator, and gets
 * names. Not on any hot path. An object of its own, since it needs the kfunc bpf_get_kmem_cache (6.12).
 */
#include "core.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "events.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern struct kmem_cache* bpf_get_kmem_cache(__u64 addr) __ksym;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, LF_SLAB_ADDRESSES);
  __uint(map_flags, BPF_F_RDONLY_PROG);
  __type(key, __u32);
  __type(value, __u64);
} lf_slab_addresses SEC(".maps");

SEC("?iter/task")
int lf_slab_names(struct bpf_iter__task* ctx) {
  /* once, whatever the number of tasks */
  if (!ctx->task || ctx->meta->seq_num != 0) return 0;
  for (__u32 i = 0; i < LF_SLAB_ADDRESSES; i++) {
    __u32 key = i; /* the verifier forgets what a helper was given the address of */
    __u64* address = bpf_map_lookup_elem(&lf_slab_addresses, &key);
    struct lf_slab_name row = {};

    if (!address || !*address) break;
    row.address = *address;
    struct kmem_cache* cache = bpf_get_kmem_cache(*address);

    if (cache) bpf_probe_read_kernel_str(row.name, sizeof(row.name), cache->name);
    bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
  }
  return 0;
}
