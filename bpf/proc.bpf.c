// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Processes: an exec replaces the mappings that addresses are named by, so the addon hears of each. Iterators over all
 * tasks give the threads that sleep already when the recording begins, and at its end those that still sleep, with
 * their kernel stacks.
 */
#include "core.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "events.h"
#include "filter.bpf.h"
#include "futex.bpf.h"
#include "slots.bpf.h"
#include "stack.bpf.h"
#include "states.bpf.h"

#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct lf_proc_area_map {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(struct lf_proc_area)); /* as a type it would reach BTF as a mere forward declaration */
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u32);
  __array(values, struct lf_proc_area_map);
} lf_proc_areas SEC(".maps");

struct lf_proc_ring_map {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u32);
  __array(values, struct lf_proc_ring_map);
} lf_proc_rings SEC(".maps");

/* What is looked through of a sleeping thread's stack: the scheduler's frames and that of a lock's slow path fit in. */
#define STACK_WORDS 128

/* Scratch of the iterator: one reader at a time, the addon holds a lock. */
struct lf_task_scratch {
  struct lf_task task;
  __u64 frames[LF_MAX_FRAMES + 1];
  __u64 words[STACK_WORDS];
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lf_task_scratch);
} lf_iter_scratch SEC(".maps");

SEC("?tp_btf/sched_process_exec")
int BPF_PROG(lf_exec, struct task_struct* task) {
  __u32 cpu = bpf_get_smp_processor_id(), zero = 0;

  if (!lf_active_since()) return 0;
  void* inner = bpf_map_lookup_elem(&lf_proc_areas, &cpu);
  struct lf_proc_area* area = inner ? bpf_map_lookup_elem(inner, &zero) : NULL;

  if (!area) return 0;
  void* ring = bpf_map_lookup_elem(&lf_proc_rings, &cpu);

  if (!ring) {
    area->no_ring++;
    return 0;
  }
  struct lf_record* r = bpf_ringbuf_reserve(ring, sizeof(*r), 0);

  if (!r) {
    area->ring_full++;
    return 0;
  }
  __builtin_memset(r, 0, sizeof(*r));
  r->kind = LF_RECORD_EXEC;
  r->cpu = cpu;
  r->time_ns = bpf_ktime_get_ns();
  lf_fill_identity(r, task);
  /* the one event that wakes the addon: a process may live more briefly than it sleeps */
  bpf_ringbuf_submit(r, 0);
  return 0;
}

static __always_inline __u32 sleeping_state(struct task_struct* task) {
  __u32 state = task->__state;

  if (state & (0x4 | 0x8)) return LF_STATE_STOPPED;
  if (state & 0x40 || (state & 0x402) == 0x402) return LF_STATE_IDLE;
  if (state & (0x2 | 0x1000)) return LF_STATE_UNINTERRUPTIBLE;
  if (state & 0x1) return LF_STATE_INTERRUPTIBLE;
  return LF_STATE_PREEMPTED;
}

SEC("?iter/task")
int lf_sleepers(struct bpf_iter__task* ctx) {
  struct task_struct* task = ctx->task;
  struct lf_sleeper s = {};

  if (!task || !task->pid || task->exit_state || task->on_cpu || !lf_task_wanted(task, false)) return 0;
  s.runs = task->sched_info.pcount;
  s.slot_key = lf_slot_key(task);
  /* with what it has waited for a CPU by now: that was before the recording */
  s.run_delay_ns = task->sched_info.run_delay + (task->__state ? 0 : queued_until_now(task));
  s.tid = task->pid;
  s.tgid = task->tgid;
  s.state = sleeping_state(task);
  bpf_seq_write(ctx->meta->seq, &s, sizeof(s));
  return 0;
}

/*
 * Which run queue's lock is whose, by way of the threads on it: `runqueues` is a name of data that few kernels keep.
 * In Linux 7.2 the lock is no longer the first member.
 */
SEC("?iter/task")
int lf_run_queues(struct bpf_iter__task* ctx) {
  struct task_struct* task = ctx->task;
  struct lf_run_queue q = {};
  struct cfs_rq* cfs;
  struct rq* rq;

  if (!task || !bpf_core_field_exists(task->se.cfs_rq) || !bpf_core_field_exists(((struct cfs_rq*)0)->rq) ||
      !bpf_core_field_exists(((struct rq*)0)->__lock))
    return 0;
  cfs = task->se.cfs_rq;
  rq = cfs->rq;
  q.address = (__u64)rq + bpf_core_field_offset(struct rq, __lock);
  q.cpu = (__u32)rq->cpu;
  bpf_seq_write(ctx->meta->seq, &q, sizeof(q));
  return 0;
}

/*
 * The futex that a thread waits for: as its slot has it, or, of a wait that is older than the recording, as its
 * registers tell. Never half of one and half of the other: by now it may be in another wait.
 */
static __always_inline void note_futex(struct lf_record* r, struct task_struct* task, const struct lf_slot* slot) {
  struct lf_futex f = {};

  lf_futex_of(task, false, &f);
  r->futex_value = lf_futex_value(f.value);
  if (slot && slot->off_ns != LF_OFF_BEFORE) {
    if (!f.kind || f.address != slot->futex_address) r->futex_value = LF_FUTEX_OTHER;
    r->futex_kind = slot->futex_kind;
    r->futex_owner = slot->futex_owner;
    if (slot->futex_kind) r->syscall_arg0 = slot->futex_address;
    return;
  }
  r->futex_kind = f.kind;
  if (f.kind) r->syscall_arg0 = f.address;
}

struct lf_word_search {
  struct lf_task_scratch* s;
  __u32 found;
};

/* Of bpf_loop, which the verifier looks at once: all the ways through a loop are too many for it. */
static long look_at_word(__u32 at, void* context) {
  struct lf_word_search* search = context;
  struct lf_task_scratch* s = search->s;
  __u32 n = search->found;

  if (at >= STACK_WORDS || n >= LF_SCHED_WORDS) return 1;
  __u64 word = s->words[at];

  if (word < settings.sched_text.begin || word >= settings.sched_text.end) return 0;
  s->task.sched_word[n] = word;
  s->task.sched_at[n] = at;
  search->found = n + 1;
  return 0;
}

static __always_inline void note_sched_words(struct lf_task_scratch* s, struct task_struct* task) {
  struct lf_word_search search = {.s = s};
  void* sp = (void*)task->thread.sp;
  __u32 words = STACK_WORDS;

  __builtin_memset(s->task.sched_word, 0, sizeof(s->task.sched_word));
  if (!settings.sched_text.end) return;
  if (bpf_probe_read_kernel(s->words, sizeof(s->words), sp)) {
    /* a shallow stack ends before, and above it there may be nothing */
    words /= 2;
    if (bpf_probe_read_kernel(s->words, sizeof(s->words) / 2, sp)) return;
  }
  bpf_loop(words, look_at_word, &search, 0);
}

SEC("?iter/task")
int lf_tasks(struct bpf_iter__task* ctx) {
  struct task_struct* task = ctx->task;
  __u32 zero = 0;

  if (!task || !task->pid || task->exit_state || task->on_cpu || !lf_task_wanted(task, false)) return 0;
  struct lf_task_scratch* s = bpf_map_lookup_elem(&lf_iter_scratch, &zero);
  struct lf_slot_set* set = lf_slot_set(task);

  if (!s || !set) return 0;
  struct lf_task* t = &s->task;
  struct lf_slot* slot = lf_slot_find(set, lf_slot_key(task));

  /* woken and run since: its wait is over and was charged; or it had no slot when it left: counted then */
  if (slot ? !slot->off_ns : lf_set_was_full(task)) return 0;
  __u32 runs = slot ? slot->runs : task->sched_info.pcount;

  t->h.kind = LF_RECORD_TASK;
  t->h.flags = LF_IN_PROGRESS;
  t->h.futex_kind = 0;
  t->h.futex_value = 0;
  t->h.futex_owner = 0;
  t->h.cpu = 0;
  t->h.time_ns = bpf_ktime_get_ns();
  t->h.duration_ns = 0;
  t->h.weight_ns = 0;
  t->off_since_ns = slot ? slot->off_ns : 0;
  t->own_start_ns = task->start_time;
  t->last_cpu = task->thread_info.cpu;
  t->queued_ns = task->__state ? 0 : queued_until_now(task);
  t->delay_ns =
      slot && task->sched_info.run_delay > slot->run_delay_ns ? task->sched_info.run_delay - slot->run_delay_ns : 0;
  t->h.state = slot ? slot->state : sleeping_state(task);
  t->user_ip = 0;
  t->user_sp = 0;
  t->user_bp = 0;
  lf_fill_identity(&t->h, task);
  lf_fill_syscall(&t->h, task);
  if (settings.want_futex && t->h.state == LF_STATE_INTERRUPTIBLE) note_futex(&t->h, task, slot);
  if (!(task->flags & PF_KTHREAD)) {
    struct pt_regs* regs = (struct pt_regs*)bpf_task_pt_regs(task);

    t->user_ip = regs->ip;
    /* a 32-bit program's stack has other words: nobody walks it from outside */
    if ((__u16)regs->cs != USER32_CS) {
      t->user_sp = regs->sp;
      t->user_bp = regs->bp;
    }
  }
  long n = bpf_get_task_stack(task, s->frames, LF_STACK_BYTES, 0);

  if (n < 0) n = 0;
  if (n >= LF_STACK_BYTES) t->h.flags |= LF_KERNEL_TRUNCATED;
  t->h.kernel_frames = n / 8;
  t->h.user_frames = 0;
  note_sched_words(s, task);
  /* last, since it may have woken meanwhile */
  t->gone_on = task->on_cpu || (__u32)task->sched_info.pcount != runs;
  if (t->gone_on) {
    t->h.kernel_frames = 0;
    t->h.syscall = -1;
    t->user_ip = 0;
    t->queued_ns = 0;
    if (!slot || slot->off_ns == LF_OFF_BEFORE) t->h.futex_kind = 0;
  }
  /* fixed size: a reader that takes whole records needs no state */
  bpf_seq_write(ctx->meta->seq, s, offsetof(struct lf_task_scratch, words));
  return 0;
}
