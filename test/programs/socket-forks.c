// Processes one after the other, each of which makes a pair of sockets, sends a byte from one to the other, and closes
// both.
//
//   socket-forks [--processes 1200] [--pause-us 2500] [--hold]
#include <sys/socket.h>
#include <sys/wait.h>

#include "program.h"

static int use_a_pair(void) {
  int pair[2];
  char c;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return 1;
  if (send(pair[0], "x", 1, 0) != 1 || recv(pair[1], &c, 1, 0) != 1) return 1;
  return close(pair[0]) || close(pair[1]);
}

int main(int argc, char** argv) {
  uint64_t processes = option(argc, argv, "--processes", 1200), pause_us = option(argc, argv, "--pause-us", 2500);
  struct timespec pause = to_timespec(pause_us * 1000);

  ready(argc, argv);
  for (uint64_t i = 0; i < processes; i++) {
    int status;
    pid_t child = fork();
    if (!child) _exit(use_a_pair());
    if (child < 0 || waitpid(child, &status, 0) != child || status) return 1;
    nanosleep(&pause, NULL);
  }
  printf("{\"event\":\"result\",\"processes\":%llu}\n", (unsigned long long)processes);
  return 0;
}
