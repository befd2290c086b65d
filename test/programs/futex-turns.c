// Threads that wait for a futex, for the time, for another futex of another kind, for the time, and so on, each for a
// few milliseconds: whenever a recording ends, some of them are in another wait by the time that anybody looks at them.
// No call but those two waits has the address of a futex for its first argument: select(2) has 0. Prints the address of
// both words.
//
//   futex-turns [--threads 48] [--ms 4]     until it is ended
#include <linux/futex.h>
#include <pthread.h>
#include <sys/select.h>

#include "program.h"

static uint32_t lock_word[16] = {2}, condition_word[16];
static uint64_t length_ns;

/* A lock of glibc, musl, Go or Rust that has waiters is 2; a condition's number may be 0. */
static void wait_for(uint32_t* word) {
  struct timespec t = to_timespec(length_ns);
  syscall(SYS_futex, word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, *word, &t, NULL, 0);
}
static void wait_for_the_time(void) {
  struct timeval t = {0, (suseconds_t)(length_ns / 1000)};
  select(0, NULL, NULL, NULL, &t);
}
static void* take_turns(void* arg) {
  for (;;) {
    wait_for(lock_word);
    wait_for_the_time();
    wait_for(condition_word);
    wait_for_the_time();
  }
  return arg;
}

int main(int argc, char** argv) {
  uint64_t threads = option(argc, argv, "--threads", 48);
  length_ns = option(argc, argv, "--ms", 4) * NS_PER_MS;
  printf("{\"event\":\"ready\",\"pid\":%d,\"lock\":%llu,\"condition\":%llu}\n", getpid(),
         (unsigned long long)(uintptr_t)lock_word, (unsigned long long)(uintptr_t)condition_word);
  fflush(stdout);
  for (uint64_t i = 0; i < threads; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, take_turns, NULL)) return 1;
  }
  /* not for a thread: that would be a futex, too */
  for (;;) pause();
}
