// A convoy at a user lock: one thread holds a mutex while it sleeps (or computes), all others wait for it; again and
// again. Prints how many waits there were, how long they were together, and who held the lock.
//
//   lock-convoy [--waiters 7] [--holds 3] [--ms 200] [--compute] [--rwlock] [--hold]
//                           --holds 1 --ms 60000 = still held when a test ends; --rwlock: half of them want to read
#include <pthread.h>
#include <semaphore.h>
#include <sys/prctl.h>

#include "program.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static uint64_t waiters, holds, waited_ns;
static int is_rwlock;
static sem_t go, done;

NOINLINE void wait_for_the_mutex(void) {
  uint64_t from = monotonic_ns();
  pthread_mutex_lock(&mutex);
  waited_ns += monotonic_ns() - from;
  pthread_mutex_unlock(&mutex);
}

NOINLINE void wait_for_the_rwlock(int reads) {
  if (reads)
    pthread_rwlock_rdlock(&rwlock);
  else
    pthread_rwlock_wrlock(&rwlock);
  pthread_rwlock_unlock(&rwlock);
}

static void* waiter(void* arg) {
  prctl(PR_SET_NAME, "waiter");
  for (uint64_t i = 0; i < holds; i++) {
    sem_wait(&go);
    if (is_rwlock)
      wait_for_the_rwlock(arg != NULL);
    else
      wait_for_the_mutex();
    sem_post(&done);
  }
  return NULL;
}

NOINLINE void sleep_with_the_mutex(uint64_t ns) {
  struct timespec t = to_timespec(ns);
  nanosleep(&t, NULL);
}

NOINLINE void compute_with_the_mutex(uint64_t ns) {
  uint64_t seed = 1;
  for (uint64_t until = thread_cpu_ns() + ns; thread_cpu_ns() < until;) seed = busy_work(seed);
}

int main(int argc, char** argv) {
  waiters = option(argc, argv, "--waiters", 7);
  holds = option(argc, argv, "--holds", 3);
  uint64_t length_ns = option(argc, argv, "--ms", 200) * NS_PER_MS, held_ns = 0;
  int compute = flag(argc, argv, "--compute");
  is_rwlock = flag(argc, argv, "--rwlock");
  sem_init(&go, 0, 0);
  sem_init(&done, 0, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  for (uint64_t i = 0; i < waiters; i++) {
    pthread_t thread;
    int error = pthread_create(&thread, &attributes, waiter, i % 2 ? &thread : NULL);
    if (error) {
      fprintf(stderr, "thread %llu: %s\n", (unsigned long long)i, strerror(error));
      return 1;
    }
  }
  prctl(PR_SET_NAME, "holder");
  ready(argc, argv);
  for (uint64_t i = 0; i < holds; i++) {
    if (is_rwlock)
      pthread_rwlock_wrlock(&rwlock);
    else
      pthread_mutex_lock(&mutex);
    uint64_t from = monotonic_ns();
    for (uint64_t w = 0; w < waiters; w++) sem_post(&go);
    if (compute)
      compute_with_the_mutex(length_ns);
    else
      sleep_with_the_mutex(length_ns);
    held_ns += monotonic_ns() - from;
    if (is_rwlock)
      pthread_rwlock_unlock(&rwlock);
    else
      pthread_mutex_unlock(&mutex);
    for (uint64_t w = 0; w < waiters; w++) sem_wait(&done);
  }
  printf("{\"event\":\"result\",\"waits\":%llu,\"waitedNs\":%llu,\"heldNs\":%llu,\"holderTid\":%d,\"address\":%llu}\n",
         (unsigned long long)(waiters * holds), (unsigned long long)waited_ns, (unsigned long long)held_ns, thread_id(),
         (unsigned long long)(is_rwlock ? (uintptr_t)&rwlock : (uintptr_t)&mutex));
  return 0;
}
