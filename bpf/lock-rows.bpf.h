/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rows of locks and futexes, by address, kind and process. Where all rows that a wait may have are taken, it takes the
 * place of one of them with the chance that its length has beside that row's total, which goes to "other". So whatever
 * came first, a lock that is waited for much gets a row soon and keeps it: the unbiased form of Metwally's "space
 * saving" (Ting, "Data Sketches for Disaggregated Subset Sum", SIGMOD 2018), with the totals given up told apart.
 */
#ifndef LOWFLAME_LOCK_ROWS_H
#define LOWFLAME_LOCK_ROWS_H

#include "random.bpf.h"
#include "tables.bpf.h"

/* More than three days: from there on a row is safe. */
#define SAFE_ROW_NS (1ULL << 48)

static __always_inline bool row_gives_way(const struct lf_lock_row* row, __u64 ns, __u64* random) {
  __u64 sum = row->sum_ns + ns;

  return sum < SAFE_ROW_NS && (lf_random(random) >> 40) * (sum >> 8) < ns << 16;
}

/* Rare, and so a function of its own, which the verifier looks at once. Returns how many waits moved. */
__noinline __u64 lf_empty_row(struct lf_lock_row* from, struct lf_lock_row* other) {
  if (!from || !other) return 0;
  __u64 count = from->count;

  other->count += count;
  other->timeouts += from->timeouts;
  other->sum_ns += from->sum_ns;
  if (from->max_ns > other->max_ns) other->max_ns = from->max_ns;
  for (int i = 0; i < LF_RUNQ_BUCKETS; i++) {
    other->bucket[i] += from->bucket[i];
    from->bucket[i] = 0;
  }
  from->count = 0;
  from->timeouts = 0;
  from->sum_ns = 0;
  from->max_ns = 0;
  return count;
}

static __always_inline void row_add(struct lf_lock_row* row, __u64 ns, __u32 bucket) {
  row->count++;
  row->sum_ns += ns;
  if (ns > row->max_ns) row->max_ns = ns;
  if (bucket < LF_RUNQ_BUCKETS) row->bucket[bucket]++;
}

#endif
