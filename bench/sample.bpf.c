// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// How long the sampling timer of a perf cpu-clock event keeps a busy CPU, whoever opened the event: from the first
// thing at the tracepoint hrtimer_expire_entry to the first at hrtimer_expire_exit. Loaded before the tool that is
// measured, it runs before that tool's programs, so these are in the figure, as is the kernel's own work for the
// sample.
// The first has the types that libbpf's headers need: not to be sorted.
// clang-format off
#include "../bpf/core.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
// clang-format on

#define CPUS 256

struct cpu_sum {
  __u64 begin_ns, ns, samples, pad[5];
};
struct cpu_sum cpu_sums[CPUS] __attribute__((aligned(64)));  // a line each: no CPU writes another's

extern const void perf_swevent_hrtimer __ksym;

SEC("tp_btf/hrtimer_expire_entry")
int BPF_PROG(sample_begin, struct hrtimer* timer) {
  __u32 cpu = bpf_get_smp_processor_id();

  if (cpu >= CPUS) return 0;
  cpu_sums[cpu].begin_ns = 0;
  // the idle task has no user half and costs less
  if (timer->function != (void*)&perf_swevent_hrtimer || !(__u32)bpf_get_current_pid_tgid()) return 0;
  cpu_sums[cpu].begin_ns = bpf_ktime_get_ns();
  return 0;
}

SEC("tp_btf/hrtimer_expire_exit")
int BPF_PROG(sample_end) {
  __u64 now = bpf_ktime_get_ns();
  __u32 cpu = bpf_get_smp_processor_id();

  if (cpu >= CPUS || !cpu_sums[cpu].begin_ns) return 0;
  cpu_sums[cpu].ns += now - cpu_sums[cpu].begin_ns;
  cpu_sums[cpu].samples++;
  cpu_sums[cpu].begin_ns = 0;
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
