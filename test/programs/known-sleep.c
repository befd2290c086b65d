// Sleeps a prime number of times for known lengths, by several calls, one thread each; also uninterruptibly (the parent
// of a vfork waits in D state until the child is gone) and stopped (a child process that stops itself and is continued
// from outside). Prints, for each, how often and how long it slept by its own clock, and the switches the kernel
// counted.
//
//   known-sleep [--rounds 1] [--hold]                a round takes about 2.5 s
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "program.h"

struct sleeper {
  const char* name;   // also the thread's comm
  const char* state;  // state that the scheduler shows, as lowflame names it
  const char* function;
  uint64_t length_ns, count;
  void (*sleep)(struct sleeper*);
  uint64_t measured_ns, min_ns, max_ns, switches;
  int tid, pid;
  int pipe_read, pipe_write;
};

NOINLINE void sleep_in_nanosleep(struct sleeper* s) {
  struct timespec t = to_timespec(s->length_ns);
  nanosleep(&t, NULL);
}
NOINLINE void sleep_in_poll(struct sleeper* s) {
  poll(NULL, 0, (int)(s->length_ns / NS_PER_MS));
}
NOINLINE void sleep_in_futex(struct sleeper* s) {
  static _Thread_local int word;
  struct timespec t = to_timespec(s->length_ns);
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0);
}
NOINLINE void sleep_in_pipe_read(struct sleeper* s) {
  char c;
  if (read(s->pipe_read, &c, 1) != 1) abort();
}
// The waiting parent is in D state: it must not run while the child borrows its memory.
NOINLINE void sleep_in_vfork(struct sleeper* s) {
  struct timespec t = to_timespec(s->length_ns);
  pid_t child = vfork();
  if (child == 0) {
    syscall(SYS_nanosleep, &t, NULL);
    _exit(0);
  }
  // Reaped by raw call at once: a zombie does not make waitpid sleep, so the only wait is vfork's own.
  if (child < 0 || waitpid(child, NULL, 0) != child) abort();
}
NOINLINE void sleep_stopped(struct sleeper* s) {
  (void)s;
  raise(SIGSTOP);
}

static void measure(struct sleeper* s) {
  s->tid = thread_id();
  s->pid = getpid();
  s->min_ns = UINT64_MAX;
  struct rusage before, after;
  getrusage(RUSAGE_THREAD, &before);
  for (uint64_t i = 0; i < s->count; i++) {
    uint64_t from = monotonic_ns();
    s->sleep(s);
    uint64_t took = monotonic_ns() - from;
    s->measured_ns += took;
    if (took < s->min_ns) s->min_ns = took;
    if (took > s->max_ns) s->max_ns = took;
  }
  getrusage(RUSAGE_THREAD, &after);
  s->switches = (uint64_t)(after.ru_nvcsw - before.ru_nvcsw);
}

static void* worker(void* arg) {
  struct sleeper* s = arg;
  prctl(PR_SET_NAME, s->name);
  measure(s);
  return NULL;
}

// Wakes the pipe's reader each `length_ns`; its own sleeps are counted in nanosleep under its own name.
NOINLINE void sleep_then_write(struct sleeper* s) {
  sleep_in_nanosleep(s);
  if (write(s->pipe_write, "x", 1) != 1) abort();
}

// The stopped one is a process of its own: SIGSTOP stops all threads of a process.
static void run_stopped(struct sleeper* shared) {
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, shared->name);
    measure(shared);
    _exit(0);
  }
  struct timespec t = to_timespec(shared->length_ns);
  int status;
  while (waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status)) {
    nanosleep(&t, NULL);
    kill(child, SIGCONT);
  }
}
static void* stop_worker(void* arg) {
  prctl(PR_SET_NAME, "sleep-stopper");
  run_stopped(arg);
  return NULL;
}

static void print(const struct sleeper* s, int first) {
  printf(
      "%s{\"name\":\"%s\",\"function\":\"%s\",\"state\":\"%s\",\"pid\":%d,\"tid\":%d,\"count\":%llu,"
      "\"lengthNs\":%llu,\"measuredNs\":%llu,\"minNs\":%llu,\"maxNs\":%llu,\"voluntarySwitches\":%llu}",
      first ? "" : ",", s->name, s->function, s->state, s->pid, s->tid, (unsigned long long)s->count,
      (unsigned long long)s->length_ns, (unsigned long long)s->measured_ns, (unsigned long long)s->min_ns,
      (unsigned long long)s->max_ns, (unsigned long long)s->switches);
}

int main(int argc, char** argv) {
  uint64_t rounds = option(argc, argv, "--rounds", 1);
  int fds[2];
  if (pipe(fds)) return 1;
#define SLEEPER(n, st, fn, ns, times)                                                                           \
  {                                                                                                             \
    .name = n, .state = st, .function = #fn, .length_ns = ns, .count = times, .sleep = fn, .pipe_read = fds[0], \
    .pipe_write = fds[1]                                                                                        \
  }
  struct sleeper plain[] = {
      SLEEPER("sleep-short", "interruptible", sleep_in_nanosleep, 200000, 1009 * rounds),
      SLEEPER("sleep-medium", "interruptible", sleep_in_nanosleep, 5 * NS_PER_MS, 101 * rounds),
      SLEEPER("sleep-long", "interruptible", sleep_in_nanosleep, 300 * NS_PER_MS, 7 * rounds),
      SLEEPER("sleep-poll", "interruptible", sleep_in_poll, 20 * NS_PER_MS, 53 * rounds),
      SLEEPER("sleep-futex", "interruptible", sleep_in_futex, 10 * NS_PER_MS, 61 * rounds),
      SLEEPER("sleep-pipe", "interruptible", sleep_in_pipe_read, 15 * NS_PER_MS, 41 * rounds),
      SLEEPER("sleep-writer", "interruptible", sleep_then_write, 15 * NS_PER_MS, 41 * rounds),
      SLEEPER("sleep-vfork", "uninterruptible", sleep_in_vfork, 50 * NS_PER_MS, 11 * rounds),
  };
  const int plain_count = sizeof plain / sizeof plain[0];
  struct sleeper stopped_template = SLEEPER("sleep-stopped", "stopped", sleep_stopped, 30 * NS_PER_MS, 13 * rounds);
  struct sleeper* stopped = mmap(NULL, sizeof *stopped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (stopped == MAP_FAILED) return 1;
  *stopped = stopped_template;

  ready(argc, argv);
  uint64_t from = monotonic_ns();
  pthread_t threads[sizeof plain / sizeof plain[0]], stopper;
  if (pthread_create(&stopper, NULL, stop_worker, stopped)) return 1;
  for (int i = 0; i < plain_count; i++)
    if (pthread_create(&threads[i], NULL, worker, &plain[i])) return 1;
  for (int i = 0; i < plain_count; i++) pthread_join(threads[i], NULL);
  pthread_join(stopper, NULL);

  printf("{\"event\":\"result\",\"wallNs\":%llu,\"sleepers\":[", (unsigned long long)(monotonic_ns() - from));
  for (int i = 0; i < plain_count; i++) print(&plain[i], i == 0);
  print(stopped, 0);
  printf("]}\n");
  return 0;
}
