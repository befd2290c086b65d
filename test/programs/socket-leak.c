// Opens sockets, twenty each second, and closes of them what its mode says. 1: one in two. 2: a copy of each, not the
// socket. 3: all at once, with one call.
//
//   socket-leak [--mode 1] [--ms 10000] [--hold]
#include <sys/socket.h>

#include "loopback.h"
#include "program.h"

#define BATCH 10 /* in half a second */
#define CLOSE_RANGE 436

int main(int argc, char** argv) {
  uint64_t mode = option(argc, argv, "--mode", 1), ns = option(argc, argv, "--ms", 10000) * NS_PER_MS, opened = 0;

  ready(argc, argv);
  uint64_t until = monotonic_ns() + ns;
  while (monotonic_ns() < until) {
    int fd = -1, first = -1;
    for (int i = 0; i < BATCH; i++, opened++) {
      fd = socket(AF_INET, SOCK_STREAM, 0);
      must(fd >= 0, "socket");
      if (!i) first = fd;
      if (mode == 1 && i % 2) close(fd);
      if (mode == 2) close(dup(fd));
    }
    if (mode == 3) must(!syscall(CLOSE_RANGE, first, fd, 0), "close_range");
    struct timespec half = to_timespec(NS_PER_S / 2);
    nanosleep(&half, NULL);
  }
  printf("{\"event\":\"result\",\"opened\":%llu}\n", (unsigned long long)opened);
  return 0;
}
