// Tens of thousands of short sleeps by many threads at once, from 31 us to 2 ms (as many in each octave), so that an
// estimate from a sample of them has a known and small variance. Prints how many there were, and the sum and the sum of
// squares of their lengths by its own clock, waits for a CPU included: upper bounds of what the kernel counts.
//
//   many-sleeps [--threads 24] [--ms 2000] [--hold]
#include <pthread.h>
#include <sys/prctl.h>

#include "program.h"

struct sleeper {
  pthread_t thread;
  uint64_t seed, until_ns, count, sum_ns;
  double sum_squares;
};

NOINLINE void sleep_shortly(uint64_t ns) {
  struct timespec t = to_timespec(ns);
  nanosleep(&t, NULL);
}

static void* worker(void* arg) {
  struct sleeper* s = arg;
  prctl(PR_SET_TIMERSLACK, 1);  // else every sleep is 50 us longer
  while (monotonic_ns() < s->until_ns) {
    uint64_t octave = 31250ULL << next_random(&s->seed) % 6;
    uint64_t ns = octave + next_random(&s->seed) % octave;
    uint64_t from = monotonic_ns();
    sleep_shortly(ns);
    uint64_t took = monotonic_ns() - from;
    s->count++;
    s->sum_ns += took;
    s->sum_squares += (double)took * (double)took;
  }
  return NULL;
}

int main(int argc, char** argv) {
  uint64_t threads = option(argc, argv, "--threads", 24), ms = option(argc, argv, "--ms", 2000);
  if (threads < 1 || threads > 1024) {
    fprintf(stderr, "--threads wants 1 to 1024\n");
    return 2;
  }
  struct sleeper* sleepers = calloc(threads, sizeof *sleepers);
  ready(argc, argv);
  uint64_t until_ns = monotonic_ns() + ms * NS_PER_MS;
  for (uint64_t i = 0; i < threads; i++) {
    sleepers[i] = (struct sleeper){.seed = 88172645463325252ULL + i, .until_ns = until_ns};
    if (pthread_create(&sleepers[i].thread, NULL, worker, &sleepers[i])) return 1;
  }
  uint64_t count = 0, sum_ns = 0;
  double sum_squares = 0;
  for (uint64_t i = 0; i < threads; i++) {
    pthread_join(sleepers[i].thread, NULL);
    count += sleepers[i].count;
    sum_ns += sleepers[i].sum_ns;
    sum_squares += sleepers[i].sum_squares;
  }
  printf("{\"event\":\"result\",\"threads\":%llu,\"count\":%llu,\"sumNs\":%llu,\"sumSquares\":%.6e}\n",
         (unsigned long long)threads, (unsigned long long)count, (unsigned long long)sum_ns, sum_squares);
  return 0;
}
