/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Answers in the row of an endpoint: to their first bytes, to their last ones, and what of it was the reader's own
 * time. An answer is counted as it grows, so that nobody has to know when it is complete.
 */
#ifndef LOWFLAME_ANSWERS_H
#define LOWFLAME_ANSWERS_H

#include "tables.bpf.h"

static __always_inline void lf_add_answer(struct lf_endpoint_row* row, struct lf_answer* a) {
  __u64 before_ns = a->whole_ns - a->part_ns;

  a->bucket = lf_bucket(a->whole_ns);
  a->bucket_before = before_ns ? lf_bucket(before_ns) : a->bucket;
  lf_forget();
  __u32 whole = a->bucket, before = a->bucket_before;

  if (before_ns) {
    if (a->part_ns > settings.tick_ns) row->pauses++;
    if (before != whole && before < LF_RUNQ_BUCKETS) row->whole_bucket[before]--;
  } else {
    row->turns++;
    row->turn_ns += a->part_ns;
    if (a->part_ns > row->turn_max_ns) row->turn_max_ns = a->part_ns;
    if (whole < LF_RUNQ_BUCKETS) row->turn_bucket[whole]++;
  }
  if ((!before_ns || before != whole) && whole < LF_RUNQ_BUCKETS) row->whole_bucket[whole]++;
  row->whole_ns += a->part_ns;
  if (a->whole_ns > row->whole_max_ns) row->whole_max_ns = a->whole_ns;
  if (!a->late_ns) return;
  row->late++;
  row->late_ns += a->late_ns;
  if (a->late_ns > row->late_max_ns) row->late_max_ns = a->late_ns;
}

#endif
