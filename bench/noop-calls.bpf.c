// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Programs that do nothing on the hooks of system calls: apart from noop.bpf.c, since every call on the machine pays
// for them.
#define SEC(name) __attribute__((section(name), used))

SEC("tp_btf/sys_enter") int noop_enter(void* ctx) {
  return 0;
}
SEC("tp_btf/sys_exit") int noop_exit(void* ctx) {
  return 0;
}
char LICENSE[] SEC("license") = "Dual BSD/GPL";
