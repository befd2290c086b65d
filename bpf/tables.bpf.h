/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Exact totals and histograms, in open-addressed tables that one CPU writes with plain adds. At most LF_TABLE_PROBES
 * rows are looked at; what finds no row goes into the row "other" (behind the last) and is counted.
 */
#ifndef LOWFLAME_TABLES_H
#define LOWFLAME_TABLES_H

#define LF_USED (1ULL << 63)

/* What hardly ever holds: its code goes behind the rest, so that what usually runs lies together in the cache. */
#define lf_rare(condition) __builtin_expect(!!(condition), 0)

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

/* Position of the only bit of a power of two below 2^64, by the six bits at the top of its product with this number, of
 * which no two are alike (de Bruijn sequence: Leiserson, Prokop and Randall, "Using de Bruijn Sequences to Index a 1 in
 * a Computer Word", 1998). */
#define LF_DE_BRUIJN 0x03f79d71b4cb0a89ULL
const volatile __u8 lf_bit_positions[64] = {
    0,  1,  48, 2,  57, 49, 28, 3,  61, 58, 50, 42, 38, 29, 17, 4,  62, 55, 59, 36, 53, 51,
    43, 22, 45, 39, 33, 30, 24, 18, 12, 5,  63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21,
    44, 32, 23, 11, 46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9,  13, 8,  7,  6,
};

/*
 * Two buckets an octave from 1,024 ns; the layout is described at RunQueueRow in src/capture/binding.ts. Without a
 * branch: each would double the ways that the verifier follows, and as a function it would cost a guarded return.
 */
static __always_inline __u32 lf_bucket(__u64 ns) {
  __u64 v = ns >> 9, top = v;

  top |= top >> 1;
  top |= top >> 2;
  top |= top >> 4;
  top |= top >> 8;
  top |= top >> 16;
  top |= top >> 32;
  top ^= top >> 1;
  __u64 octave = lf_bit_positions[top * LF_DE_BRUIJN >> 58];
  __u64 half = 2 * octave + ((v & top >> 1) << 1 >> octave);
  __u64 bucket = half - (-half >> 63);               /* the first octave has the numbers 1 and 2; what is shorter 0 */
  __u64 over = (LF_RUNQ_BUCKETS - 1 - bucket) >> 63; /* 1 beyond the last */

  return bucket - over * (bucket - (LF_RUNQ_BUCKETS - 1));
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
