/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Unwind tables as the addon builds them and the BPF walker reads them: `.eh_frame` of each ELF file, compact.
 *
 * A file's table is an array of chunks of LF_UW_CHUNK_WORDS words. The first chunks are the directory, a word for each
 * LF_UW_PAGE_BYTES of text from `first` on; the others hold rows. A directory word says where the rows of a page are:
 * chunk, first row and number of rows; they never leave their chunk. A page's first row is carried over from the page
 * before (offset 0), so a search never leaves its page. A page without rows: no rule, walk by frame pointer.
 *
 * Read-only for BPF. Included by both sides.
 */
#ifndef LOWFLAME_UNWIND_H
#define LOWFLAME_UNWIND_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define LF_UW_CHUNK_WORDS 256
#define LF_UW_PAGE_SHIFT 10
#define LF_UW_PAGE_BYTES (1U << LF_UW_PAGE_SHIFT)
#define LF_UW_PAGE_ROWS 255 /* most of one page; what does not fit is left out and counted */

/* directory word: chunk << 16 | first row << 8 | rows; 0 = page without rows (chunk 0 is always directory) */
#define LF_UW_DIR(chunk, first, rows) ((__u32)(chunk) << 16 | (__u32)(first) << 8 | (rows))
/* row: offset in its page << 16 | rule; rows of a page ascend */
#define LF_UW_ROW(offset, rule) ((__u32)(offset) << 16 | (rule))

/* Where the CFA (the stack pointer before the call) is; the return address is at CFA - 8 unless said otherwise. */
enum lf_uw_cfa {
  LF_UW_NONE = 0,    /* no rule: by frame pointer */
  LF_UW_SP,          /* rsp + cfa_offset */
  LF_UW_FP,          /* rbp + cfa_offset */
  LF_UW_PLT,         /* rsp + cfa_offset, 8 more where (rip & 15) >= cfa_add (what linkers write for .plt) */
  LF_UW_DEREF_SP,    /* *(rsp + cfa_offset) + cfa_add */
  LF_UW_DEREF_FP,    /* *(rbp + cfa_offset) + cfa_add */
  LF_UW_SIGNAL,      /* frame of a signal handler: rsp, rbp, rip of the interrupted code lie in struct sigcontext */
  LF_UW_END,         /* the return address is undefined, or already popped: first frame of a thread */
  LF_UW_UNSUPPORTED, /* a rule that this walker does not have */
  LF_UW_OTHER_STACK, /* rbp + 16, on whatever stack rbp points to: the function has changed stacks */
};
enum lf_uw_fp {
  LF_UW_FP_SAME = 0, /* rbp is as it was */
  LF_UW_FP_CFA,      /* saved at CFA + fp_offset */
  LF_UW_FP_DEREF_FP, /* saved at rbp + fp_offset (expression; functions that realign their stack) */
  LF_UW_FP_LOST,     /* undefined, or a rule that this walker does not have: unwinding by rbp must stop */
};
struct lf_uw_rule {
  __u8 cfa;
  __u8 fp;
  __u16 pad;
  __s32 cfa_offset;
  __s32 fp_offset;
  __s32 cfa_add;
};
#define LF_UW_RULES 16384 /* of the machine; rule 0 is LF_UW_NONE */

/* Table id of a mapping that has none. */
#define LF_UW_TABLE_FP 0 /* walk it by frame pointer: JIT code, files without .eh_frame */
#define LF_UW_TABLES 4096

/* An executable mapping of a process. File address (ELF virtual address) = address - bias. */
struct lf_uw_mapping {
  __u64 begin;
  __u32 pages; /* of 4 KiB */
  __u32 table;
  __u64 bias;
};
/* A file's table, as the walker needs it beside the chunks. */
struct lf_uw_file {
  __u64 first; /* file address of the first page, a multiple of LF_UW_PAGE_BYTES */
  __u32 pages;
  __u32 directory_chunks;
};

/* Mappings of a process in ascending order, so many an entry of the hash; processes with more have more entries. */
#define LF_UW_PART_MAPPINGS 64
#define LF_UW_PARTS 8
struct lf_uw_key {
  __u32 tgid;
  __u32 part;
};
struct lf_uw_process {
  __u64 start_time_ns; /* task->start_time: another process may have its id; 0 = not known, any will do */
  __u64 next_begin;    /* first address of the next part; ~0 = this is the last */
  __u32 mappings;
  __u32 generation;
  struct lf_uw_mapping mapping[LF_UW_PART_MAPPINGS];
};

/* How a walk ended. Everything but LF_UW_WHOLE is a stack cut short. */
enum lf_uw_stop {
  LF_UW_WHOLE = 0,    /* at the thread's first frame */
  LF_UW_STOP_PROCESS, /* the process's mappings are not known (yet): the kernel's frame-pointer walk stands in */
  LF_UW_STOP_MAPPING, /* an address in no executable mapping that is known: its frame pointer was followed, if it led on
                       */
  LF_UW_STOP_TABLE,   /* a file's table is not loaded (yet): the same */
  LF_UW_STOP_NO_RULE, /* no rule for the address, and the frame pointer leads nowhere */
  LF_UW_STOP_RULE,    /* LF_UW_UNSUPPORTED, or rbp was lost */
  LF_UW_STOP_READ,    /* stack memory that cannot be read */
  LF_UW_STOP_BACKWARDS, /* the next frame would not be higher up the stack */
  LF_UW_STOP_DEPTH,     /* LF_MAX_FRAMES */
  LF_UW_STOP_TIME,      /* of walks from user space: their time was up, a walk along frame pointers stands in */
  LF_UW_STOP_GUESSED,   /* a return address of 0, as at a first frame, but behind a frame that was guessed */
  LF_UW_STOPS,
};

#endif
