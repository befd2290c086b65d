// Calls wrappers of the C library, compiled without frame pointers, each from one function of its own that another one
// called: where frame pointers alone are followed, the function that calls the wrapper is left out. Ends on SIGTERM.
//
//   direct-callers [--hold]
//
//   want_a_lock > take_the_mutex             a mutex that another thread holds for 150 ms at a time
//   fill_a_pipe > write_to_the_pipe          a pipe's kernel mutex, fought for by four threads
//   want_an_answer > receive_the_answer      one that comes after 200 ms
//   try_to_read > read_in_vain               EAGAIN, as often as 1 ms of sleep after 64 of them allows
//   sleep_for_ever > read_the_silent_pipe    a read that never returns
//   wait_for_ever > receive_nothing          a call on a socket that never returns
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "program.h"

/* what follows a call keeps it from being a jump */
#define AFTER(value) __asm__ volatile("" : : "r"(value) : "memory")

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int full_pipe[2], silent_pipe[2], slow_pair[2], empty_pair[2], silent_pair[2];

static void sleep_ms(uint64_t ms) {
  struct timespec t = to_timespec(ms * NS_PER_MS);
  nanosleep(&t, NULL);
}

NOINLINE void take_the_mutex(void) {
  int taken = pthread_mutex_lock(&mutex);
  AFTER(taken);
}
NOINLINE void want_a_lock(void) {
  take_the_mutex();
  pthread_mutex_unlock(&mutex);
  sleep_ms(1);
}
NOINLINE void hold_the_mutex(void) {
  pthread_mutex_lock(&mutex);
  sleep_ms(150); /* findings begin at 100 */
  pthread_mutex_unlock(&mutex);
  sleep_ms(20);
}

NOINLINE long write_to_the_pipe(void) {
  static char bytes[4096];
  long wrote = write(full_pipe[1], bytes, sizeof bytes);
  AFTER(wrote);
  return wrote;
}
NOINLINE void fill_a_pipe(void) {
  for (int i = 0; i < 200; i++)
    if (write_to_the_pipe() < 0) abort();
  sleep_ms(2);
}
NOINLINE void empty_the_pipe(void) {
  static char bytes[65536];
  if (read(full_pipe[0], bytes, sizeof bytes) < 0) abort();
}

NOINLINE long receive_the_answer(void) {
  char c = 0;
  if (send(slow_pair[0], &c, 1, 0) != 1) abort();
  long got = recv(slow_pair[0], &c, 1, 0);
  AFTER(got);
  return got;
}
NOINLINE void want_an_answer(void) {
  long got = receive_the_answer();
  AFTER(got);
}
NOINLINE void answer_late(void) {
  char c;
  if (recv(slow_pair[1], &c, 1, 0) != 1) abort();
  sleep_ms(200);
  if (send(slow_pair[1], &c, 1, 0) != 1) abort();
}

NOINLINE long read_in_vain(void) {
  char c;
  long got = recv(empty_pair[0], &c, 1, MSG_DONTWAIT);
  AFTER(got);
  return got;
}
NOINLINE void try_to_read(void) {
  for (int i = 0; i < 64; i++)
    if (read_in_vain() >= 0) abort();
  sleep_ms(1);
}

NOINLINE long read_the_silent_pipe(void) {
  char c;
  long got = read(silent_pipe[0], &c, 1);
  AFTER(got);
  return got;
}
NOINLINE void sleep_for_ever(void) {
  long got = read_the_silent_pipe();
  AFTER(got);
}

NOINLINE long receive_nothing(void) {
  char c;
  long got = recv(silent_pair[0], &c, 1, 0);
  AFTER(got);
  return got;
}
NOINLINE void wait_for_ever(void) {
  long got = receive_nothing();
  AFTER(got);
}

struct work {
  const char* name;
  void (*once)(void);
};

static void* worker(void* arg) {
  const struct work* w = arg;
  prctl(PR_SET_NAME, w->name);
  for (;;) w->once();
  return NULL;
}

int main(int argc, char** argv) {
  static const struct work works[] = {
      {"lock-holder", hold_the_mutex}, {"lock-waiter", want_a_lock},      {"pipe-writer", fill_a_pipe},
      {"pipe-writer", fill_a_pipe},    {"pipe-writer", fill_a_pipe},      {"pipe-writer", fill_a_pipe},
      {"pipe-reader", empty_the_pipe}, {"slow-asker", want_an_answer},    {"slow-server", answer_late},
      {"spinner", try_to_read},        {"silent-reader", sleep_for_ever}, {"silent-receiver", wait_for_ever},
  };
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &end, NULL);
  if (pipe(full_pipe) || pipe(silent_pipe) || socketpair(AF_UNIX, SOCK_STREAM, 0, slow_pair) ||
      socketpair(AF_UNIX, SOCK_STREAM, 0, empty_pair) || socketpair(AF_UNIX, SOCK_STREAM, 0, silent_pair))
    return 1;
  for (unsigned i = 0; i < sizeof works / sizeof works[0]; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, worker, (void*)&works[i])) return 1;
  }
  ready(argc, argv);
  int signal_number;
  sigwait(&end, &signal_number);
  printf("{\"event\":\"result\"}\n");
  fflush(stdout);
  _exit(0);
}
