// BPF programs that follow one another: loads one, runs it for a while (BPF_PROG_TEST_RUN, so that it is this process's
// time), unloads it, loads the next, which lies where the first lay or near it. All are alike but for their names.
//
//   bpf-turns [--ms 700] [--hold]
#include <linux/bpf.h>

#include "program.h"

#define INSNS 3000
#define BATCH 1000

static int call_bpf(int command, union bpf_attr* attr) {
  return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static int load(const char* name) {
  static struct bpf_insn insns[INSNS];
  for (int i = 0; i < INSNS; i++)
    insns[i] = (struct bpf_insn){.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_0, .imm = 1};
  insns[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  insns[INSNS - 1] = (struct bpf_insn){.code = BPF_JMP | BPF_EXIT};
  union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = INSNS};
  attr.insns = (uint64_t)insns;
  attr.license = (uint64_t) "GPL";
  strncpy(attr.prog_name, name, sizeof attr.prog_name - 1);
  int fd = call_bpf(BPF_PROG_LOAD, &attr);
  if (fd < 0) {
    perror("BPF_PROG_LOAD");
    exit(1);
  }
  return fd;
}

static void run(int fd) {
  char packet[64] = {0};
  union bpf_attr attr = {0};
  attr.test.prog_fd = (uint32_t)fd;
  attr.test.data_in = (uint64_t)packet;
  attr.test.data_size_in = sizeof packet;
  attr.test.repeat = BATCH;
  if (call_bpf(BPF_PROG_TEST_RUN, &attr)) {
    perror("BPF_PROG_TEST_RUN");
    exit(1);
  }
}

int main(int argc, char** argv) {
  static const char* const NAMES[] = {"turn_alpha", "turn_beta", "turn_gamma"};
  uint64_t ns = option(argc, argv, "--ms", 700) * NS_PER_MS, cpu[3];
  ready(argc, argv);
  for (int i = 0; i < 3; i++) {
    int fd = load(NAMES[i]);
    uint64_t before = thread_cpu_ns(), until = monotonic_ns() + ns;
    while (monotonic_ns() < until) run(fd);
    cpu[i] = thread_cpu_ns() - before;
    close(fd);
  }
  printf("{\"event\":\"result\",\"alpha\":%llu,\"beta\":%llu,\"gamma\":%llu}\n", (unsigned long long)cpu[0],
         (unsigned long long)cpu[1], (unsigned long long)cpu[2]);
  return 0;
}
