// Waits for user locks whose number (a prime) and length are known: one thread holds, another waits, turn by turn, for
//   a mutex, a read-write lock, a semaphore, a priority-inheritance mutex, a condition variable, and a timed wait that
//   runs into its timeout. Prints, for each, address, number and length of the waits, and the holder's thread.
//
//   user-locks [--ms 20] [--rounds 1] [--hold]
#include <pthread.h>
#include <semaphore.h>
#include <sys/prctl.h>

#include "program.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, pi_mutex, condition_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore, turn, begun, done, never;
static int ready_flag, holder_tid, waiter_tid;
static uint64_t length_ns, waited_ns[6], waited_times[6];

static void hold(void) {
  sem_post(&turn);
  sem_wait(&begun); /* the waiter is about to wait */
  struct timespec t = to_timespec(length_ns);
  nanosleep(&t, NULL);
}
static void waiter_is_done(void) {
  sem_wait(&done);
}

#define COUNT_MUTEX 13
#define COUNT_RWLOCK 11
#define COUNT_SEMAPHORE 7
#define COUNT_PI 17
#define COUNT_CONDITION 19
#define COUNT_TIMEOUT 5

NOINLINE void hold_all(uint64_t rounds) {
  for (uint64_t i = 0; i < COUNT_MUTEX * rounds; i++) {
    pthread_mutex_lock(&mutex);
    hold();
    pthread_mutex_unlock(&mutex);
    waiter_is_done();
  }
  for (uint64_t i = 0; i < COUNT_RWLOCK * rounds; i++) {
    pthread_rwlock_wrlock(&rwlock);
    hold();
    pthread_rwlock_unlock(&rwlock);
    waiter_is_done();
  }
  for (uint64_t i = 0; i < COUNT_SEMAPHORE * rounds; i++) {
    hold();
    sem_post(&semaphore);
    waiter_is_done();
  }
  for (uint64_t i = 0; i < COUNT_PI * rounds; i++) {
    pthread_mutex_lock(&pi_mutex);
    hold();
    pthread_mutex_unlock(&pi_mutex);
    waiter_is_done();
  }
  for (uint64_t i = 0; i < COUNT_CONDITION * rounds; i++) {
    hold();
    pthread_mutex_lock(&condition_mutex);
    ready_flag = 1;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&condition_mutex);
    waiter_is_done();
  }
}

/* Waits for a turn on another futex than the one that is measured: its own waits are on `turn`. */
static void my_turn(void) {
  sem_wait(&turn);
  sem_post(&begun);
}
NOINLINE void wait_mutex(void) {
  pthread_mutex_lock(&mutex);
  pthread_mutex_unlock(&mutex);
}
NOINLINE void wait_rwlock(void) {
  pthread_rwlock_rdlock(&rwlock);
  pthread_rwlock_unlock(&rwlock);
}
NOINLINE void wait_semaphore(void) {
  sem_wait(&semaphore);
}
NOINLINE void wait_pi(void) {
  pthread_mutex_lock(&pi_mutex);
  pthread_mutex_unlock(&pi_mutex);
}
NOINLINE void wait_condition(void) {
  pthread_mutex_lock(&condition_mutex);
  while (!ready_flag) pthread_cond_wait(&condition, &condition_mutex);
  ready_flag = 0;
  pthread_mutex_unlock(&condition_mutex);
}
NOINLINE void wait_timeout(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  uint64_t until = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec + length_ns;
  t = to_timespec(until);
  if (!sem_timedwait(&never, &t)) abort();
}

static void* waiter(void* arg) {
  uint64_t rounds = *(uint64_t*)arg;
  void (*const waits[])(void) = {wait_mutex, wait_rwlock, wait_semaphore, wait_pi, wait_condition};
  const uint64_t counts[] = {COUNT_MUTEX, COUNT_RWLOCK, COUNT_SEMAPHORE, COUNT_PI, COUNT_CONDITION};
  prctl(PR_SET_NAME, "waiter");
  waiter_tid = thread_id();
  for (int w = 0; w < 5; w++)
    for (uint64_t i = 0; i < counts[w] * rounds; i++) {
      my_turn();
      uint64_t slept = voluntary_switches(), from = monotonic_ns();
      waits[w]();
      uint64_t ns = monotonic_ns() - from;
      /* where the machine stood still until the lock was free nobody waited */
      if (voluntary_switches() != slept) waited_times[w]++, waited_ns[w] += ns;
      sem_post(&done);
    }
  for (uint64_t i = 0; i < COUNT_TIMEOUT * rounds; i++) {
    uint64_t slept = voluntary_switches(), from = monotonic_ns();
    wait_timeout();
    uint64_t ns = monotonic_ns() - from;
    if (voluntary_switches() != slept) waited_times[5]++, waited_ns[5] += ns;
  }
  return NULL;
}

int main(int argc, char** argv) {
  length_ns = option(argc, argv, "--ms", 20) * NS_PER_MS;
  uint64_t rounds = option(argc, argv, "--rounds", 1);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  if (pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) || pthread_mutex_init(&pi_mutex, &attributes))
    return 1;
  sem_init(&semaphore, 0, 0);
  sem_init(&turn, 0, 0);
  sem_init(&begun, 0, 0);
  sem_init(&done, 0, 0);
  sem_init(&never, 0, 0);
  prctl(PR_SET_NAME, "holder");
  holder_tid = thread_id();
  ready(argc, argv);
  pthread_t thread;
  if (pthread_create(&thread, NULL, waiter, &rounds)) return 1;
  hold_all(rounds);
  pthread_join(thread, NULL);
  const struct {
    const char* name;
    const void* address;
    uint64_t count;
  } locks[] = {{"mutex", &mutex, COUNT_MUTEX},
               {"rwlock", &rwlock, COUNT_RWLOCK},
               {"semaphore", &semaphore, COUNT_SEMAPHORE},
               {"pi", &pi_mutex, COUNT_PI},
               {"condition", &condition, COUNT_CONDITION},
               {"timeout", &never, COUNT_TIMEOUT}};
  printf("{\"event\":\"result\",\"holderTid\":%d,\"waiterTid\":%d,\"locks\":[", holder_tid, waiter_tid);
  for (int i = 0; i < 6; i++)
    printf("%s{\"name\":\"%s\",\"address\":%llu,\"count\":%llu,\"waitedNs\":%llu}", i ? "," : "", locks[i].name,
           (unsigned long long)(uintptr_t)locks[i].address, (unsigned long long)waited_times[i],
           (unsigned long long)waited_ns[i]);
  printf("]}\n");
  return 0;
}
