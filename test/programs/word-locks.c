// Waits for locks that cannot be told by the private value 2 alone: a mutex that processes share, taken with a timeout;
// the read-write lock of Rust's standard library; beside them what looks alike and is no lock: a parked thread of Rust
// and the join of a thread. The read-write lock and the parked thread make the very system calls, with the very words,
// of library/std/src/sys/sync/rwlock/futex.rs and thread_parking/futex.rs (Rust 1.62 to 1.95; before 1.78 in
// sys/unix/locks), without their spinning. rust-locks.rs is the real one, where a compiler is at hand. Prints, for
// each, address, number and length of the waits.
//
//   word-locks [--ms 1000] [--hold]
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>

#include "program.h"

#define WRITE_LOCKED 0x3fffffffU
#define READERS_WAITING (1U << 30)
#define WRITERS_WAITING (1U << 31)
#define PARKED UINT32_MAX

enum { SHARED, STATE, NOTIFY, PARKER, JOIN, WORDS };
static const char* const names[WORDS] = {"shared mutex", "rwlock state", "rwlock writers", "parked", "join"};
static _Atomic uint64_t waits[WORDS], waited_ns[WORDS];
static pthread_mutex_t shared;
static struct { _Atomic uint32_t state, writer_notify; } rwlock;
static _Atomic uint32_t parker, over;

static void counted(int word, uint64_t slept, uint64_t from) {
  uint64_t ns = monotonic_ns() - from;
  /* who finds that another one was quicker sleeps again within the call */
  slept = voluntary_switches() - slept;
  if (!slept) return;
  waits[word] += slept;
  waited_ns[word] += ns;
}
static void futex_wait(int word, _Atomic uint32_t* at, uint32_t expected) {
  uint64_t slept = voluntary_switches(), from = monotonic_ns();
  syscall(SYS_futex, at, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, NULL, NULL, ~0U);
  counted(word, slept, from);
}
static long futex_wake(_Atomic uint32_t* at, int count) {
  return syscall(SYS_futex, at, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count);
}

static void wake_writer_or_readers(uint32_t state) {
  if (state == WRITERS_WAITING) {
    if (atomic_compare_exchange_strong(&rwlock.state, &state, 0)) {
      rwlock.writer_notify++;
      futex_wake(&rwlock.writer_notify, 1);
      return;
    }
  }
  if (state == (READERS_WAITING | WRITERS_WAITING)) {
    if (!atomic_compare_exchange_strong(&rwlock.state, &state, READERS_WAITING)) return;
    rwlock.writer_notify++;
    if (futex_wake(&rwlock.writer_notify, 1) > 0) return;
    state = READERS_WAITING;
  }
  if (state == READERS_WAITING && atomic_compare_exchange_strong(&rwlock.state, &state, 0))
    futex_wake(&rwlock.state, INT32_MAX);
}
NOINLINE void read_contended(void) {
  uint32_t state = rwlock.state;
  for (;;) {
    if ((state & WRITE_LOCKED) < WRITE_LOCKED - 1 && !(state & (READERS_WAITING | WRITERS_WAITING))) {
      if (atomic_compare_exchange_strong(&rwlock.state, &state, state + 1)) return;
      continue;
    }
    if (!(state & READERS_WAITING) && !atomic_compare_exchange_strong(&rwlock.state, &state, state | READERS_WAITING))
      continue;
    futex_wait(STATE, &rwlock.state, state | READERS_WAITING);
    state = rwlock.state;
  }
}
NOINLINE void write_contended(void) {
  uint32_t state = rwlock.state, others = 0;
  for (;;) {
    if (!(state & WRITE_LOCKED)) {
      if (atomic_compare_exchange_strong(&rwlock.state, &state, state | WRITE_LOCKED | others)) return;
      continue;
    }
    if (!(state & WRITERS_WAITING) && !atomic_compare_exchange_strong(&rwlock.state, &state, state | WRITERS_WAITING))
      continue;
    others = WRITERS_WAITING;
    uint32_t seen = rwlock.writer_notify;
    state = rwlock.state;
    if (!(state & WRITE_LOCKED) || !(state & WRITERS_WAITING)) continue;
    futex_wait(NOTIFY, &rwlock.writer_notify, seen);
    state = rwlock.state;
  }
}
static void read_unlock(void) {
  uint32_t state = atomic_fetch_sub(&rwlock.state, 1) - 1;
  if (!(state & WRITE_LOCKED) && state & WRITERS_WAITING) wake_writer_or_readers(state);
}
static void write_unlock(void) {
  uint32_t state = atomic_fetch_sub(&rwlock.state, WRITE_LOCKED) - WRITE_LOCKED;
  if (state & (READERS_WAITING | WRITERS_WAITING)) wake_writer_or_readers(state);
}

static void pause_ms(uint64_t ms) {
  struct timespec t = to_timespec(ms * NS_PER_MS);
  nanosleep(&t, NULL);
}
static void* writer(void* arg) {
  (void)arg;
  while (!over) {
    write_contended();
    pause_ms(3);
    write_unlock();
    pause_ms(2);
  }
  return NULL;
}
static void* reader(void* arg) {
  (void)arg;
  while (!over) {
    read_contended();
    pause_ms(1);
    read_unlock();
  }
  return NULL;
}
static void* sharer(void* arg) {
  (void)arg;
  while (!over) {
    struct timespec until = to_timespec(clock_ns(CLOCK_REALTIME) + 60 * NS_PER_S);
    uint64_t slept = voluntary_switches(), from = monotonic_ns();
    if (pthread_mutex_timedlock(&shared, &until)) abort();
    counted(SHARED, slept, from);
    pause_ms(3);
    pthread_mutex_unlock(&shared);
  }
  return NULL;
}
static void* parked(void* arg) {
  (void)arg;
  while (!over) {
    parker = PARKED;
    while (parker == PARKED) futex_wait(PARKER, &parker, PARKED);
  }
  return NULL;
}

int main(int argc, char** argv) {
  uint64_t ms = option(argc, argv, "--ms", 1000);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  if (pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) || pthread_mutex_init(&shared, &attributes))
    return 1;
  ready(argc, argv);
  void* (*const roles[])(void*) = {writer, writer, writer, reader, reader, sharer, sharer, sharer, parked};
  enum { THREADS = sizeof roles / sizeof *roles };
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    if (pthread_create(&threads[i], NULL, roles[i], NULL)) return 1;
  for (uint64_t i = 0; i < ms; i += 50) {
    pause_ms(50);
    parker = 1;
    futex_wake(&parker, 1);
  }
  over = 1;
  parker = 1;
  futex_wake(&parker, 1);
  for (int i = 0; i < THREADS; i++) {
    uint64_t slept = voluntary_switches(), from = monotonic_ns();
    pthread_join(threads[i], NULL);
    counted(JOIN, slept, from);
  }
  const void* const at[WORDS] = {&shared, &rwlock.state, &rwlock.writer_notify, &parker, NULL};
  printf("{\"event\":\"result\",\"words\":[");
  for (int i = 0; i < WORDS; i++)
    printf("%s{\"name\":\"%s\",\"address\":%llu,\"count\":%llu,\"waitedNs\":%llu}", i ? "," : "", names[i],
           (unsigned long long)(uintptr_t)at[i], (unsigned long long)waits[i], (unsigned long long)waited_ns[i]);
  printf("]}\n");
  return 0;
}
