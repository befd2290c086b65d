/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How the name of a unix socket stands in an endpoint: plain C, for BPF and for the addon alike. */
#ifndef LOWFLAME_UNIX_NAME_H
#define LOWFLAME_UNIX_NAME_H

#include "events.h"

/* FNV-1a over the name, and a second hash beside it: 128 bits tell names apart. */
static __always_inline void lf_hash_name(const char* name, __u32 length, struct lf_endpoint* e) {
  __u64 h = 0xcbf29ce484222325ULL, g = 0x9E3779B97F4A7C15ULL;

  for (__u32 i = 0; i < LF_UNIX_PATH; i++) {
    if (i >= length) break;
    h = (h ^ (__u8)name[i]) * 0x100000001b3ULL;
    g = (g + (__u8)name[i]) * 0xff51afd7ed558ccdULL;
    g ^= g >> 32;
  }
  e->addr[0] = h;
  e->addr[1] = g;
  /* paths belong to no network, abstract names do (unix(7)) */
  if (name[0]) e->network = 0;
}

#endif
