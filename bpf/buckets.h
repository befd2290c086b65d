/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which bucket of a histogram a time belongs to: plain C, for BPF and for its test alike. The layout is described at
 * RunQueueRow in src/capture/binding.ts.
 */
#ifndef LOWFLAME_BUCKETS_H
#define LOWFLAME_BUCKETS_H

#include "events.h"

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
 * Two buckets an octave from 1,024 ns. Without a branch: each would double the ways that the verifier follows, and as a
 * function it would cost a guarded return.
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

/* Of times below 131 us, by 512 ns. */
const volatile __u8 lf_short_buckets[256] = {
    [2] = 1,          [3] = 2,           [4 ... 5] = 3,      [6 ... 7] = 4,      [8 ... 11] = 5,
    [12 ... 15] = 6,  [16 ... 23] = 7,   [24 ... 31] = 8,    [32 ... 47] = 9,    [48 ... 63] = 10,
    [64 ... 95] = 11, [96 ... 127] = 12, [128 ... 191] = 13, [192 ... 255] = 14,
};

/* The same for what is usually short, at a few nanoseconds less and two ways for the verifier. */
static __always_inline __u32 lf_bucket_of_short(__u64 ns) {
  __u64 v = ns >> 9;

  if (__builtin_expect(v >= sizeof(lf_short_buckets), 0)) return lf_bucket(ns);
  /* or the verifier forgets the bound */
  asm volatile("" : "+r"(v));
  return lf_short_buckets[v & (sizeof(lf_short_buckets) - 1)];
}

#endif
