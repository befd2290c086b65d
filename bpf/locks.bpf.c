// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Waits for kernel locks: tp_btf contention_begin and contention_end, which run only where somebody waits.
 *
 * A spinning waiter's wait is kept on a stack of its CPU (lock-nest.bpf.h), a sleeping one's in a slot of its thread,
 * claimed for the length of the wait.
 * Counts, sums and histograms are exact, by lock and process. A stack costs more than many a wait, and at the end of
 * one the lock is held: so stacks are taken at the beginning, where the waiter pays with time that it would lose
 * anyhow, for one wait in N at random; only a wait over the limit pays at its end, and then weighs 1, as do sampled
 * ones over it.
 *
 * contention_end of an interrupt can come while lf_lock_begin runs, and the reverse: the two share no scratch and no
 * counters.
 */
#include "core.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "events.h"
#include "filter.bpf.h"
#include "locks.bpf.h"
#include "lock-nest.bpf.h"
#include "earlier-locks.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Who holds a mutex or rwsem, where the kernel keeps it in the lock: task pointer with flags in its low bits. */
static __always_inline void fill_owner(struct lf_record_lock* r, __u64 lock, __u32 kind) {
  struct task_struct *task, *leader = NULL;
  __u64 owner = 0, at;

  r->owner_tid = 0;
  r->owner_frames = 0;
  if (kind == LF_LOCK_MUTEX) {
    if (!bpf_core_field_exists(((struct mutex*)0)->owner)) return;
    at = bpf_core_field_offset(struct mutex, owner);
  } else if (kind == LF_LOCK_RWSEM_READ || kind == LF_LOCK_RWSEM_WRITE) {
    if (!bpf_core_field_exists(((struct rw_semaphore*)0)->owner)) return;
    at = bpf_core_field_offset(struct rw_semaphore, owner);
  } else {
    return;
  }
  if (bpf_probe_read_kernel(&owner, sizeof(owner), (void*)(lock + at))) return;
  /* bit 0 of an rwsem: readers own it, the task is the last of them and may have let go */
  if (kind != LF_LOCK_MUTEX && owner & 1) return;
  task = (void*)(owner & ~7ULL);
  if (!task) return;
  if (bpf_core_read(&r->owner_tid, sizeof(r->owner_tid), &task->pid)) {
    r->owner_tid = 0;
    return;
  }
  bpf_core_read(&r->owner_tgid, sizeof(r->owner_tgid), &task->tgid);
  bpf_core_read(&leader, sizeof(leader), &task->group_leader);
  bpf_core_read(&r->owner_start_ns, sizeof(r->owner_start_ns), &leader->start_time);
  bpf_core_read(r->owner_comm, sizeof(r->owner_comm), &task->comm);
  bpf_core_read(r->owner_leader_comm, sizeof(r->owner_leader_comm), &leader->comm);
#ifdef LF_TASK_FROM_PID
  struct task_struct* held = bpf_task_from_pid(r->owner_tid);

  if (!held) return;
  __u64 used = (__u64)r->h.kernel_frames + r->h.user_frames;

  if (used <= 2 * LF_MAX_FRAMES) {
    /* an owner that runs has no stack that can be read from here */
    long n = bpf_get_task_stack(held, &r->frames[used], LF_STACK_BYTES, 0);

    if (n > 0 && n <= LF_STACK_BYTES) r->owner_frames = n / 8;
  }
  bpf_task_release(held);
#endif
}

/* Fills the record with the current thread's stacks. Returns bytes of frames. */
static __always_inline __u64 take_stacks(void* ctx, __u64* counter, struct lf_uw_walk* walk, struct lf_record_lock* r,
                                         struct task_struct* task) {
  __u64 kernel, user = 0;
  long n = bpf_get_stack(ctx, r->frames, LF_STACK_BYTES, 0);

  kernel = n > 0 ? n : 0;
  if (kernel > LF_STACK_BYTES) kernel = LF_STACK_BYTES;
  if (kernel == LF_STACK_BYTES) {
    r->h.flags |= LF_KERNEL_TRUNCATED;
    counter[LF_LOCKS_KERNEL_TRUNCATED]++;
  }
  if (!(task->flags & PF_KTHREAD)) {
    user = lf_user_stack(ctx, task, &r->h, (char*)r->frames + kernel, walk);
    if (r->h.flags & LF_USER_UNREADABLE) counter[LF_LOCKS_USER_UNREADABLE]++;
    if (r->h.flags & LF_USER_TRUNCATED) counter[LF_LOCKS_USER_TRUNCATED]++;
  }
  r->h.kernel_frames = kernel / 8;
  r->h.user_frames = user / 8;
  return kernel + user;
}

static __always_inline void begin_record(struct lf_record_lock* r, __u32 kind, __u32 cpu, __u64 now, __u64 lock,
                                         __u32 lock_kind, __u32 object, struct task_struct* task) {
  r->h.kind = kind;
  r->h.flags = 0;
  r->h.unwind_stop = 0;
  r->h.cpu = cpu;
  r->h.time_ns = now;
  r->h.duration_ns = 0;
  r->h.kernel_frames = 0;
  r->h.user_frames = 0;
  r->h.state = lock_kind;
  r->lock = lock;
  r->object = object;
  r->owner_tid = 0;
  r->owner_frames = 0;
  lf_fill_identity(&r->h, task);
  lf_fill_syscall(&r->h, task);
}

static __always_inline void send(__u64* counter, __u32 cpu, struct lf_record_lock* r, __u64 bytes) {
  void* ring = bpf_map_lookup_elem(&lf_lock_rings, &cpu);
  __u64 length = offsetof(struct lf_record_lock, frames) + bytes;

  if (!ring) {
    counter[LF_LOCKS_NO_RING]++;
    return;
  }
  /* keeps the bound below on the register that the helper gets */
  asm volatile("" : "+r"(length));
  if (length > sizeof(*r)) return;
  if (bpf_ringbuf_output(ring, r, length, BPF_RB_NO_WAKEUP)) counter[LF_LOCKS_RING_FULL]++;
}

SEC("tp_btf/contention_begin")
int BPF_PROG(lf_lock_begin, void* lock_pointer, unsigned int lock_flags) {
  __u32 cpu = bpf_get_smp_processor_id();

  if (!lf_active_since() || !lf_cpu_wanted(cpu)) return 0;
  struct lf_lock_area* area = lock_area(cpu);

  if (!area) return 0;
  struct task_struct* task = lock_waiter(area, ctx, &area->begin_at);
  const struct lf_current* who = &area->current;

  if (!lf_task_wanted(task, true)) return 0;
  __u64 lock = (__u64)lock_pointer, now = bpf_ktime_get_ns();
  __u32 kind = lf_lock_kind(lock_flags);
  struct lf_lock_wait* wait;

  if (kind <= LF_LOCK_RWLOCK_WRITE) {
    wait = nest_push(area, area->begin_at);
  } else {
    struct lf_lock_set* set = lock_set(who->tid);

    if (!set) return 0;
    __u64 key = lf_lock_key(who->slot_key);

    wait = lock_find(set, key, &area->begin_place);
    /* a mutex tells twice: when it begins to spin and when it goes to sleep */
    if (wait && wait->lock == lock) return 0;
    if (!wait && lf_rare(earlier_wait_goes_on(who, lock))) return 0;
    if (lf_rare(wait != NULL))
      area->begin_counter[LF_LOCKS_NESTED]++;
    else
      wait = lock_claim(set, key, &area->begin_place);
    if (lf_rare(!wait)) {
      area->begin_counter[LF_LOCKS_SLOT_COLLISION]++;
      return 0;
    }
  }
  wait->begin_ns = now;
  wait->kind = kind;
  wait->seq = 0;
  wait->stack_ns = 0;
  wait->object = lock_object(task, lock, kind);
  wait->like = lock_like(area, lock, area->begin_at);
  wait->tgid = who->tgid;
  wait->start_time_ns = who->start_ns;
  asm volatile("" ::: "memory");
  *(volatile __u64*)&wait->lock = lock;

  add_ended(area);
  __u64 one_in = lock_one_in(area, now);

  if (lf_rare(one_in == 1) && like_is_short(area, wait->like)) one_in = 2;
  if (!lf_rare(!(lf_random(&area->random) >> 24 & (one_in - 1)))) return 0;
  struct lf_record_lock* r = &area->begin_scratch;
  /* unique among the waits in flight: a count of this CPU's and the CPU itself; never 0 */
  __u64 seq = ++area->seq << 12 | (cpu & 0xfff);

  wait->seq = seq;
  wait->weight = one_in;
  area->window_stacks++;
  task = bpf_get_current_task_btf();
  begin_record(r, LF_RECORD_LOCK_STACK, cpu, now, lock, kind, wait->object, task);
  r->seq = seq;
  r->h.weight_ns = 0;
  __u64 bytes = take_stacks(ctx, area->begin_counter, &area->begin_unwind, r, task);

  fill_owner(r, lock, kind);
  send(area->begin_counter, cpu, r, bytes + 8ULL * (r->owner_frames & 127));
  wait->stack_ns = bpf_ktime_get_ns() - now;
  return 0;
}

SEC("tp_btf/contention_end")
int BPF_PROG(lf_lock_end, void* lock_pointer, int result) {
  __u32 cpu = bpf_get_smp_processor_id();

  if (!lf_active_since()) return 0;

  if (lf_rare(!lf_cpu_wanted(cpu))) {
    /* a wait that began on a wanted CPU and ends on another is not counted, but it is over */
    struct lf_current here;

    lf_ask_current(&here, bpf_get_current_task_btf());
    struct lf_lock_set* set = lock_set(here.tid);
    struct lf_lock_place place;
    struct lf_lock_wait* slot = set ? lock_find(set, lf_lock_key(here.slot_key), &place) : NULL;

    if (slot && slot->lock == (__u64)lock_pointer) {
      slot->lock = 0;
      *(volatile __u64*)&slot->key = 0;
    } else if ((slot = earlier_wait(&here))) {
      slot->key = 0;
    }
    return 0;
  }
  struct lf_lock_area* area = lock_area(cpu);

  if (!area) return 0;
  struct task_struct* task = lock_waiter(area, ctx, &area->end_at);
  const struct lf_current* who = &area->current;

  if (!lf_task_wanted(task, true)) return 0;
  __u64 lock = (__u64)lock_pointer, depth = area->depth, left = depth;
  struct lf_lock_wait *wait = NULL, *slot = NULL;

  if (depth) {
    wait = nest_find(area, area->end_at, lock, &left);
  }
  if (!wait) {
    struct lf_lock_set* set = lock_set(who->tid);

    slot = set ? lock_find(set, lf_lock_key(who->slot_key), &area->end_place) : NULL;
    if (lf_rare(!slot || slot->lock != lock)) {
      slot = earlier_wait_ends(who, task, lock, lf_active_since());
      if (!slot) {
        area->counter[LF_LOCKS_ORPHAN_END]++;
        return 0;
      }
    }
    wait = slot;
  }

  /* the waiter's time in lf_lock_begin is lowflame's, not the lock's; where the lock came free meanwhile nothing is
   * left */
  __u64 now = bpf_ktime_get_ns(), seen = now > wait->begin_ns ? now - wait->begin_ns : 0;
  __u64 ns = seen > wait->stack_ns ? seen - wait->stack_ns : 0, seq = wait->seq, weight = wait->weight;
  __u32 kind = wait->kind, object = wait->object, like = wait->like;

  area->counter[LF_LOCKS_WAITS]++;
  note_ended(area, wait, ns);
  asm volatile("" ::: "memory");
  if (slot) {
    slot->lock = 0;
    /* the key last: from here on another thread may claim it */
    *(volatile __u64*)&slot->key = 0;
  } else {
    area->counter[LF_LOCKS_NESTED] += depth - left - 1;
    area->depth = left;
  }
  if (!lf_rare(seq || ns >= settings.lock_limit_ns)) return 0;

  struct lf_record_lock* r = &area->end_scratch;
  __u64 bytes = 0;

  area->counter[LF_LOCKS_SAMPLED]++;
  task = bpf_get_current_task_btf();
  begin_record(r, seq ? LF_RECORD_LOCK_END : LF_RECORD_LOCK_WAIT, cpu, now, lock, kind, object, task);
  r->seq = seq;
  /* Over the limit every wait has its stack, so each stands for itself; a shorter one stands for N of its like, of
   * their length: weight / duration is N. The model scales all stacks of a lock to the lock's exact total. */
  bool of_like = seq && ns < settings.lock_limit_ns;

  r->h.duration_ns = r->h.weight_ns = ns;
  if (of_like) r->h.weight_ns = like_weighs(area, like, seen, weight, &r->h.duration_ns);
  if (!seq) bytes = take_stacks(ctx, area->counter, &area->end_unwind, r, task);
  send(area->counter, cpu, r, bytes);
  return 0;
}
