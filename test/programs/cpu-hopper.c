// One thread that goes from CPU 0 to CPU 1 and back: on each it burns 10 ms and sleeps 5 ms. After its hops it says
// {"event":"hopped"} and burns on CPU 1. Prints its wall clock and CPU time, whose difference is all the time that it
// was off the CPU, and how long it slept on each CPU by its own clock.
//
//   cpu-hopper [--hops 60] [--last-ms 500] [--hold]
#include <sched.h>

#include "program.h"

static void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) {
    perror("sched_setaffinity");
    exit(1);
  }
}

NOINLINE void burn_here(uint64_t ns) {
  uint64_t from = thread_cpu_ns(), seed = from;
  while (thread_cpu_ns() - from < ns) seed = busy_work(seed);
  __asm__ volatile("" ::"r"(seed));
}

int main(int argc, char** argv) {
  uint64_t hops = option(argc, argv, "--hops", 60), last_ms = option(argc, argv, "--last-ms", 500);
  uint64_t slept_ns[2] = {0, 0};
  ready(argc, argv);
  uint64_t from = monotonic_ns(), cpu_from = thread_cpu_ns();
  for (uint64_t i = 0; i < hops; i++) {
    struct timespec t = to_timespec(5 * NS_PER_MS);
    pin((int)(i % 2));
    burn_here(10 * NS_PER_MS);
    uint64_t asleep = monotonic_ns();
    nanosleep(&t, NULL);
    slept_ns[i % 2] += monotonic_ns() - asleep;
  }
  pin(1);
  printf("{\"event\":\"hopped\"}\n");
  fflush(stdout);
  burn_here(last_ms * NS_PER_MS);
  printf("{\"event\":\"result\",\"wallNs\":%llu,\"cpuNs\":%llu,\"sleptNs\":[%llu,%llu]}\n",
         (unsigned long long)(monotonic_ns() - from), (unsigned long long)(thread_cpu_ns() - cpu_from),
         (unsigned long long)slept_ns[0], (unsigned long long)slept_ns[1]);
  return 0;
}
