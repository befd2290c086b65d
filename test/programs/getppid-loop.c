// Calls getppid as fast as it can: the victim of a BPF program that somebody hangs on that system call.
//
//   getppid-loop [--ms 2000] [--cpu N] [--hold]
#include <sched.h>

#include "program.h"

NOINLINE uint64_t call_getppid_until(uint64_t until_ns) {
  uint64_t calls = 0;
  while (monotonic_ns() < until_ns) {
    for (int i = 0; i < 16; i++) syscall(SYS_getppid);
    calls += 16;
  }
  return calls;
}

int main(int argc, char** argv) {
  uint64_t ms = option(argc, argv, "--ms", 2000), cpu = option(argc, argv, "--cpu", CPU_SETSIZE);
  if (cpu < CPU_SETSIZE) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set)) {
      perror("sched_setaffinity");
      return 1;
    }
  }
  ready(argc, argv);
  uint64_t from = monotonic_ns(), cpu_from = thread_cpu_ns();
  uint64_t calls = call_getppid_until(from + ms * NS_PER_MS);
  printf("{\"event\":\"result\",\"calls\":%llu,\"wallNs\":%llu,\"cpuNs\":%llu}\n", (unsigned long long)calls,
         (unsigned long long)(monotonic_ns() - from), (unsigned long long)(thread_cpu_ns() - cpu_from));
  return 0;
}
