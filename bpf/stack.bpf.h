/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A record's identity, its kernel half, and its way into a ring. User halves: unwind.bpf.h. */
#ifndef LOWFLAME_STACK_H
#define LOWFLAME_STACK_H

#define LF_STACK_BYTES (LF_MAX_FRAMES * 8)

/*
 * Who: the current task (or `task`). Pointers of a task are read by a helper where it may take its time: at each load
 * that the verifier follows, on each way, it looks for the type's name in all of the kernel's types, for milliseconds
 * (btf_nested_type_is_trusted in kernel/bpf/btf.c).
 */
static __always_inline void lf_fill_identity(struct lf_record* r, struct task_struct* task) {
  struct task_struct* leader = NULL;

  bpf_core_read(&leader, sizeof(leader), &task->group_leader);
  r->tid = task->pid;
  r->tgid = task->tgid;
  r->task_flags = task->flags;
  r->copied_ns = 0;
  r->start_time_ns = 0;
  bpf_core_read(&r->start_time_ns, sizeof(r->start_time_ns), &leader->start_time);
  bpf_probe_read_kernel(r->comm, sizeof(r->comm), &task->comm);
  bpf_probe_read_kernel(r->leader_comm, sizeof(r->leader_comm), &leader->comm);
}

/* System call that `task` is in, from the registers saved at its entry to the kernel; -1 for interrupts and faults. */
static __always_inline void lf_fill_syscall(struct lf_record* r, struct task_struct* task) {
  r->syscall = -1;
  r->syscall_arg0 = 0;
  if (task->flags & PF_KTHREAD) return;
  struct pt_regs* regs = (struct pt_regs*)bpf_task_pt_regs(task);
  long nr = (long)regs->orig_ax;

  if (nr >= 0 && nr < 4096) {
    r->syscall = nr;
    r->syscall_arg0 = regs->di;
  }
}

/* Kernel half into r->frames[0..]. Returns bytes. */
static __always_inline __u64 lf_kernel_stack(void* ctx, struct lf_record_stack* r) {
  long n = bpf_get_stack(ctx, r->frames, LF_STACK_BYTES, 0);

  if (n <= 0) return 0;
  if (n >= LF_STACK_BYTES) r->h.flags |= LF_KERNEL_TRUNCATED;
  return n;
}

/* Sends the record with `stack_bytes` of frames into `ring`. Returns false when the ring is full. */
static __always_inline bool lf_send(void* ring, struct lf_record_stack* r, __u64 stack_bytes) {
  __u64 length = sizeof(struct lf_record) + stack_bytes;

  /* keeps the bound below on the register that the helper gets */
  asm volatile("" : "+r"(length));
  if (length > sizeof(*r)) return false;
  return bpf_ringbuf_output(ring, r, length, BPF_RB_NO_WAKEUP) == 0;
}

#endif
