/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The exact tables of this CPU for socket calls: by process and call, by process and endpoint, and the busiest
 * descriptors. No function calls: each return costs some 15 ns where the kernel guards it against speculation.
 */
#ifndef LOWFLAME_CALL_TABLES_H
#define LOWFLAME_CALL_TABLES_H

#include "answers.bpf.h"
#include "tables.bpf.h"

#define EAGAIN 11

static __always_inline void add_error(struct lf_call_row* row, __u32 error) {
#pragma clang loop unroll(full)
  for (int i = 0; i < LF_ERRORS; i++) {
    if (row->error[i] == error || !row->error[i]) {
      row->error[i] = error;
      row->error_count[i]++;
      return;
    }
  }
  row->error_other++;
}

/* How the process is called: whoever reads the tables may come when it has ended. */
static __always_inline void note_comm(struct lf_call_row* row) {
  struct task_struct *task = bpf_get_current_task_btf(), *leader = NULL;

  bpf_core_read(&leader, sizeof(leader), &task->group_leader);
  bpf_probe_read_kernel(row->comm, sizeof(row->comm), &leader->comm);
}

/* A call of the current process. */
static __always_inline int lf_add_call(struct lf_call_area* area, struct lf_call_result* c) {
  if (!area || !c) return 0;
  __u64 start_ns = c->start_ns;
  __u32 tgid = c->tgid;
  __u64 key = LF_USED | (__u64)c->nr << 32 | tgid;
  __u32 at = lf_hash(key ^ start_ns);
  struct lf_call_row* row = NULL;

  for (int i = 0; i < LF_TABLE_PROBES; i++) {
    struct lf_call_row* t = &area->call[(at + i) & settings.table_mask & (LF_CALL_ROWS - 1)];

    if (t->key == key && t->start_time_ns == start_ns) {
      row = t;
      break;
    }
    if (lf_rare(!t->key)) {
      t->start_time_ns = start_ns;
      note_comm(t);
      t->key = key;
      row = t;
      break;
    }
  }
  if (lf_rare(!row)) {
    area->counter[LF_CALLS_TABLE_FULL]++;
    row = &area->call[LF_CALL_ROWS];
  }
  __u32 bucket = c->bucket, busy = c->busy_bucket;

  row->count++;
  row->bytes += c->bytes;
  row->busy_ns += c->busy_ns;
  if (lf_rare(c->busy_ns != c->ns)) {
    row->blocked_ns += c->blocked_ns;
    row->waiting_ns += c->waiting_ns;
  }
  if (c->ns > row->max_ns) row->max_ns = c->ns;
  if (bucket < LF_RUNQ_BUCKETS) row->bucket[bucket]++;
  if (busy < LF_RUNQ_BUCKETS) row->busy_bucket[busy]++;
  if (lf_rare(c->error)) {
    row->errors++;
    add_error(row, c->error);
  }
  return 0;
}

/*
 * The row of this process and area->end. Ends of datagrams and sockets without another end have one half of the table,
 * the others the other one: a server of many datagrams must not hide a slow upstream.
 */
static __always_inline struct lf_endpoint_row* endpoint_row(struct lf_call_area* area, const struct lf_call_result* c) {
  __u64 start_ns = c->start_ns;
  __u32 tgid = c->tgid;
  const struct lf_endpoint* e = &area->end;
  __u64 key = LF_USED | tgid, what = *(const __u64*)e;
  __u32 at = lf_hash(key ^ start_ns ^ what ^ e->addr[0] ^ e->addr[1] << 1);
  __u32 half = e->role == LF_END_DATAGRAM || e->role == LF_END_LOCAL ? LF_ENDPOINT_ROWS / 2 : 0;

  for (int i = 0; i < LF_TABLE_PROBES; i++) {
    struct lf_endpoint_row* t = &area->endpoint[half | ((at + i) & settings.table_mask & (LF_ENDPOINT_ROWS / 2 - 1))];

    if (t->key == key && *(__u64*)&t->end == what && t->end.addr[0] == e->addr[0] && t->end.addr[1] == e->addr[1] &&
        t->start_time_ns == start_ns)
      return t;
    if (lf_rare(!t->key)) {
      t->start_time_ns = start_ns;
      t->end = *e;
      t->name_length = area->name_length;
      if (area->name_length) __builtin_memcpy(t->name, area->name, LF_UNIX_PATH);
      t->key = key;
      return t;
    }
  }
  area->counter[LF_CALLS_ENDPOINTS_FULL]++;
  return &area->endpoint[LF_ENDPOINT_ROWS];
}

static __always_inline void add_to_endpoint(struct lf_endpoint_row* row, struct lf_call_result* c) {
  __u32 bucket = c->bucket;

  row->count++;
  if (c->call & LF_CALL_OUT) row->bytes_out += c->bytes;
  if (c->call & LF_CALL_IN) row->bytes_in += c->bytes;
  row->busy_ns += c->busy_ns;
  if (lf_rare(c->busy_ns != c->ns)) {
    row->blocked_ns += c->blocked_ns;
    row->waiting_ns += c->waiting_ns;
  }
  if (c->ns > row->max_ns) row->max_ns = c->ns;
  if (bucket < LF_RUNQ_BUCKETS) row->bucket[bucket]++;
  if (c->answer.part_ns) lf_add_answer(row, &c->answer);
  if (lf_rare(c->queue)) {
    if (c->queue > row->queue_max) row->queue_max = c->queue;
    row->queue_limit = c->queue_limit;
  }
  if (c->error == EAGAIN)
    row->again++;
  else if (c->error)
    row->errors++;
}

static __always_inline int lf_add_endpoint(struct lf_call_area* area, struct lf_call_result* c) {
  if (area && c) add_to_endpoint(endpoint_row(area, c), c);
  return 0;
}

#define SPIN_AGAIN 512
#define SPIN_AGAIN_LATELY 64
#define LATELY_NS 1000000000ULL
#define FD_WINDOW_NS 100000000ULL
#define FD_CALLS_A_WINDOW 2000
#define FD_ONE_IN 8

/*
 * How many calls this one stands for among its descriptors', 0 = it is left out: on a CPU that makes very many, few
 * tell which descriptors are the busiest. Which, goes by the multiples of the golden ratio: they lie evenly among the
 * calls, and among every second or third of them, too (Weyl, "Ueber die Gleichverteilung von Zahlen mod. Eins", 1916).
 */
static __always_inline __u64 descriptor_weight(struct lf_call_area* area, __u64 now) {
  if (lf_rare(now - area->fd_window_ns >= FD_WINDOW_NS)) {
    area->fd_window_ns = now;
    area->fd_calls = 0;
  }
  if (++area->fd_calls <= FD_CALLS_A_WINDOW) return 1;
  area->fd_phase += 0x9E3779B97F4A7C15ULL;
  return area->fd_phase > ~0ULL / FD_ONE_IN ? 0 : FD_ONE_IN;
}

/*
 * Metwally, Agrawal and El Abbadi, "Efficient computation of frequent and top-k elements" (2005), in sets of four.
 * Returns 1 for a call whose stack may tell why nearly every call on the descriptor finds nothing to do lately: one at
 * each power of two.
 */
static __always_inline int lf_add_descriptor(struct lf_call_area* area, struct lf_call_result* c) {
  if (!area || !c) return 0;
  __u64 weight = descriptor_weight(area, c->now);

  if (!weight) return 0;
  __u64 start_ns = c->start_ns, key = ((__u64)c->tgid << 32 | c->fd) + 1;
  __u32 at = lf_hash(key ^ start_ns) & (LF_FD_ROWS - 4);
  struct lf_fd_row *row = NULL, *least = NULL;

#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) {
    if (row) break;
    struct lf_fd_row* t = &area->fd[(at + i) & (LF_FD_ROWS - 1)];

    if (t->key == key && t->start_time_ns == start_ns)
      row = t;
    else if (!least || t->count < least->count)
      least = t;
  }
  if (lf_rare(!row)) {
    row = least;
    if (!row) return 0;
    row->key = key;
    row->start_time_ns = start_ns;
    row->count = 0;
    row->again = 0;
    row->since_ns = c->now;
    row->window_ns = 0;
  }
  if (lf_rare(c->now - row->window_ns >= LATELY_NS)) {
    row->window_ns = c->now;
    row->window_count = row->window_again = 0;
  }
  /* a descriptor comes again with another socket behind it: the last is told */
  row->end = area->end;
  row->count += weight;
  row->window_count += weight;
  if (!lf_rare(c->error == EAGAIN)) return 0;
  __u64 before = row->again, again = before + weight;

  row->again = again;
  row->window_again += weight;
  /* the highest bit is another one */
  return again >= SPIN_AGAIN && (before ^ again) > before && row->window_again >= SPIN_AGAIN_LATELY &&
         row->window_again > row->window_count - row->window_count / 8;
}

#endif
