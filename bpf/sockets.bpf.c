/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * System calls on sockets: count, errors, bytes, latency and where it went, by process and call and by process and
 * endpoint. A call that is none of ours leaves at once. The time blocked in a call comes from the switch programs, the
 * time without a CPU from the thread's scheduler account, the rest is busy.
 */
#include "core.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "events.h"
#include "filter.bpf.h"
#include "call-tables.bpf.h"
#include "callers.bpf.h"
#include "calls.bpf.h"
#include "endpoint.bpf.h"
#include "stack.bpf.h"
#include "turns.bpf.h"
#include "unwind.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* By number, x86-64 (arch/x86/entry/syscalls/syscall_64.tbl). */
const volatile __u8 lf_call_table[LF_CALL_NUMBERS] = {
    [0] = LF_CALL_ANY_FD | LF_CALL_IN,    /* read */
    [1] = LF_CALL_ANY_FD | LF_CALL_OUT,   /* write */
    [3] = LF_CALL_CLOSE,                  /* close */
    [7] = LF_CALL_IDLE,                   /* poll */
    [19] = LF_CALL_ANY_FD | LF_CALL_IN,   /* readv */
    [20] = LF_CALL_ANY_FD | LF_CALL_OUT,  /* writev */
    [23] = LF_CALL_IDLE,                  /* select */
    [40] = LF_CALL_ANY_FD | LF_CALL_OUT,  /* sendfile */
    [41] = LF_CALL_OPEN,                  /* socket */
    [42] = LF_CALL_SOCKET,                /* connect */
    [43] = LF_CALL_ACCEPT,                /* accept */
    [44] = LF_CALL_SOCKET | LF_CALL_OUT,  /* sendto */
    [45] = LF_CALL_SOCKET | LF_CALL_IN,   /* recvfrom */
    [46] = LF_CALL_SOCKET | LF_CALL_OUT,  /* sendmsg */
    [47] = LF_CALL_SOCKET | LF_CALL_IN,   /* recvmsg */
    [48] = LF_CALL_SOCKET,                /* shutdown */
    [49] = LF_CALL_SOCKET,                /* bind */
    [50] = LF_CALL_SOCKET,                /* listen */
    [53] = LF_CALL_OPEN,                  /* socketpair */
    [54] = LF_CALL_SOCKET,                /* setsockopt */
    [55] = LF_CALL_SOCKET,                /* getsockopt */
    [232] = LF_CALL_IDLE,                 /* epoll_wait */
    [270] = LF_CALL_IDLE,                 /* pselect6 */
    [271] = LF_CALL_IDLE,                 /* ppoll */
    [275] = LF_CALL_SPLICE | LF_CALL_OUT, /* splice */
    [281] = LF_CALL_IDLE,                 /* epoll_pwait */
    [288] = LF_CALL_ACCEPT,               /* accept4 */
    [299] = LF_CALL_SOCKET | LF_CALL_IN,  /* recvmmsg */
    [307] = LF_CALL_SOCKET | LF_CALL_OUT, /* sendmmsg */
    [441] = LF_CALL_IDLE,                 /* epoll_pwait2 */
    /* of 32-bit programs (syscall_32.tbl): socketcall; socket to shutdown */
    [102] = LF_CALL_32,
    [359] = LF_CALL_32,
    [360] = LF_CALL_32,
    [361] = LF_CALL_32,
    [362] = LF_CALL_32,
    [363] = LF_CALL_32,
    [364] = LF_CALL_32,
    [365] = LF_CALL_32,
    [366] = LF_CALL_32,
    [367] = LF_CALL_32,
    [368] = LF_CALL_32,
    [369] = LF_CALL_32,
    [370] = LF_CALL_32,
    [371] = LF_CALL_32,
    [372] = LF_CALL_32,
    [373] = LF_CALL_32,
};
#define CALL_WINDOW_NS 100000000ULL
#define SLOW_CALLS_A_WINDOW 50

struct lf_call_area_map {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(struct lf_call_area)); /* as a type it would reach BTF as a mere forward declaration */
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u32);
  __array(values, struct lf_call_area_map);
} lf_call_areas SEC(".maps");

struct lf_call_ring_map {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u32);
  __array(values, struct lf_call_ring_map);
} lf_call_rings SEC(".maps");

static __always_inline struct lf_call_area* call_area(__u32 cpu) {
  __u32 zero = 0;
  void* inner = bpf_map_lookup_elem(&lf_call_areas, &cpu);

  return inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
}

#include "closing.bpf.h"
#include "connections.bpf.h"
#include "messages.bpf.h"
#include "waiters.bpf.h"

static __always_inline __u32 class_of(__u64 nr) {
  if (nr >= LF_CALL_NUMBERS) return 0;
  asm volatile("" : "+r"(nr));
  return lf_call_table[nr & (LF_CALL_NUMBERS - 1)];
}

#include "open-calls.bpf.h"

SEC("?tp_btf/sys_enter")
int BPF_PROG(lf_call_enter, struct pt_regs* regs, long nr) {
  __u32 call = class_of((__u64)nr), class = call & LF_CALL_CLASS;

  if (!call) return 0;
  __u32 cpu = bpf_get_smp_processor_id();

  if (!lf_active_since() || !lf_cpu_wanted(cpu)) return 0;
  if (lf_rare(call == LF_CALL_32)) {
    struct task_struct* caller = bpf_get_current_task_btf();

    if (!(caller->thread_info.status & TS_COMPAT) || !lf_task_wanted(caller, true)) return 0;
    struct lf_call_area* area = call_area(cpu);

    if (area) area->enter_counter[LF_CALLS_COMPAT]++;
    return 0;
  }
  struct task_struct* task;
  struct lf_caller* who = lf_caller((__u64)regs, &task);

  if (!who || lf_rare(task->thread_info.status & TS_COMPAT)) return 0;
  __u32 fd = (__u32)regs->di;
  struct file* file = NULL;
  bool third = false;

  if (lf_rare(class == LF_CALL_CLOSE)) {
    file = lf_file_of(task, fd);
    struct sock* sk = lf_socket_in(file);
    struct lf_call_area* area = call_area(cpu);

    if (!sk || !area) return 0;
    area->closing_socket = (__u64)sk;
    if (lf_is_last(file)) lf_gave_up(area, who->thread.tgid, is_in_epoll(file));
  } else if (class == LF_CALL_ANY_FD) {
    file = lf_socket_file(who, task, fd);
    if (!file) return 0;
  } else if (lf_rare(class == LF_CALL_SPLICE)) {
    file = lf_socket_file(who, task, fd);
    if (!file) {
      third = true;
      file = lf_socket_file(who, task, (__u32)regs->dx);
      if (!file) return 0;
    }
  }
  if (!lf_task_wanted(task, true)) return 0;
  if (class == LF_CALL_SOCKET || class == LF_CALL_ACCEPT) file = lf_socket_file(who, task, fd);
  struct lf_call_set* set = lf_caller_set(who);

  if (!set) return 0;
  struct lf_call_slot* slot = lf_caller_slot(who, set);

  if (lf_rare(!slot)) {
    slot = lf_call_claim(set, who->thread.slot_key);
    if (!slot) {
      struct lf_call_area* area = call_area(cpu);

      if (area) area->enter_counter[LF_CALLS_SLOT_COLLISION]++;
      return 0;
    }
    slot->late_until_ns = bpf_ktime_get_ns();
    slot->slept_ns = slot->woken_ns = 0;
  }
  if (lf_rare(class == LF_CALL_CLOSE)) {
    struct lf_call_area* area = call_area(cpu);

    if (area) lf_close_begins(area, who->thread.slot_key);
  }
  lf_call_note(slot, nr & LF_SLOT_NR, file, third);
  slot->blocked_ns = 0;
  slot->run_delay_ns = task->sched_info.run_delay;
  slot->enter_ns = bpf_ktime_get_ns();
  return 0;
}

static __always_inline void send_call(void* ctx, struct lf_call_area* area, __u32 cpu, const struct lf_call_result* c,
                                      long result, bool has_end, __u16 flags) {
  struct task_struct* task = bpf_get_current_task_btf();
  __u64 now = c->now;

  if (now - area->window_ns >= CALL_WINDOW_NS) {
    area->window_ns = now;
    area->window_stacks = 0;
  }
  if (area->window_stacks >= SLOW_CALLS_A_WINDOW) {
    area->counter[LF_CALLS_SLOW_LEFT_OUT]++;
    return;
  }
  area->window_stacks++;
  struct lf_record_call* r = &area->scratch;
  void* ring = bpf_map_lookup_elem(&lf_call_rings, &cpu);

  if (!ring) {
    area->counter[LF_CALLS_NO_RING]++;
    return;
  }
  __builtin_memset(&r->h, 0, sizeof(r->h));
  r->h.kind = LF_RECORD_CALL;
  r->h.flags = flags;
  r->h.cpu = cpu;
  r->h.time_ns = now;
  r->h.duration_ns = c->ns;
  r->h.weight_ns = c->busy_ns;
  lf_fill_identity(&r->h, task);
  r->h.syscall = c->nr;
  r->h.syscall_arg0 = c->fd;
  r->blocked_ns = c->blocked_ns;
  r->waiting_ns = c->waiting_ns;
  r->result = result;
  if (has_end) {
    r->end = area->end;
    r->name_length = area->name_length;
    if (area->name_length) __builtin_memcpy(r->name, area->name, LF_UNIX_PATH);
  } else {
    __builtin_memset(&r->end, 0, sizeof(r->end));
    r->name_length = 0;
  }
  __u64 bytes = lf_user_stack(ctx, task, &r->h, r->frames, &area->unwind);

  if (r->h.flags & LF_USER_UNREADABLE) area->counter[LF_CALLS_USER_UNREADABLE]++;
  if (r->h.flags & LF_USER_TRUNCATED) area->counter[LF_CALLS_USER_TRUNCATED]++;
  r->h.user_frames = bytes / 8;
  __u64 length = __builtin_offsetof(struct lf_record_call, frames) + bytes;

  asm volatile("" : "+r"(length));
  if (length > sizeof(*r)) return;
  if (bpf_ringbuf_output(ring, r, length, BPF_RB_NO_WAKEUP)) area->counter[LF_CALLS_RING_FULL]++;
}

SEC("?tp_btf/sys_exit")
int BPF_PROG(lf_call_exit, struct pt_regs* regs, long result) {
  __u32 call = class_of(regs->orig_ax), class = call & LF_CALL_CLASS;

  if (!call) return 0;
  struct task_struct* task;
  struct lf_caller* who = lf_caller((__u64)regs, &task);
  struct lf_call_set* set = who ? lf_caller_set(who) : NULL;

  if (!set) return 0;
  struct lf_call_slot* slot = lf_caller_slot(who, set);

  if (!slot || !slot->enter_ns) return 0;
  __u64 since = lf_active_since();
  __u32 cpu = bpf_get_smp_processor_id();
  struct lf_call_area* area = call_area(cpu);
  __u64 now = bpf_ktime_get_ns(), begin = slot->enter_ns;

  slot->enter_ns = 0;
  if (!area || !since) return 0;
  struct lf_call_result* c = &area->result;

  c->nr = slot->call & LF_SLOT_NR;
  c->call = call;
  c->ns = now - begin;
  c->blocked_ns = slot->blocked_ns < c->ns ? slot->blocked_ns : c->ns;
  c->waiting_ns = task->sched_info.run_delay - slot->run_delay_ns;
  if (c->waiting_ns > c->ns - c->blocked_ns) c->waiting_ns = c->ns - c->blocked_ns;
  c->busy_ns = c->ns - c->blocked_ns - c->waiting_ns;
  c->error = result < 0 ? -result : 0;
  c->bytes = c->queue = c->queue_limit = 0;
  c->answer.part_ns = c->answer.whole_ns = c->answer.late_ns = 0;
  c->now = now;
  c->start_ns = who->thread.start_ns;
  c->tgid = who->thread.tgid;
  c->fd = class == LF_CALL_IDLE || class == LF_CALL_OPEN ? LF_NO_FD
          : slot->call & LF_SLOT_THIRD                   ? (__u32)regs->dx
                                                         : (__u32)regs->di;
  __u64 second = regs->si, third = regs->dx, fifth = regs->r8, sixth = regs->r9;

  bool looks = takes_nothing(c->nr, third, regs->r10);

  if (result > 0 && call & (LF_CALL_IN | LF_CALL_OUT) && !looks)
    c->bytes = lf_rare(is_many(c->nr)) ? (__u32)lf_message_bytes(second, result) : (__u64)result;
  c->bucket = lf_bucket_of_short(c->ns);
  if (lf_rare(c->busy_ns != c->ns))
    c->busy_bucket = lf_bucket(c->busy_ns);
  else
    c->busy_bucket = c->bucket;
  lf_forget();
  area->counter[LF_CALLS_SEEN]++;
  lf_add_call(area, c);
  if (class == LF_CALL_IDLE || class == LF_CALL_OPEN) {
    if (c->blocked_ns >= LF_CLOSED_NS && is_poll(c->nr)) lf_polled(area, regs->di, second);
    return 0;
  }
  if (lf_rare(class == LF_CALL_SPLICE) && !(slot->call & LF_SLOT_THIRD)) c->call = LF_CALL_SPLICE | LF_CALL_IN;
  bool spins = false, named = false, closed = false;
  bool accepted = class == LF_CALL_ACCEPT && result >= 0;

  /* what was closed may be another socket by now */
  struct file* file = class == LF_CALL_CLOSE ? NULL : lf_call_file(slot);

  area->socket = file ? (__u64)lf_socket_behind(file) : 0;
  if (lf_rare(accepted)) area->socket = (__u64)lf_socket_of(task, (__u32)result);
  struct sock* sk = (struct sock*)*(volatile __u64*)&area->socket;

  if (sk) {
    lf_endpoint_of(area);
    lf_forget();
    /* a datagram socket of unix may have a name and no other end, too; a receive in vain gives no address back */
    if (lf_rare((area->end.role == LF_END_LOCAL && !(c->call & LF_CALL_IN && result < 0)) ||
                (area->end.role == LF_END_LISTEN && area->end.family == AF_UNIX && c->call & LF_CALL_OUT)))
      lf_address_end(area, second, third, fifth, sixth);
    else if (lf_rare(may_name_another(sk, c, area->end.role, fifth)))
      named = lf_other_end(area, second, fifth, sixth);
    lf_forget();
    __u16 role = area->end.role;
    bool opened = role == LF_END_REMOTE || role == LF_END_PATH, out = c->call & LF_CALL_OUT;

    if (c->bytes && (opened || role == LF_END_ACCEPTED || role == LF_END_SERVED)) {
      struct turn t = {.key = turn_key(*(volatile __u64*)&area->socket, 0),
                       .now = now,
                       .start_ns = c->start_ns,
                       .tcp = opened && area->end.protocol == IPPROTO_TCP ? area->socket : 0,
                       .woken_ns = opened && c->blocked_ns ? c->waiting_ns : 0,
                       .tgid = c->tgid,
                       .tid = who->thread.tid,
                       .messages = lf_rare(is_many(c->nr)) ? (__u32)result : 1,
                       .question = opened == out,
                       .here = opened};

      note_turn(area, &t, &c->answer);
      if (lf_rare(c->answer.late_ns)) lf_meanwhile(&c->answer, slot, now);
    } else if (opened && c->call & LF_CALL_IN) {
      lf_received_in_vain(area, who->thread.tid, c->blocked_ns);
    }
    if (lf_rare(accepted)) {
      struct sock* listener = file ? lf_socket_behind(file) : NULL;

      if (listener) {
        /* this one has just left the queue */
        c->queue = LF_GET(sock, listener, sk_ack_backlog) + 1;
        c->queue_limit = LF_GET(sock, listener, sk_max_ack_backlog);
      }
    }
    lf_forget();
    if (lf_rare((role == LF_END_DATAGRAM || named) && result > 0 && is_many(c->nr) && !looks))
      lf_add_messages(area, second, result);
    else
      lf_add_endpoint(area, c);
    lf_forget();
    spins = lf_add_descriptor(area, c);
  } else if (lf_rare(class == LF_CALL_CLOSE && lf_close_ends(area, c, who->thread.slot_key))) {
    closed = true;
    lf_add_endpoint(area, c);
  }
  bool slow = c->busy_ns >= settings.call_busy_limit_ns || c->blocked_ns >= settings.call_blocked_limit_ns;

  if (lf_rare(slow || spins)) send_call(ctx, area, cpu, c, result, sk != NULL || closed, slow ? 0 : LF_SPINS);
  return 0;
}

/* Requests of io_uring have no system call of their own: counted, not timed. Where a thread of the kernel submits them
 * (SQPOLL), it is one of the process that they are of. */
SEC("?tp_btf/io_uring_submit_req")
int BPF_PROG(lf_call_uring) {
  __u32 cpu = bpf_get_smp_processor_id();

  if (!lf_active_since() || !lf_cpu_wanted(cpu) || !lf_task_wanted(bpf_get_current_task_btf(), true)) return 0;
  struct lf_call_area* area = call_area(cpu);

  if (area) area->uring_requests++;
  return 0;
}
