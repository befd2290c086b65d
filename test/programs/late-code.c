// Runs code that was not there when the recording began, without frame pointers: in a library that it opens, in a child
// that it forks, and in itself after an exec. Each part burns CPU in a function of its own.
//
//   late-code [--ms 500] [--hold]     --ms is CPU time of each part
#include <dlfcn.h>
#include <sys/wait.h>

#include "program.h"

typedef unsigned long (*crc_function)(unsigned long, const unsigned char*, unsigned);

static unsigned char page[65536];

NOINLINE unsigned long burn_in_library(crc_function crc, uint64_t ns) {
  uint64_t from = thread_cpu_ns();
  unsigned long sum = 0;
  while (thread_cpu_ns() - from < ns)
    for (int i = 0; i < 16; i++) sum = crc(sum, page, sizeof page);
  return sum;
}

#define BURNER(name)                                            \
  NOINLINE uint64_t name(uint64_t ns) {                         \
    uint64_t from = thread_cpu_ns(), seed = from;               \
    while (thread_cpu_ns() - from < ns) seed = busy_work(seed); \
    return seed;                                                \
  }
BURNER(burn_in_child)
BURNER(burn_after_exec)

int main(int argc, char** argv) {
  uint64_t ns = option(argc, argv, "--ms", 500) * NS_PER_MS;
  uint64_t begun = option(argc, argv, "--begun", 0);
  if (begun) {
    uint64_t seed = burn_after_exec(ns);
    printf("{\"event\":\"result\",\"wallNs\":%llu,\"odd\":%d}\n", (unsigned long long)(monotonic_ns() - begun),
           (int)(seed & 1));
    return 0;
  }
  ready(argc, argv);
  begun = monotonic_ns();

  pid_t child = fork();
  if (child < 0) abort();
  if (child == 0) _exit((int)(burn_in_child(ns) & 1));
  if (waitpid(child, NULL, 0) != child) abort();

  void* library = dlopen("libz.so.1", RTLD_NOW);
  crc_function crc = library ? (crc_function)dlsym(library, "crc32") : NULL;
  if (!crc) {
    fprintf(stderr, "no crc32 in libz.so.1: %s\n", dlerror());
    return 1;
  }
  unsigned long sum = burn_in_library(crc, ns);

  char ms[24], at[24];
  snprintf(ms, sizeof ms, "%llu", (unsigned long long)(ns / NS_PER_MS));
  snprintf(at, sizeof at, "%llu", (unsigned long long)begun + (sum & 1));
  char* next[] = {argv[0], "--ms", ms, "--begun", at, NULL};
  execv("/proc/self/exe", next);
  return 1;
}
