// Threads that are asleep from "go" until the program is told to end (SIGTERM): a recording that stops before them must
// still charge them. Prints how long each has slept when it is told.
//
//   sleeper-forever [--hold]
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include "program.h"

struct sleeper {
  const char* name;
  void (*sleep)(void);
  pthread_t thread;
  int tid;
  uint64_t from_ns;
};

static int pipe_fds[2];

NOINLINE void forever_in_poll(void) {
  for (;;) poll(NULL, 0, -1);
}
NOINLINE void forever_in_futex(void) {
  static int word;
  for (;;) syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}
NOINLINE void forever_in_pipe_read(void) {
  char c;
  for (;;)
    if (read(pipe_fds[0], &c, 1) < 0) abort();
}

static void* worker(void* arg) {
  struct sleeper* s = arg;
  prctl(PR_SET_NAME, s->name);
  s->tid = thread_id();
  s->from_ns = monotonic_ns();
  s->sleep();
  return NULL;
}

int main(int argc, char** argv) {
  struct sleeper sleepers[] = {
      {.name = "forever-poll", .sleep = forever_in_poll},
      {.name = "forever-futex", .sleep = forever_in_futex},
      {.name = "forever-pipe", .sleep = forever_in_pipe_read},
  };
  const int count = sizeof sleepers / sizeof sleepers[0];
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &end, NULL);
  if (pipe(pipe_fds)) return 1;
  ready(argc, argv);
  for (int i = 0; i < count; i++)
    if (pthread_create(&sleepers[i].thread, NULL, worker, &sleepers[i])) return 1;
  int signal_number;
  sigwait(&end, &signal_number);
  uint64_t now = monotonic_ns();
  printf("{\"event\":\"result\",\"sleepers\":[");
  for (int i = 0; i < count; i++)
    printf("%s{\"name\":\"%s\",\"tid\":%d,\"asleepNs\":%llu}", i ? "," : "", sleepers[i].name, sleepers[i].tid,
           (unsigned long long)(now - sleepers[i].from_ns));
  printf("]}\n");
  fflush(stdout);
  _exit(0);
}
