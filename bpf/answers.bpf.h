/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Answers in the row of an endpoint: to their first bytes, to their last ones, and what of it was the reader's own
 * time. An answer is counted as it grows, so that nobody has to know when it is complete.
 */
#ifndef LOWFLAME_ANSWERS_H
#define LOWFLAME_ANSWERS_H

#include "tables.bpf.h"

/*
 * What the thread did while bytes lay there that it reads now. Answers that lay there at once had one and the same
 * time: what it has told of another is not told again. When it slept is known of the last time only; of what it slept
 * since it last told, at most all was in this time, and at least what cannot have been before.
 */
static __always_inline void lf_meanwhile(struct lf_answer* a, struct lf_call_slot* slot, __u64 now) {
  __u64 came = now - a->late_ns, told = slot->late_until_ns, slept = slot->slept_ns;
  __u64 from = came > told ? came : told, before = from - told;
  __u64 passed = now > from ? now - from : 0, most = slot->woken_ns > from ? slot->woken_ns - from : 0;

  if (most > slept) most = slept;
  if (most > passed) most = passed;
  slept = slept > before ? slept - before : 0;
  a->passed_ns = passed;
  a->awake_ns = passed - most;
  a->slept_ns = slept < most ? slept : most;
  slot->late_until_ns = now;
  slot->slept_ns = 0;
}

static __always_inline void lf_add_answer(struct lf_endpoint_row* row, struct lf_answer* a) {
  __u64 before_ns = a->whole_ns - a->part_ns;

  a->bucket = lf_bucket(a->whole_ns);
  a->bucket_before = before_ns ? lf_bucket(before_ns) : a->bucket;
  lf_forget();
  __u32 whole = a->bucket, before = a->bucket_before;

  if (lf_rare(before_ns)) {
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
  if (!lf_rare(a->late_ns)) return;
  row->late++;
  row->late_ns += a->late_ns;
  row->late_passed_ns += a->passed_ns;
  row->late_awake_ns += a->awake_ns;
  row->late_slept_ns += a->slept_ns;
  if (a->late_ns > row->late_max_ns) row->late_max_ns = a->late_ns;
}

#endif
