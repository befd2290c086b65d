// Two callers of one kernel lock, whose waits are shorter than it takes to take a stack: while the main thread holds a
// pipe's mutex by writing, another asks how many bytes are in the pipe (one time in `every`, when the write is long) or
// how large it is (when the write is short). Prints what both calls took beyond what they take when nobody holds it.
//
//   lock-callers [--long 200000] [--short 15000] [--every 10] [--ms 2000] [--hold]      long, short: bytes of a write
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/ioctl.h>

#include "program.h"

#define PIPE_BYTES (1 << 20)
#define ALONE 20000

static int pipe_fds[2];
static atomic_ullong turn, done;
static atomic_bool seldom, over;
static uint64_t seldom_ns, often_ns, seldom_calls, often_calls;

NOINLINE void bytes_inside(void) {
  int bytes;
  uint64_t from = monotonic_ns();
  if (ioctl(pipe_fds[0], FIONREAD, &bytes)) abort();
  seldom_ns += monotonic_ns() - from;
  seldom_calls++;
}
NOINLINE void pipe_size(void) {
  uint64_t from = monotonic_ns();
  if (fcntl(pipe_fds[0], F_GETPIPE_SZ) <= 0) abort();
  often_ns += monotonic_ns() - from;
  often_calls++;
}
static void* ask(void* arg) {
  for (uint64_t mine = 1;; mine++) {
    while (atomic_load(&turn) < mine)
      if (atomic_load(&over)) return arg;
    for (volatile int i = 0; i < 400; i++) /* until the write has the mutex */
      ;
    if (atomic_load(&seldom))
      bytes_inside();
    else
      pipe_size();
    atomic_store(&done, mine);
  }
}
static unsigned long long beyond(uint64_t ns, uint64_t calls, double alone_ns) {
  double more = (double)ns - (double)calls * alone_ns;
  return more > 0 ? (unsigned long long)more : 0;
}

int main(int argc, char** argv) {
  static char bytes[PIPE_BYTES];
  uint64_t longer = option(argc, argv, "--long", 200000), shorter = option(argc, argv, "--short", 15000);
  uint64_t every = option(argc, argv, "--every", 10), ns = option(argc, argv, "--ms", 2000) * NS_PER_MS;
  must(longer <= PIPE_BYTES && shorter <= PIPE_BYTES && every, "bytes");
  must(!pipe(pipe_fds) && fcntl(pipe_fds[1], F_SETPIPE_SZ, PIPE_BYTES) > 0, "pipe");
  for (int i = 0; i < ALONE; i++) bytes_inside();
  for (int i = 0; i < ALONE; i++) pipe_size();
  double seldom_alone = (double)seldom_ns / ALONE, often_alone = (double)often_ns / ALONE;
  seldom_ns = often_ns = seldom_calls = often_calls = 0;
  ready(argc, argv);
  pthread_t thread;
  must(!pthread_create(&thread, NULL, ask, NULL), "thread");
  uint64_t until = monotonic_ns() + ns;
  for (uint64_t i = 1; monotonic_ns() < until; i++) {
    size_t length = i % every ? shorter : longer;
    atomic_store(&seldom, !(i % every));
    atomic_store(&turn, i);
    must(write(pipe_fds[1], bytes, length) == (ssize_t)length, "write");
    while (atomic_load(&done) < i)
      ;
    for (size_t left = length; left;) left -= (size_t)read(pipe_fds[0], bytes, left);
  }
  atomic_store(&over, true);
  pthread_join(thread, NULL);
  printf("{\"event\":\"result\",\"seldomNs\":%llu,\"seldomCalls\":%llu,\"oftenNs\":%llu,\"oftenCalls\":%llu}\n",
         beyond(seldom_ns, seldom_calls, seldom_alone), (unsigned long long)seldom_calls,
         beyond(often_ns, often_calls, often_alone), (unsigned long long)often_calls);
}
