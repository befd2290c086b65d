// Calls that wait until a peer takes what was sent, which it never does, and whose first argument does not tell on
// what: a splice from a pipe, and a close that lingers. The splice begins before the program says that it is ready, the
// closes after the line: --closes of one second each, then one that does not return.
//
//   stuck-sends [--closes 3] [--hold]          prints the ports of the splice and of the closes
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>

#include "loopback.h"
#include "program.h"

static int listener(int* port) {
  struct sockaddr_in a = v4(0);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  must(fd >= 0 && !bind(fd, (struct sockaddr*)&a, sizeof(a)) && !listen(fd, 16), "listen");
  *port = port_of(fd);
  return fd;
}

/* A connection in which there is no room to send: nobody reads at the other end. */
static int full(int port) {
  struct sockaddr_in a = v4(port);
  static char block[65536];
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  must(fd >= 0 && !connect(fd, (struct sockaddr*)&a, sizeof(a)), "connect");
  while (send(fd, block, sizeof(block), MSG_DONTWAIT) > 0) {
  }
  return fd;
}

static void* splices(void* to) {
  int pipe_fds[2];
  must(!pipe(pipe_fds) && write(pipe_fds[1], "stuck", 5) == 5, "pipe");
  must(splice(pipe_fds[0], NULL, *(int*)to, NULL, 5, 0) >= 0, "splice");
  return NULL;
}

static void close_after(int fd, int seconds) {
  struct linger l = {.l_onoff = 1, .l_linger = seconds};
  must(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)) && !close(fd), "close");
}

int main(int argc, char** argv) {
  uint64_t closes = option(argc, argv, "--closes", 3);
  int splice_port, close_port;
  pthread_t thread;

  listener(&splice_port);
  listener(&close_port);
  int to = full(splice_port);
  must(!pthread_create(&thread, NULL, splices, &to), "pthread_create");
  struct timespec t = to_timespec(300 * NS_PER_MS);
  nanosleep(&t, NULL);
  ready(argc, argv);
  for (uint64_t i = 0; i < closes; i++) close_after(full(close_port), 1);
  printf("{\"event\":\"result\",\"splicePort\":%d,\"closePort\":%d}\n", splice_port, close_port);
  fflush(stdout);
  close_after(full(close_port), 3600);
  return 0;
}
