// Processes that are gone before anybody can look at them: each lives for about 50 ms, burning CPU in one named
// function, and exits. The names must survive. Each is a fresh exec of this file under a comm of its own, one at a
// time.
//
//   exits-fast [--repeat 20] [--life-ms 50] [--hold]
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "program.h"

NOINLINE void burn_then_exit(uint64_t ns) {
  uint64_t from = thread_cpu_ns(), seed = from;
  while (thread_cpu_ns() - from < ns) seed = busy_work(seed);
  __asm__ volatile("" ::"r"(seed));
}

int main(int argc, char** argv) {
  uint64_t repeat = option(argc, argv, "--repeat", 20), life_ms = option(argc, argv, "--life-ms", 50);
  if (flag(argc, argv, "--child")) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "short-lived");
    burn_then_exit(life_ms * NS_PER_MS);
    return 0;
  }
  ready(argc, argv);
  uint64_t from = monotonic_ns();
  char life[24];
  snprintf(life, sizeof life, "%llu", (unsigned long long)life_ms);
  for (uint64_t i = 0; i < repeat; i++) {
    pid_t child = fork();
    if (child == 0) {
      execl("/proc/self/exe", argv[0], "--child", "--life-ms", life, (char*)NULL);
      _exit(127);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status) {
      fprintf(stderr, "child %llu failed\n", (unsigned long long)i);
      return 1;
    }
  }
  struct rusage r;
  getrusage(RUSAGE_CHILDREN, &r);
  uint64_t cpu = (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * NS_PER_S +
                 (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000;
  printf("{\"event\":\"result\",\"processes\":%llu,\"wallNs\":%llu,\"childrenCpuNs\":%llu}\n",
         (unsigned long long)repeat, (unsigned long long)(monotonic_ns() - from), (unsigned long long)cpu);
  return 0;
}
