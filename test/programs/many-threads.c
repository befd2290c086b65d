// Many threads that sleep and wake, to fill thread tables and id maps. Says "ready" when all of them live.
//
//   many-threads [--threads 10000] [--ms 3000] [--period-ms 1000] [--hold]
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "program.h"

static atomic_ullong wakes, alive;
static atomic_int started;  // 0 = wait, 1 = go; the threads look at it as a futex would, by short sleeps
static uint64_t period_ns, until_ns;

NOINLINE void sleep_one_period(uint64_t ns) {
  struct timespec t = to_timespec(ns);
  nanosleep(&t, NULL);
}

static void* worker(void* arg) {
  uint64_t seed = (uint64_t)(uintptr_t)arg + 88172645463325252ULL;
  atomic_fetch_add(&alive, 1);
  while (!atomic_load(&started)) sleep_one_period(100 * NS_PER_MS);
  // Spread over the period: all at once would be a different test.
  sleep_one_period(next_random(&seed) % period_ns);
  while (monotonic_ns() < until_ns) {
    sleep_one_period(period_ns);
    atomic_fetch_add(&wakes, 1);
  }
  return NULL;
}

int main(int argc, char** argv) {
  uint64_t count = option(argc, argv, "--threads", 10000), ms = option(argc, argv, "--ms", 3000);
  period_ns = option(argc, argv, "--period-ms", 1000) * NS_PER_MS;
  if (count < 1 || count > 30000 || period_ns == 0) {
    fprintf(stderr, "--threads wants 1 to 30000, --period-ms at least 1\n");
    return 2;
  }
  pthread_t* threads = calloc(count, sizeof *threads);
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 32768);
  for (uint64_t i = 0; i < count; i++) {
    int err = pthread_create(&threads[i], &attr, worker, (void*)(uintptr_t)i);
    if (err) {
      fprintf(stderr, "thread %llu of %llu: %s\n", (unsigned long long)i, (unsigned long long)count, strerror(err));
      return 1;
    }
  }
  while (atomic_load(&alive) < count) sleep_one_period(NS_PER_MS);
  ready(argc, argv);
  uint64_t from = monotonic_ns();
  until_ns = from + ms * NS_PER_MS;
  atomic_store(&started, 1);
  for (uint64_t i = 0; i < count; i++) pthread_join(threads[i], NULL);
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  printf("{\"event\":\"result\",\"threads\":%llu,\"wakes\":%llu,\"wallNs\":%llu,\"voluntarySwitches\":%ld}\n",
         (unsigned long long)count, (unsigned long long)atomic_load(&wakes),
         (unsigned long long)(monotonic_ns() - from), r.ru_nvcsw);
  return 0;
}
