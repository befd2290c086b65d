// Two threads that hand one byte back and forth through two pipes: a steady load of context switches. Both on one CPU,
// most hand-overs are one switch. Prints the round trips and the switches that the kernel counted.
//
//   ping-pong [--ms 1000] [--cpu 0] [--hold]
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "program.h"

static int there[2], back[2];
static uint64_t cpu;

static void pin(void) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) {
    perror("sched_setaffinity");
    exit(1);
  }
}

NOINLINE int pass(int from, int to) {
  char c;
  return read(from, &c, 1) == 1 && write(to, &c, 1) == 1;
}

static void* echo(void* arg) {
  (void)arg;
  pin();
  while (pass(there[0], back[1])) continue;
  return NULL;
}

int main(int argc, char** argv) {
  uint64_t ms = option(argc, argv, "--ms", 1000);
  cpu = option(argc, argv, "--cpu", 0);
  pthread_t other;
  if (pipe(there) || pipe(back)) return 1;
  ready(argc, argv);
  pin();
  if (pthread_create(&other, NULL, echo, NULL)) return 1;
  struct rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  uint64_t from = monotonic_ns(), trips = 0;
  if (write(there[1], "x", 1) != 1) return 1;
  while (monotonic_ns() - from < ms * NS_PER_MS) {
    for (int i = 0; i < 64; i++)
      if (!pass(back[0], there[1])) return 1;
    trips += 64;
  }
  uint64_t wall = monotonic_ns() - from;
  getrusage(RUSAGE_SELF, &after);
  close(there[1]);
  pthread_join(other, NULL);
  printf("{\"event\":\"result\",\"roundTrips\":%llu,\"wallNs\":%llu,\"switches\":%ld}\n", (unsigned long long)trips,
         (unsigned long long)wall, after.ru_nvcsw + after.ru_nivcsw - before.ru_nvcsw - before.ru_nivcsw);
  return 0;
}
