/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The walker of user stacks in BPF: the maps of tables that the addon fills, and the walk from the registers that the
 * thread had in user space. The step itself is in unwind-step.h. The verifier sees each function by itself, once.
 */
#ifndef LOWFLAME_UNWIND_BPF_H
#define LOWFLAME_UNWIND_BPF_H

#include "filter.bpf.h"
#include "stack.bpf.h"

/* Programs read these and the addon alone writes them; all objects share the same. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16384);
  __uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
  __type(key, struct lf_uw_key);
  __type(value, struct lf_uw_process);
} lf_uw_processes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, LF_UW_TABLES);
  __uint(map_flags, BPF_F_RDONLY_PROG);
  __type(key, __u32);
  __type(value, struct lf_uw_file);
} lf_uw_files SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, LF_UW_RULES);
  __uint(map_flags, BPF_F_RDONLY_PROG);
  __type(key, __u32);
  __type(value, struct lf_uw_rule);
} lf_uw_rules SEC(".maps");

/* A file's chunks; how many is its own affair, which is what BPF_F_INNER_MAP allows. */
struct lf_uw_table_map {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_INNER_MAP);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, LF_UW_CHUNK_WORDS * sizeof(__u32));
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, LF_UW_TABLES);
  __type(key, __u32);
  __array(values, struct lf_uw_table_map);
} lf_uw_tables SEC(".maps");

#define lf_uw_read_user(w, to, bytes, from) bpf_probe_read_user(to, bytes, (void*)(from))
#define lf_uw_process_of(w, key) bpf_map_lookup_elem(&lf_uw_processes, key)
#define lf_uw_file_of(w, table) bpf_map_lookup_elem(&lf_uw_files, &(table))
#define lf_uw_rule_of(w, rule) bpf_map_lookup_elem(&lf_uw_rules, &(rule))
#define lf_uw_table_of(w, table) bpf_map_lookup_elem(&lf_uw_tables, &(table))

static __always_inline const __u32* lf_uw_chunk(void* chunks, __u32 index) {
  return bpf_map_lookup_elem(chunks, &index);
}
#define lf_uw_chunk_of(w, chunks, index) lf_uw_chunk(chunks, index)

__noinline int lf_uw_find(struct lf_uw_walk* w, __u64 pc);

#include "unwind-step.h"

__noinline int lf_uw_find(struct lf_uw_walk* w, __u64 pc) {
  return w ? lf_uw_enter(w, pc) : 0;
}

struct lf_uw_frames {
  __u64 ip[LF_MAX_FRAMES];
};

/*
 * Frames that one call goes up. Each call costs, where the kernel guards returns, as much as a frame; each frame in one
 * call adds 7,000 instructions for the verifier to look at.
 */
#define LF_UW_STEPS 8

/* Up from the frame that has `taken` below it. Returns lf_uw_stop << 8 | number of frames; 0 = there are more. */
__noinline int lf_uw_some(struct lf_uw_walk* w, struct lf_uw_frames* frames, __u32 taken) {
  struct lf_uw_near near = {};

  if (!w || !frames) return LF_UW_STOP_READ << 8;
#pragma clang loop unroll(disable)
  for (__u32 i = 0; i < LF_UW_STEPS; i++) {
    if (taken >= LF_MAX_FRAMES) return LF_UW_STOP_DEPTH << 8 | LF_MAX_FRAMES;
    frames->ip[taken++] = w->ip + w->above;
    int stop = lf_uw_up(w, &near);

    if (stop == LF_UW_GO_ON) continue;
    if (stop != LF_UW_SIGNALLED) return (lf_uw_told(w, stop) & 0xff) << 8 | taken;
    if (taken > 1) frames->ip[taken - 1]++;
  }
  return 0;
}

/* Walks to the end. Returns lf_uw_stop << 8 | number of frames. */
__noinline int lf_uw_run(struct lf_uw_walk* w, struct lf_uw_frames* frames) {
  if (!w || !frames) return 0;
#pragma clang loop unroll(disable)
  for (__u32 i = 0; i <= LF_MAX_FRAMES; i += LF_UW_STEPS) {
    int end = lf_uw_some(w, frames, i);

    if (end) return end;
  }
  return LF_UW_STOP_DEPTH << 8 | LF_MAX_FRAMES;
}

/* Areas and rings of copies, one a CPU; the addon makes them. */
struct lf_uw_copy_area_map {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(struct lf_copy_area));
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u32);
  __array(values, struct lf_uw_copy_area_map);
} lf_uw_areas SEC(".maps");

struct lf_uw_copy_ring_map {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u32);
  __array(values, struct lf_uw_copy_ring_map);
} lf_uw_rings SEC(".maps");

/* A program that has run for less may have mapped what is not known yet. */
#define LF_UW_YOUNG_NS 1000000000ULL
/* Copied of a stack whose end is not known. */
#define LF_UW_COPY_USUAL 8192

/*
 * Where the stack of the current thread ends: above the first thread's is what an exec has put there, above others'
 * their thread control block (glibc's allocate_stack, nptl/allocatestack.c; musl's pthread_create), which fs points to.
 */
static __always_inline __u64 lf_uw_stack_end(struct task_struct* task, struct mm_struct* mm, __u64 sp) {
  unsigned long first = 0, block = 0;

  bpf_core_read(&first, sizeof(first), &mm->start_stack);
  if (first > sp && first - sp <= LF_UW_FP_MOST) return first;
  bpf_core_read(&block, sizeof(block), &task->thread.fsbase);
  if (block > sp && block - sp <= LF_UW_FP_MOST) return block;
  return sp + LF_UW_COPY_USUAL;
}

/* Copies the next page of the stack, or what of it belongs to it. Returns whether there may be more. */
__noinline int lf_uw_copy_page(struct lf_copy_area* area) {
  if (!area) return 0;
  struct lf_stack_copy* c = &area->copy;
  __u64 at = area->at, next = (at & ~(LF_COPY_PAGE - 1ULL)) + LF_COPY_PAGE;
  __u32 bytes = (next < c->end ? next : c->end) - at, filled = area->filled;

  /* keeps the bounds on the registers that the helper gets */
  asm volatile("" : "+r"(bytes), "+r"(filled));
  if (at >= c->end || bytes > LF_COPY_PAGE || filled >= LF_COPY_MOST || area->page >= LF_COPY_PAGES) return 0;
  if (!bpf_probe_read_user(area->memory + filled, bytes, (void*)at)) {
    c->pages |= 1U << (area->page & (LF_COPY_PAGES - 1));
    area->filled = filled + bytes;
  }
  area->page++;
  area->at = next;
  return 1;
}

/*
 * Sends a copy of the stack of the current thread into its CPU's ring. Returns when, CLOCK_MONOTONIC; 0 = there was no
 * room, so that its stack stays as short as it is.
 */
__noinline __u64 lf_uw_keep(void) {
  struct task_struct* task = bpf_get_current_task_btf();
  struct pt_regs* regs = (struct pt_regs*)bpf_task_pt_regs(task);
  struct mm_struct* mm = NULL;
  __u32 cpu = bpf_get_smp_processor_id(), zero = 0;
  void *ring = bpf_map_lookup_elem(&lf_uw_rings, &cpu), *inner = bpf_map_lookup_elem(&lf_uw_areas, &cpu);
  struct lf_copy_area* area = inner ? bpf_map_lookup_elem(inner, &zero) : NULL;

  bpf_core_read(&mm, sizeof(mm), &task->mm);
  if (!ring || !area || !mm) return 0;
  if (area->busy) {
    area->dropped++;
    return 0;
  }
  area->busy = 1;
  barrier();
  __u64 now = bpf_ktime_get_ns();

  area->copy.taken_ns = now;
  area->copy.tid = task->pid;
  area->copy.pages = 0;
  area->copy.ip = regs->ip;
  area->copy.sp = regs->sp;
  area->copy.bp = regs->bp;
  area->copy.end = lf_uw_stack_end(task, mm, regs->sp);
  area->at = area->copy.sp - LF_COPY_BELOW;
  area->page = 0;
  area->filled = 0;
#pragma clang loop unroll(disable)
  for (__u32 i = 0; i < LF_COPY_PAGES; i++)
    if (!lf_uw_copy_page(area)) break;
  if (area->at < area->copy.end) area->copy.end = area->at;
  __u64 length = sizeof(area->copy) + area->filled;

  asm volatile("" : "+r"(length));
  if (length > sizeof(area->copy) + sizeof(area->memory) ||
      bpf_ringbuf_output(ring, &area->copy, length, BPF_RB_NO_WAKEUP)) {
    area->dropped++;
    now = 0;
  }
  barrier();
  area->busy = 0;
  return now;
}

/*
 * Whether the current thread has no user stack: its memory is given up (it exits), or an exec has taken it and the new
 * program is not ready (mm_alloc leaves start_code 0, load_elf_binary sets it at its end).
 */
static __always_inline bool lf_uw_between(struct task_struct* task) {
  struct mm_struct* mm = NULL;
  unsigned long code = 0;

  bpf_core_read(&mm, sizeof(mm), &task->mm);
  return !mm || bpf_core_read(&code, sizeof(code), &mm->start_code) || !code;
}

/* There is no user half. */
static __always_inline __u64 lf_uw_none(struct lf_record* h) {
  h->flags |= LF_USER_UNREADABLE;
  return 0;
}

enum lf_uw_start {
  LF_UW_NO_STACK,   /* a 32-bit program, no registers (workers of io_uring), or no memory any more */
  LF_UW_NO_PROCESS, /* its mappings are not known */
  LF_UW_STARTED,
};

/*
 * Sets out from the registers of `task`, which is the current one: saved when it entered the kernel, by a system call
 * or by the interrupt that a sample is taken in.
 */
static __always_inline enum lf_uw_start lf_uw_set_out(struct lf_uw_walk* w, struct task_struct* task,
                                                      const struct lf_record* h) {
  struct pt_regs* regs = (struct pt_regs*)bpf_task_pt_regs(task);
  struct mm_struct* mm = NULL;

  bpf_core_read(&mm, sizeof(mm), &task->mm);
  /* a thread that ends has given its memory up before its registers */
  if (!mm || !regs->ip || (__u16)regs->cs == USER32_CS) return LF_UW_NO_STACK;
  w->start_time_ns = h->start_time_ns;
  w->tgid = h->tgid;
  lf_uw_begin(w, regs->ip, regs->sp, regs->bp);
  return lf_uw_find(w, w->ip) ? LF_UW_STARTED : LF_UW_NO_PROCESS;
}

/*
 * User half of `task`, the current one and the one that `h` tells of, to `frames`: from unwind tables, or, where its
 * mappings are not known, along frame pointers by the kernel. Notes in `h` how it ended, and sends ahead a copy of the
 * stack where the program is too young to be known. Returns bytes.
 */
static __always_inline __u64 lf_user_stack(void* ctx, struct task_struct* task, struct lf_record* h, void* frames,
                                           struct lf_uw_walk* walk) {
  if (settings.unwind) {
    enum lf_uw_start start = lf_uw_set_out(walk, task, h);

    if (start == LF_UW_STARTED) {
      __u32 end = lf_uw_run(walk, frames), stop = end >> 8 & 0xff, n = end & 0xff;

      if (stop == LF_UW_STOP_MAPPING || stop == LF_UW_STOP_TABLE || stop == LF_UW_STOP_READ) {
        if (lf_uw_between(task)) return lf_uw_none(h);
        if (stop != LF_UW_STOP_READ && bpf_ktime_get_ns() - h->start_time_ns < LF_UW_YOUNG_NS)
          h->copied_ns = lf_uw_keep();
      }
      h->unwind_stop = stop;
      if (stop == LF_UW_STOP_DEPTH) h->flags |= LF_USER_TRUNCATED;
      if (stop == LF_UW_WHOLE) h->flags |= LF_USER_WHOLE;
      return n <= LF_MAX_FRAMES ? n * 8 : LF_STACK_BYTES;
    }
    if (lf_uw_between(task)) return lf_uw_none(h);
    if (start == LF_UW_NO_PROCESS) h->copied_ns = lf_uw_keep();
  }
  long n = bpf_get_stack(ctx, frames, LF_STACK_BYTES, BPF_F_USER_STACK);

  if (n <= 0) return lf_uw_none(h);
  h->unwind_stop = LF_UW_STOP_PROCESS;
  if (n >= LF_STACK_BYTES) {
    h->flags |= LF_USER_TRUNCATED;
    return LF_STACK_BYTES;
  }
  return n;
}

#endif
