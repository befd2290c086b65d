// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Programs that do nothing, on the hooks that lowflame uses: what the kernel's BPF statistics show for them is the
// floor of a measurement (the statistics' own clock reads, the trampoline), to be taken off every other program's
// figure.
#define SEC(name) __attribute__((section(name), used))

SEC("tp_btf/sched_switch") int noop_switch(void* ctx) {
  return 0;
}
SEC("tp_btf/sched_exit_tp") int noop_resumed(void* ctx) {
  return 0;
}
SEC("tp_btf/hrtimer_expire_entry") int noop_hrtimer(void* ctx) {
  return 0;
}
SEC("tp_btf/contention_begin") int noop_lock_begin(void* ctx) {
  return 0;
}
SEC("tp_btf/contention_end") int noop_lock_end(void* ctx) {
  return 0;
}
char LICENSE[] SEC("license") = "Dual BSD/GPL";
