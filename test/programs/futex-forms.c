// Every system call that waits for a futex, made directly: a prime number of waits of each that end by their timeout,
// and of one that is woken. What libraries make of them is in user-locks. Prints, for each form, address, number and
// time.
//
//   futex-forms [--ms 20] [--hold]
#include <linux/futex.h>
#include <pthread.h>
#include <sys/prctl.h>

#include "program.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef SYS_futex_wait
#define SYS_futex_wait 455
#endif
#define FUTEX_LOCK_PI2_COMMAND 13
#define FUTEX2_U32_PRIVATE (2 | 128)

struct waitv {
  uint64_t value;
  uint64_t address;
  uint32_t flags, reserved;
};

enum { WAIT, BITSET, BITSET_REALTIME, REQUEUE_PI, LOCK_PI, LOCK_PI2, WAITV, FUTEX2, WOKEN, FORMS };
static const char* const names[FORMS] = {"wait",    "wait_bitset", "wait_bitset realtime", "wait_requeue_pi",
                                         "lock_pi", "lock_pi2",    "futex_waitv",          "futex_wait",
                                         "woken"};
static const uint64_t counts[FORMS] = {7, 11, 5, 3, 13, 17, 19, 23, 29};
static uint32_t words[FORMS][16], requeue_to;
static uint64_t waits[FORMS], waited_ns[FORMS], length_ns;
static int missing[FORMS];

static long futex(uint32_t* word, int op, uint32_t value, const struct timespec* t, uint32_t* other, uint32_t bits) {
  return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, t, other, bits);
}

NOINLINE long wait_in(int form) {
  uint32_t* word = words[form];
  struct timespec in = to_timespec(length_ns), at = to_timespec(monotonic_ns() + length_ns);
  struct timespec wall = to_timespec(clock_ns(CLOCK_REALTIME) + length_ns);
  struct waitv one = {0, (uint64_t)(uintptr_t)word, FUTEX2_U32_PRIVATE, 0};

  switch (form) {
    case WAIT:
      return futex(word, FUTEX_WAIT, 0, &in, NULL, 0);
    case BITSET:
      return futex(word, FUTEX_WAIT_BITSET, 0, &at, NULL, FUTEX_BITSET_MATCH_ANY);
    case BITSET_REALTIME:
      return futex(word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &wall, NULL, FUTEX_BITSET_MATCH_ANY);
    case REQUEUE_PI:
      return futex(word, FUTEX_WAIT_REQUEUE_PI, 0, &at, &requeue_to, 0);
    case LOCK_PI:
      return futex(word, FUTEX_LOCK_PI, 0, &wall, NULL, 0);
    case LOCK_PI2:
      return futex(word, FUTEX_LOCK_PI2_COMMAND, 0, &at, NULL, 0);
    case WAITV:
      return syscall(SYS_futex_waitv, &one, 1, 0, &at, CLOCK_MONOTONIC);
    case FUTEX2:
      return syscall(SYS_futex_wait, word, 0, FUTEX_BITSET_MATCH_ANY, FUTEX2_U32_PRIVATE, &at, CLOCK_MONOTONIC);
    default:
      /* far away: it is woken long before */
      in = to_timespec(60 * NS_PER_S);
      return futex(word, FUTEX_WAIT, 0, &in, NULL, 0);
  }
}

static void* waiter(void* arg) {
  (void)arg;
  prctl(PR_SET_NAME, "waiter");
  for (int form = 0; form < FORMS; form++)
    for (uint64_t i = 0; i < counts[form] && !missing[form]; i++) {
      uint64_t slept = voluntary_switches(), from = monotonic_ns();
      long result = wait_in(form);
      uint64_t ns = monotonic_ns() - from;
      /* older kernels lack futex_wait */
      if (result < 0 && errno == ENOSYS) missing[form] = 1;
      /* where the machine stood still until the time was up nobody waited */
      if (voluntary_switches() == slept) continue;
      waits[form]++;
      waited_ns[form] += ns;
    }
  return NULL;
}

int main(int argc, char** argv) {
  length_ns = option(argc, argv, "--ms", 20) * NS_PER_MS;
  prctl(PR_SET_NAME, "holder");
  words[LOCK_PI][0] = words[LOCK_PI2][0] = (uint32_t)thread_id();
  ready(argc, argv);
  pthread_t thread;
  if (pthread_create(&thread, NULL, waiter, NULL)) return 1;
  for (uint64_t woken = 0; woken < counts[WOKEN];) {
    struct timespec t = to_timespec(length_ns);
    nanosleep(&t, NULL);
    woken += (uint64_t)futex(words[WOKEN], FUTEX_WAKE, 1, NULL, NULL, 0);
  }
  pthread_join(thread, NULL);
  printf("{\"event\":\"result\",\"holderTid\":%d,\"forms\":[", thread_id());
  for (int i = 0; i < FORMS; i++)
    printf("%s{\"name\":\"%s\",\"address\":%llu,\"count\":%llu,\"waitedNs\":%llu}", i ? "," : "", names[i],
           (unsigned long long)(uintptr_t)words[i], (unsigned long long)waits[i], (unsigned long long)waited_ns[i]);
  printf("]}\n");
  return 0;
}
