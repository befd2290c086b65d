/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Exact totals and histograms, in open-addressed tables that one CPU writes with plain adds. At most LF_TABLE_PROBES
 * rows are looked at; what finds no row goes into the row "other" (behind the last) and is counted.
 */
#ifndef LOWFLAME_TABLES_H
#define LOWFLAME_TABLES_H

#include "buckets.h"

/* What hardly ever holds: its code goes behind the rest, so that what usually runs lies together in the cache. */
#define lf_rare(condition) __builtin_expect(!!(condition), 0)

#define LF_USED (1ULL << 63)

/* From here on what is in memory is read anew: to the verifier unknown numbers, so that ways that meet again are one.
 */
static __always_inline void lf_forget(void) {
  asm volatile("" ::: "memory");
}

static __always_inline __u32 lf_hash(__u64 key) {
  key *= 0x9E3779B97F4A7C15ULL;
  return key >> 40;
}

static __always_inline void lf_total_add(struct lf_off_area* area, __u32 tgid, __u64 start_ns, __u32 state, __u64 ns) {
  __u64 key = LF_USED | (__u64)state << 32 | tgid;
  __u32 at = lf_hash(key ^ start_ns);
  struct lf_total* row = NULL;

  for (int i = 0; i < LF_TABLE_PROBES; i++) {
    struct lf_total* t = &area->total[(at + i) & settings.table_mask & (LF_TOTAL_ROWS - 1)];

    if (t->key == key && t->start_time_ns == start_ns) {
      row = t;
      break;
    }
    if (!t->key) {
      t->start_time_ns = start_ns;
      t->key = key;
      row = t;
      break;
    }
  }
  if (!row) {
    area->counter[LF_OFF_TOTALS_FULL]++;
    row = &area->total[LF_TOTAL_ROWS];
  }
  row->count++;
  row->sum_ns += ns;
  if (ns > row->max_ns) row->max_ns = ns;
}

static __always_inline void lf_runq_add(struct lf_off_area* area, __u32 tgid, __u64 start_ns, __u64 ns) {
  __u64 key = LF_USED | tgid;
  __u32 at = lf_hash(key ^ start_ns);
  struct lf_runq* row = NULL;

  for (int i = 0; i < LF_TABLE_PROBES; i++) {
    struct lf_runq* t = &area->runq[(at + i) & settings.table_mask & (LF_RUNQ_ROWS - 1)];

    if (t->key == key && t->start_time_ns == start_ns) {
      row = t;
      break;
    }
    if (!t->key) {
      t->start_time_ns = start_ns;
      t->key = key;
      row = t;
      break;
    }
  }
  if (!row) {
    area->counter[LF_OFF_RUNQ_FULL]++;
    row = &area->runq[LF_RUNQ_ROWS];
  }
  __u32 bucket = lf_bucket(ns);

  row->count++;
  row->sum_ns += ns;
  if (ns > row->max_ns) row->max_ns = ns;
  if (bucket < LF_RUNQ_BUCKETS) row->bucket[bucket]++;
}

#endif
