// Many threads that sleep 20 functions deep, compiled without frame pointers, before and after every recording.
// Ends on SIGTERM.
//
//   deep-sleepers [--threads 100] [--hold]
#include <pthread.h>
#include <signal.h>

#include "program.h"

#define DEPTH 20

static int silent[2];

NOINLINE long at_the_bottom(uint64_t seed) {
  char c[64] = {(char)seed};
  long got = read(silent[0], c, 1);
  __asm__ volatile("" : : "r"(c), "r"(got) : "memory");
  return got;
}

/* frames of changing size, and registers that are kept in them */
NOINLINE long go_down(unsigned depth, uint64_t seed) {
  volatile char room[256];
  uint64_t more = next_random(&seed);
  room[depth] = (char)seed;
  long got = depth ? go_down(depth - 1, more) : at_the_bottom(more);
  return got + room[depth] + (long)(more & 1);
}

static void* sleeper(void* arg) {
  return (void*)(go_down(DEPTH, (uint64_t)(uintptr_t)arg + 1) + 1);
}

int main(int argc, char** argv) {
  uint64_t threads = option(argc, argv, "--threads", 100);
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &end, NULL);
  if (pipe(silent)) return 1;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  for (uint64_t i = 0; i < threads; i++) {
    pthread_t thread;
    if (pthread_create(&thread, &attributes, sleeper, (void*)(uintptr_t)i)) return 1;
  }
  ready(argc, argv);
  int signal_number;
  sigwait(&end, &signal_number);
  printf("{\"event\":\"result\",\"threads\":%llu}\n", (unsigned long long)threads);
  fflush(stdout);
  _exit(0);
}
