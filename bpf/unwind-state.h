/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a walk up a user stack keeps from frame to frame. In BPF it lies in the per-CPU area of a program family: the
 * sampling timer interrupts the others' programs, so no two of them may share one.
 */
#ifndef LOWFLAME_UNWIND_STATE_H
#define LOWFLAME_UNWIND_STATE_H

#include "unwind.h"

/*
 * Stack memory is copied in windows: reading 1 KiB costs little more than reading a word (86 ns for 512 bytes, 76 for
 * 8), and holds some twenty frames.
 */
#define LF_UW_WINDOW_WORDS 128 /* a power of two */
#define LF_UW_WINDOW_BYTES (8 * LF_UW_WINDOW_WORDS)

struct lf_uw_walk {
  __u64 ip, sp, bp;
  __u64 start_time_ns; /* of the process */
  __u64 begin, bytes;  /* mapping that the last address was in; no bytes = none */
  __u64 text;          /* address of its table's first page */
  __u32 pages;         /* of its table; 0 = walk by frame pointer */
  __u32 table;
  __u32 tgid;
  __u32 generation; /* of the process's mappings */
  __u16 without;    /* lf_uw_stop, where no rule is known here and the frame pointer leads nowhere */
  __u8 exact;       /* ip is the next instruction of its frame, not the one behind a call */
  __u8 lost;        /* the frame's rbp is not known */
  __u8 above;       /* bytes that ip is told higher than it is */
  __u8 guessed;     /* a frame on the way was found by its frame pointer, without a rule */
  __u8 missed;      /* lf_uw_stop, where such a frame's mapping or table was not there; 0 = none */
  __u8 pad;
  __u64 window_at;    /* address of window[0], a multiple of 8 */
  __u64 window_bytes; /* that hold stack memory */
  __u64 window[LF_UW_WINDOW_WORDS];
};

#endif
