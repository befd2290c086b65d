// What every test program shares: its clocks, its options, and the two JSON lines that it speaks.
//
// Protocol: one line {"event":"ready","pid":N,...} once everything is set up; with --hold the program then waits for
// one line on standard input, so that a test can start its recording first; at the end one line
// {"event":"result",...} with what the program itself counted. All times are nanoseconds.
#ifndef LOWFLAME_TEST_PROGRAM_H
#define LOWFLAME_TEST_PROGRAM_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL

static inline uint64_t clock_ns(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t)) {
    perror("clock_gettime");
    exit(1);
  }
  return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}
static inline uint64_t monotonic_ns(void) {
  return clock_ns(CLOCK_MONOTONIC);
}
static inline uint64_t thread_cpu_ns(void) {
  return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}
static inline int thread_id(void) {
  return (int)syscall(SYS_gettid);
}

/* How often the calling thread has gone to sleep: a wait that was over before it could is none. */
static inline uint64_t voluntary_switches(void) {
  struct rusage usage;
  if (getrusage(RUSAGE_THREAD, &usage)) abort();
  return (uint64_t)usage.ru_nvcsw;
}

static inline struct timespec to_timespec(uint64_t ns) {
  struct timespec t = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
  return t;
}

// Value of "--name N", or the default. A value that is not a number ends the program: a test must not run by mistake
// with another number than it asked for.
static inline uint64_t option(int argc, char** argv, const char* name, uint64_t otherwise) {
  for (int i = 1; i + 1 < argc; i++) {
    if (strcmp(argv[i], name)) continue;
    char* end;
    errno = 0;
    unsigned long long v = strtoull(argv[i + 1], &end, 10);
    if (errno || *end || end == argv[i + 1]) {
      fprintf(stderr, "%s wants a whole number, not \"%s\"\n", name, argv[i + 1]);
      exit(2);
    }
    return v;
  }
  return otherwise;
}

static inline int flag(int argc, char** argv, const char* name) {
  for (int i = 1; i < argc; i++)
    if (!strcmp(argv[i], name)) return 1;
  return 0;
}

// A line on standard input. End of input means that the test is gone.
static inline void wait_for_line(void) {
  int c;
  do c = getchar();
  while (c != '\n' && c != EOF);
  if (c == EOF) exit(3);
}

static inline void must(int holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

// Says "ready"; with --hold, goes on only after a line on standard input.
static inline void ready(int argc, char** argv) {
  printf("{\"event\":\"ready\",\"pid\":%d,\"monotonicNs\":%llu}\n", getpid(), (unsigned long long)monotonic_ns());
  fflush(stdout);
  if (flag(argc, argv, "--hold")) wait_for_line();
}

// Next number of a fixed pseudo-random row (xorshift64): the programs vary their slices so that nothing they do keeps
// step with a profiler's timer, and still do the same thing in each run.
static inline uint64_t next_random(uint64_t* state) {
  uint64_t x = *state;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return *state = x;
}

// Busy work of about 50 us between two looks at a clock: a look is a system call, and must stay far below 1 % of the
// time. Inlined into the named function, so that the time is the function's own.
static inline __attribute__((always_inline)) uint64_t busy_work(uint64_t seed) {
  for (int i = 0; i < 40000; i++) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    __asm__ volatile("" : "+r"(seed));
  }
  return seed;
}

#endif
