// Burns CPU in three named functions with known shares (50, 30 and 20 %), in short slices of varied length. Each slice
// is ended by the thread's own CPU clock, so preemption does not bend the shares. Prints what each function took.
//
//   known-cpu [--ms 2000] [--threads 1] [--hold]     --ms is CPU time of each thread
#include <pthread.h>

#include "program.h"

// Time from entry to exit of the function, on the thread's own CPU clock.
#define BURNER(name)                                          \
  NOINLINE uint64_t name(uint64_t ns) {                       \
    uint64_t from = thread_cpu_ns(), now = from, seed = from; \
    while (now - from < ns) {                                 \
      seed = busy_work(seed);                                 \
      now = thread_cpu_ns();                                  \
    }                                                         \
    __asm__ volatile("" ::"r"(seed));                         \
    return now - from;                                        \
  }

BURNER(burn_half)
BURNER(burn_thirty_percent)
BURNER(burn_fifth)

struct account {
  uint64_t budget_ns, seed;
  uint64_t half, thirty, fifth, total;
  pthread_t thread;
};

NOINLINE void burn_in_shares(struct account* a) {
  uint64_t start = thread_cpu_ns();
  while (thread_cpu_ns() - start < a->budget_ns) {
    // A tenth of this round; 0.4 to 1.4 ms, so a round takes 4 to 14 ms.
    uint64_t tenth = 400000 + next_random(&a->seed) % 1000000;
    a->half += burn_half(5 * tenth);
    a->thirty += burn_thirty_percent(3 * tenth);
    a->fifth += burn_fifth(2 * tenth);
  }
  a->total = thread_cpu_ns() - start;
}

static void* worker(void* arg) {
  burn_in_shares(arg);
  return NULL;
}

int main(int argc, char** argv) {
  uint64_t threads = option(argc, argv, "--threads", 1);
  uint64_t budget_ns = option(argc, argv, "--ms", 2000) * NS_PER_MS;
  if (threads < 1 || threads > 256) {
    fprintf(stderr, "--threads wants 1 to 256\n");
    return 2;
  }
  struct account* accounts = calloc(threads, sizeof *accounts);
  ready(argc, argv);
  uint64_t from = monotonic_ns();
  for (uint64_t i = 0; i < threads; i++) {
    accounts[i] = (struct account){.budget_ns = budget_ns, .seed = 88172645463325252ULL + i};
    if (pthread_create(&accounts[i].thread, NULL, worker, &accounts[i])) return 1;
  }
  struct account sum = {0};
  for (uint64_t i = 0; i < threads; i++) {
    pthread_join(accounts[i].thread, NULL);
    sum.half += accounts[i].half;
    sum.thirty += accounts[i].thirty;
    sum.fifth += accounts[i].fifth;
    sum.total += accounts[i].total;
  }
  printf(
      "{\"event\":\"result\",\"threads\":%llu,\"wallNs\":%llu,\"cpuNs\":%llu,\"functions\":{\"burn_half\":%llu,"
      "\"burn_thirty_percent\":%llu,\"burn_fifth\":%llu}}\n",
      (unsigned long long)threads, (unsigned long long)(monotonic_ns() - from), (unsigned long long)sum.total,
      (unsigned long long)sum.half, (unsigned long long)sum.thirty, (unsigned long long)sum.fifth);
  return 0;
}
