// More spinning threads than CPUs, pinned, so that waiting for a CPU is known to exist and how much of it. Prints each
// thread's CPU time and run delay as the scheduler itself keeps them (/proc/self/task/TID/schedstat).
//
//   known-runq [--ms 1000] [--threads 3] [--cpu 0] [--hold]     all threads on that one CPU
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include "program.h"

struct spinner {
  pthread_t thread;
  uint64_t until_ns, cpu, cpu_ns, delay_ns, slices;
  int tid;
};

struct schedstat {
  unsigned long long cpu_ns, delay_ns, slices;
};

static struct schedstat read_schedstat(int tid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", tid);
  struct schedstat s;
  FILE* f = fopen(path, "r");
  if (!f || fscanf(f, "%llu %llu %llu", &s.cpu_ns, &s.delay_ns, &s.slices) != 3) {
    perror(path);
    exit(1);
  }
  fclose(f);
  return s;
}

NOINLINE void spin_on_one_cpu(uint64_t until_ns) {
  uint64_t seed = until_ns;
  while (monotonic_ns() < until_ns) seed = busy_work(seed);
  __asm__ volatile("" ::"r"(seed));
}

static void* worker(void* arg) {
  struct spinner* s = arg;
  prctl(PR_SET_NAME, "runq-spinner");
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(s->cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) {
    perror("sched_setaffinity");
    exit(1);
  }
  s->tid = thread_id();
  // a thread's account begins with its first wait for a CPU, which is over before it can look
  struct schedstat before = {0};
  spin_on_one_cpu(s->until_ns);
  struct schedstat after = read_schedstat(s->tid);
  s->cpu_ns = after.cpu_ns - before.cpu_ns;
  s->delay_ns = after.delay_ns - before.delay_ns;
  s->slices = after.slices - before.slices;
  return NULL;
}

int main(int argc, char** argv) {
  uint64_t ms = option(argc, argv, "--ms", 1000), threads = option(argc, argv, "--threads", 3);
  uint64_t cpu = option(argc, argv, "--cpu", 0);
  if (threads < 1 || threads > 256 || cpu >= CPU_SETSIZE) {
    fprintf(stderr, "--threads wants 1 to 256, --cpu a CPU below %d\n", CPU_SETSIZE);
    return 2;
  }
  struct spinner* spinners = calloc(threads, sizeof *spinners);
  ready(argc, argv);
  uint64_t from = monotonic_ns();
  for (uint64_t i = 0; i < threads; i++) {
    spinners[i].cpu = cpu;
    spinners[i].until_ns = from + ms * NS_PER_MS;
    if (pthread_create(&spinners[i].thread, NULL, worker, &spinners[i])) return 1;
  }
  for (uint64_t i = 0; i < threads; i++) pthread_join(spinners[i].thread, NULL);
  printf("{\"event\":\"result\",\"wallNs\":%llu,\"spinners\":[", (unsigned long long)(monotonic_ns() - from));
  for (uint64_t i = 0; i < threads; i++)
    printf("%s{\"tid\":%d,\"cpuNs\":%llu,\"runDelayNs\":%llu,\"slices\":%llu}", i ? "," : "", spinners[i].tid,
           (unsigned long long)spinners[i].cpu_ns, (unsigned long long)spinners[i].delay_ns,
           (unsigned long long)spinners[i].slices);
  printf("]}\n");
  return 0;
}
