// A lock of the program's own, as Rust's mutex is made (0 = free, 1 = taken, 2 = with waiters), with the program's
// counters right behind it: they lie where glibc's mutex has its owner, users and kind, and look like those. A process
// has it while others wait, until it exits, and is gone from /proc at once. Prints which process that was.
//
//   counted-lock [--waiters 3] [--count 17] [--ms 500] [--hold]
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "program.h"

static struct {
  _Atomic uint32_t state;
  uint32_t poisoned, open, busy, errors;
} stats;

NOINLINE void lock_stats(void) {
  uint32_t unlocked = 0;
  if (atomic_compare_exchange_strong(&stats.state, &unlocked, 1)) return;
  while (atomic_exchange(&stats.state, 2))
    syscall(SYS_futex, &stats.state, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 2, NULL, NULL, ~0u);
}

static void* waiter(void* arg) {
  lock_stats();
  return arg;
}

int main(int argc, char** argv) {
  uint64_t waiters = option(argc, argv, "--waiters", 3);
  stats.open = (uint32_t)option(argc, argv, "--count", 17);
  stats.busy = 5;
  uint64_t ns = option(argc, argv, "--ms", 500) * NS_PER_MS;
  ready(argc, argv);
  pid_t child = fork();
  if (child < 0) return 1;
  if (child > 0) {
    int status;
    if (waitpid(child, &status, 0) != child || status) return 1;
    printf("{\"event\":\"result\",\"lockPid\":%d}\n", child);
    return 0;
  }
  lock_stats();
  for (uint64_t i = 0; i < waiters; i++) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, waiter, NULL);
    if (error) {
      fprintf(stderr, "thread %llu: %s\n", (unsigned long long)i, strerror(error));
      return 1;
    }
  }
  struct timespec t = to_timespec(ns);
  nanosleep(&t, NULL);
  _exit(0);
}
