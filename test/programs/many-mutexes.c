// Mutexes that are waited for once each, for a millisecond; then one that all threads want for half a second. Prints
// the address of that one, and how long it was waited for.
//
//   many-mutexes [--mutexes 200] [--hold]
#include <pthread.h>
#include <semaphore.h>

#include "program.h"

#define MOST 4096
#define THREADS 4

static pthread_mutex_t mutexes[MOST], hot = PTHREAD_MUTEX_INITIALIZER;
static uint64_t waited_ns[THREADS], until_ns, count;
static sem_t next;

static void sleep_ns(uint64_t ns) {
  struct timespec t = to_timespec(ns);
  nanosleep(&t, NULL);
}

NOINLINE static void wait_for(pthread_mutex_t* mutex) {
  pthread_mutex_lock(mutex);
  pthread_mutex_unlock(mutex);
}

static void* once_each(void* arg) {
  (void)arg;
  for (uint64_t i = 0; i < count; i++) {
    sem_wait(&next);
    wait_for(&mutexes[i]);
  }
  return NULL;
}

static void* fight(void* arg) {
  uint64_t* waited = arg;
  while (monotonic_ns() < until_ns) {
    uint64_t from = monotonic_ns();
    pthread_mutex_lock(&hot);
    *waited += monotonic_ns() - from;
    sleep_ns(500000);
    pthread_mutex_unlock(&hot);
    sleep_ns(100000);
  }
  return NULL;
}

int main(int argc, char** argv) {
  pthread_t thread, fighters[THREADS];
  uint64_t sum = 0;
  count = option(argc, argv, "--mutexes", 200);
  if (count > MOST) return 2;
  sem_init(&next, 0, 0);
  for (uint64_t i = 0; i < count; i++) pthread_mutex_init(&mutexes[i], NULL);
  ready(argc, argv);
  if (pthread_create(&thread, NULL, once_each, NULL)) return 1;
  for (uint64_t i = 0; i < count; i++) {
    pthread_mutex_lock(&mutexes[i]);
    sem_post(&next);
    sleep_ns(1000000);
    pthread_mutex_unlock(&mutexes[i]);
  }
  pthread_join(thread, NULL);
  until_ns = monotonic_ns() + 500 * NS_PER_MS;
  for (int i = 0; i < THREADS; i++)
    if (pthread_create(&fighters[i], NULL, fight, &waited_ns[i])) return 1;
  for (int i = 0; i < THREADS; i++) {
    pthread_join(fighters[i], NULL);
    sum += waited_ns[i];
  }
  printf("{\"event\":\"result\",\"hot\":%llu,\"hotWaitedNs\":%llu}\n", (unsigned long long)(uintptr_t)&hot,
         (unsigned long long)sum);
  return 0;
}
