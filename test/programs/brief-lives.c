// Processes that are over before a profiler can have read their mappings: each burns CPU for a few milliseconds, six
// functions deep, of which two alone keep a frame pointer (one has memory of a variable size on its stack). One
// after the other: forks that go on in this program, fresh execs of it, and execs that burn in a second thread.
//
//   brief-lives [--repeat 40] [--life-ms 4] [--hold]
#include <alloca.h>
#include <pthread.h>
#include <sys/wait.h>

#include "program.h"

static uint64_t life_ns;

NOINLINE uint64_t burn(uint64_t seed) {
  uint64_t from = thread_cpu_ns();
  while (thread_cpu_ns() - from < life_ns) seed = busy_work(seed);
  return seed;
}
#define LEVEL(name, next)                 \
  NOINLINE uint64_t name(uint64_t seed) { \
    seed = next(seed + 1);                \
    __asm__ volatile("" : "+r"(seed));    \
    return seed;                          \
  }
LEVEL(inner, burn)
LEVEL(middle, inner)
LEVEL(outer, middle)

NOINLINE uint64_t with_frame_pointer(uint64_t seed) {
  char* some = alloca(20000 + (seed & 15));  // most of which stays untouched: pages that are not there
  memset(some, (int)seed, 64);
  seed = outer(seed);
  return seed + (uint64_t)some[seed & 15];
}

NOINLINE void* in_thread(void* seed) {
  *(uint64_t*)seed = with_frame_pointer(*(uint64_t*)seed);
  return NULL;
}

static int live(int in_second_thread) {
  uint64_t seed = monotonic_ns();
  pthread_t thread;
  if (!in_second_thread) return (int)(with_frame_pointer(seed) & 1);
  if (pthread_create(&thread, NULL, in_thread, &seed) || pthread_join(thread, NULL)) abort();
  return (int)(seed & 1);
}

int main(int argc, char** argv) {
  uint64_t repeat = option(argc, argv, "--repeat", 40), life_ms = option(argc, argv, "--life-ms", 4);
  life_ns = life_ms * NS_PER_MS;
  if (flag(argc, argv, "--life")) return live(flag(argc, argv, "--thread")) & 0;
  ready(argc, argv);
  char life[24];
  snprintf(life, sizeof life, "%llu", (unsigned long long)life_ms);
  for (uint64_t i = 0; i < 3 * repeat; i++) {
    pid_t child = fork();
    if (child == 0 && i % 3 == 0) _exit(live(0) & 0);
    if (child == 0) {
      execl("/proc/self/exe", argv[0], "--life", "--life-ms", life, i % 3 == 1 ? NULL : "--thread", (char*)NULL);
      _exit(127);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status) {
      fprintf(stderr, "child %llu failed\n", (unsigned long long)i);
      return 1;
    }
  }
  printf("{\"event\":\"result\",\"processes\":%llu}\n", (unsigned long long)(3 * repeat));
  return 0;
}
