/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Random numbers for sampling: a generator that one CPU writes. */
#ifndef LOWFLAME_RANDOM_H
#define LOWFLAME_RANDOM_H

/* Marsaglia's xorshift64, seeded by the kernel once: no helper call. The high bits are the better ones. */
static __always_inline __u64 lf_random(__u64* state) {
  __u64 x = *state;

  if (!x) x = (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32() | 1;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  *state = x;
  return x;
}

#endif
