// Connections that do not block and are never answered (the test drops the requests): some begun before it says that it
// is ready, some after the line; some of these are given up after 1.2 s.
//
//   silent-connects --port N [--before 3] [--after 7] [--given-up 2] [--ms 10000] [--hold]
#include <sys/socket.h>

#include "loopback.h"
#include "program.h"

#define MOST 64

static int begin(int port) {
  struct sockaddr_in a = v4(port);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  must(fd >= 0, "socket");
  must(connect(fd, (struct sockaddr*)&a, sizeof(a)) && errno == EINPROGRESS, "connect");
  return fd;
}

static void pause_ns(uint64_t ns) {
  struct timespec t = to_timespec(ns);
  nanosleep(&t, NULL);
}

int main(int argc, char** argv) {
  int port = (int)option(argc, argv, "--port", 0), fd[MOST];
  uint64_t before = option(argc, argv, "--before", 3), after = option(argc, argv, "--after", 7),
           given_up = option(argc, argv, "--given-up", 2), ns = option(argc, argv, "--ms", 10000) * NS_PER_MS;

  must(port && given_up <= MOST, "--port");
  for (uint64_t i = 0; i < before; i++) begin(port);
  pause_ns(1200 * NS_PER_MS);
  ready(argc, argv);
  uint64_t until = monotonic_ns() + ns;
  for (uint64_t i = 0; i < after; i++) begin(port);
  for (uint64_t i = 0; i < given_up; i++) fd[i] = begin(port);
  pause_ns(1200 * NS_PER_MS);
  for (uint64_t i = 0; i < given_up; i++) close(fd[i]);
  while (monotonic_ns() < until) pause_ns(10 * NS_PER_MS);
  printf("{\"event\":\"result\"}\n");
  return 0;
}
