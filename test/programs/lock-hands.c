// A mutex that goes from hand to hand while others wait for it. Each round the quick thread holds it for 5 ms and lets
// go; the slow one, first in the queue, then has it for --ms and sleeps (or computes), while the others have waited all
// the time. With --line every thread takes it again at once, so that all stand in one line behind a slow one.
//
//   lock-hands [--waiters 4] [--rounds 6] [--ms 200] [--compute] [--pi] [--line] [--hold]
#include <pthread.h>
#include <sys/prctl.h>

#include "program.h"

static pthread_mutex_t mutex;
static pthread_barrier_t barrier;
static uint64_t waiters, rounds, slow_ns;
static int compute, line, slow_tid, quick_tid;

static void nap(uint64_t ns) {
  struct timespec t = to_timespec(ns);
  nanosleep(&t, NULL);
}

NOINLINE void compute_with_the_mutex(uint64_t ns) {
  uint64_t seed = 1;
  for (uint64_t until = thread_cpu_ns() + ns; thread_cpu_ns() < until;) seed = busy_work(seed);
}

static void use_the_mutex(uint64_t ns) {
  if (compute)
    compute_with_the_mutex(ns);
  else
    nap(ns);
}

static void* quick(void* arg) {
  (void)arg;
  prctl(PR_SET_NAME, "quick");
  quick_tid = thread_id();
  for (uint64_t i = 0; i < rounds; i++) {
    pthread_mutex_lock(&mutex);
    pthread_barrier_wait(&barrier);
    nap(5 * NS_PER_MS);
    pthread_mutex_unlock(&mutex);
    pthread_barrier_wait(&barrier);
  }
  return NULL;
}

static void* slow(void* arg) {
  (void)arg;
  prctl(PR_SET_NAME, "slow");
  slow_tid = thread_id();
  for (uint64_t i = 0; i < rounds; i++) {
    if (!line) pthread_barrier_wait(&barrier);
    if (!line) nap(NS_PER_MS);
    pthread_mutex_lock(&mutex);
    use_the_mutex(slow_ns);
    pthread_mutex_unlock(&mutex);
    if (!line) pthread_barrier_wait(&barrier);
  }
  return NULL;
}

static void* other(void* arg) {
  (void)arg;
  prctl(PR_SET_NAME, "other");
  for (uint64_t i = 0; i < rounds; i++) {
    if (!line) pthread_barrier_wait(&barrier);
    if (!line) nap(2 * NS_PER_MS);
    pthread_mutex_lock(&mutex);
    if (line) compute_with_the_mutex(NS_PER_MS);
    pthread_mutex_unlock(&mutex);
    if (!line) pthread_barrier_wait(&barrier);
  }
  return NULL;
}

static pthread_t start(void* (*body)(void*)) {
  pthread_t thread;
  int error = pthread_create(&thread, NULL, body, NULL);
  if (!error) return thread;
  fprintf(stderr, "pthread_create: %s\n", strerror(error));
  exit(1);
}

int main(int argc, char** argv) {
  waiters = option(argc, argv, "--waiters", 4);
  rounds = option(argc, argv, "--rounds", 6);
  slow_ns = option(argc, argv, "--ms", 200) * NS_PER_MS;
  compute = flag(argc, argv, "--compute");
  line = flag(argc, argv, "--line");
  if (waiters > 64) return 2;
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  if (flag(argc, argv, "--pi")) pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  pthread_mutex_init(&mutex, &attributes);
  pthread_barrier_init(&barrier, NULL, (unsigned)waiters + 2);
  ready(argc, argv);
  pthread_t threads[66];
  uint64_t count = 0;
  threads[count++] = start(slow);
  if (!line) threads[count++] = start(quick);
  for (uint64_t i = 0; i < waiters; i++) threads[count++] = start(other);
  for (uint64_t i = 0; i < count; i++) pthread_join(threads[i], NULL);
  printf("{\"event\":\"result\",\"slowTid\":%d,\"quickTid\":%d,\"address\":%llu}\n", slow_tid, quick_tid,
         (unsigned long long)(uintptr_t)&mutex);
  return 0;
}
