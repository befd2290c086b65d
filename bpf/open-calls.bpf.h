/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who is at the other end of the sockets that sleeping threads are in a call on, and which answers are owed: read by
 * the addon when all other programs have stopped, so that this CPU's memory is the iterator's own.
 */
#ifndef LOWFLAME_OPEN_CALLS_H
#define LOWFLAME_OPEN_CALLS_H

#include "calls.bpf.h"
#include "endpoint.bpf.h"
#include "stack.bpf.h"
#include "turns.bpf.h"

static __always_inline bool is_on_descriptor(__u32 class) {
  return class == LF_CALL_SOCKET || class == LF_CALL_ANY_FD || class == LF_CALL_SPLICE || class == LF_CALL_ACCEPT ||
         class == LF_CALL_CLOSE;
}

/* What the recording knows of the last question on a socket, and of who waits for its answer. */
static __always_inline __u32 last_turn(__u64 key, bool receives, __u32 tid) {
  struct lf_turn* t = turn_of(key);

  if (!t) return LF_TURN_UNKNOWN;
  if (turn_began(t)) return LF_TURN_ANSWERED;
  if (receives && t->asker == (__u16)tid) t->flags |= LF_TURN_WAITED;
  return LF_TURN_ASKED;
}

SEC("?iter/task")
int lf_open_calls(struct bpf_iter__task* ctx) {
  struct task_struct* task = ctx->task;
  struct lf_open_call call = {};

  if (!task || !task->pid || task->exit_state || task->flags & PF_KTHREAD || !lf_task_wanted(task, false)) return 0;
  struct pt_regs* regs = (struct pt_regs*)bpf_task_pt_regs(task);
  struct lf_call_area* area = call_area(bpf_get_smp_processor_id());
  __u32 number = class_of(regs->orig_ax), class = number & LF_CALL_CLASS;

  if (!area || task->thread_info.status & TS_COMPAT || !is_on_descriptor(class)) return 0;
  struct lf_call_set* set = lf_call_set(task);
  struct lf_call_slot* slot = set ? lf_call_find(set, lf_slot_key(task)) : NULL;

  call.tid = task->pid;
  call.fd = (__u32)regs->di;
  if (slot && slot->enter_ns && (slot->call & LF_SLOT_NR) == regs->orig_ax) {
    /* another thread may have given the descriptor to something else since */
    if (slot->call & LF_SLOT_THIRD) call.fd = (__u32)regs->dx;
    struct file* file = lf_call_file(slot);

    area->socket = file ? (__u64)lf_socket_behind(file) : 0;
  } else if (class == LF_CALL_CLOSE) {
    /* the descriptor is gone already, and with it what it was */
    return 0;
  } else {
    area->socket = (__u64)lf_socket_of(task, call.fd);
    if (!area->socket && class == LF_CALL_SPLICE) {
      call.fd = (__u32)regs->dx;
      area->socket = (__u64)lf_socket_of(task, call.fd);
    }
  }
  if (!area->socket) return 0;
  lf_endpoint_of(area);
  lf_forget();
  call.turn = last_turn(turn_key(*(volatile __u64*)&area->socket, 0), number & LF_CALL_IN, task->pid);
  call.nr = (__u32)regs->orig_ax;
  call.second = regs->si;
  call.third = regs->dx;
  call.fifth = regs->r8;
  call.sixth = regs->r9;
  call.end = area->end;
  call.name_length = area->name_length;
  if (call.name_length) __builtin_memcpy(call.name, area->name, LF_UNIX_PATH);
  bpf_seq_write(ctx->meta->seq, &call, sizeof(call));
  return 0;
}

/* Which questions on sockets that are still open are owed an answer: those that this machine's processes asked, and
 * those that they were asked. Other lines are of sockets that ended with their process. */
SEC("?iter/task_file")
int lf_open_turns(struct bpf_iter__task_file* ctx) {
  struct lf_call_area* area = call_area(bpf_get_smp_processor_id());
  struct sock* sk = lf_socket_in(ctx->file);

  if (!sk || !area) return 0;
  area->socket = (__u64)sk;
  __u64 socket = *(volatile __u64*)&area->socket;
  struct lf_turn* t = turn_of(turn_key(socket, 0));

  if (!t || turn_began(t)) return 0;
  __u64 ns = bpf_ktime_get_ns() - t->since_ns - (t->end.protocol == IPPROTO_UDP ? 0 : t->ns);
  enum owed owed = t->end.role ? is_owed(t, socket, ns, LF_GAVE_UP_NS) : OWED;

  if (owed != OWED_NOT) t->flags |= owed == OWED ? LF_TURN_OWED : LF_TURN_MAYBE;
  return 0;
}

#endif
