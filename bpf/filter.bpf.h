/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Settings and the filters on the current task, shared by all programs. Everything here is only read by programs. */
#ifndef LOWFLAME_FILTER_H
#define LOWFLAME_FILTER_H

const volatile struct lf_settings settings = {};

/*
 * Set by the addon at activation: until then every program returns at once. In a section of its own, which is a map of
 * this one number, whose address the kernel writes into the programs: nothing is looked up.
 */
volatile __u64 lf_active SEC(".data.active") = 0;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_RDONLY_PROG);
  __type(key, __u32);
  __type(value, __u32);
} lf_pids SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
  __uint(max_entries, LF_MAX_CGROUPS);
  __type(key, __u32);
  __type(value, __u32);
} lf_cgroups SEC(".maps");

/* Monotonic time of activation, 0 = not active. */
static __always_inline __u64 lf_active_since(void) {
  return lf_active;
}

static __always_inline bool lf_comm_equal(const char* a, const volatile char* b) {
  for (int i = 0; i < LF_COMM_LEN; i++) {
    if (a[i] != b[i]) return false;
    if (!a[i]) return true;
  }
  return true;
}

static __always_inline bool lf_cpu_wanted(__u32 cpu) {
  if (!settings.filter_cpus) return true;
  if (cpu >= LF_MAX_CPUS) return false;
  return settings.cpu_bits[cpu / 64] >> (cpu % 64) & 1;
}

/* By identity of `task`. The cgroup is asked of the current task: at a switch-out and at a timer that is `task`. */
static __always_inline bool lf_task_wanted(struct task_struct* task, bool is_current) {
  if (settings.filter_pids) {
    __u32 tgid = task->tgid;

    if (!bpf_map_lookup_elem(&lf_pids, &tgid)) return false;
  }
  if (settings.filter_comms) {
    char comm[LF_COMM_LEN], leader[LF_COMM_LEN];
    bool hit = false;

    bpf_probe_read_kernel(comm, sizeof(comm), &task->comm);
    bpf_probe_read_kernel(leader, sizeof(leader), &task->group_leader->comm);
    for (__u32 i = 0; i < LF_MAX_COMMS; i++) {
      if (i >= settings.filter_comms) break;
      if (lf_comm_equal(comm, settings.comm[i]) || lf_comm_equal(leader, settings.comm[i])) {
        hit = true;
        break;
      }
    }
    if (!hit) return false;
  }
  if (settings.filter_cgroups && is_current) {
    bool hit = false;

    for (__u32 i = 0; i < LF_MAX_CGROUPS; i++) {
      if (i >= settings.filter_cgroups) break;
      if (bpf_current_task_under_cgroup(&lf_cgroups, i) == 1) {
        hit = true;
        break;
      }
    }
    if (!hit) return false;
  }
  return true;
}

#endif
