// A server that logs a line for each question to ends that answer nobody: over TCP, UDP and a unix socket, each opened
// anew. Then it asks an end that answers at once, sleeps, answers, and closes what it has opened. A client asks it so
// many times, one after the other. With --waits it waits in a poll for an answer to its line over TCP where it would
// sleep, in vain, and says goodbye there. Prints the ports of both ends that TCP reaches.
//
//   log-lines [--asks 20] [--ms 60] [--waits] [--hold]
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "loopback.h"
#include "program.h"

static int listener(int type, int* port) {
  struct sockaddr_in a = v4(0);
  int fd = socket(AF_INET, type, 0);
  must(fd >= 0 && !bind(fd, (struct sockaddr*)&a, sizeof(a)), "bind");
  must(type == SOCK_DGRAM || !listen(fd, 16), "listen");
  *port = port_of(fd);
  return fd;
}

static int connected(int type, int port) {
  struct sockaddr_in a = v4(port);
  int fd = socket(AF_INET, type, 0);
  must(fd >= 0 && !connect(fd, (struct sockaddr*)&a, sizeof(a)), "connect");
  return fd;
}

/* Of the abstract ones: of this process and the next ones. */
static struct sockaddr_un log_name(void) {
  static int number;
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  if (!number) number = getpid();
  snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "log-lines-%d", number);
  return a;
}
static socklen_t log_name_length(const struct sockaddr_un* a) {
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(a->sun_path + 1));
}

/* Ends with the program that started it. */
static int forked(const char* name) {
  pid_t pid = fork();
  must(pid >= 0, "fork");
  if (pid) return 0;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, name);
  return 1;
}

/* Reads all that is sent to it at once, and says nothing; or answers each byte. */
static void read_all(int listening, int datagrams, int unix_datagrams, int answers) {
  enum { MOST = 8 };
  struct pollfd fds[MOST] = {{listening, POLLIN, 0}, {datagrams, POLLIN, 0}, {unix_datagrams, POLLIN, 0}};
  for (int i = 3; i < MOST; i++) fds[i].fd = -1;
  for (;;) {
    char line[64];
    must(poll(fds, MOST, -1) > 0, "poll");
    if (fds[0].revents) {
      int free_one = 3;
      while (free_one < MOST - 1 && fds[free_one].fd >= 0) free_one++;
      fds[free_one] = (struct pollfd){accept(listening, NULL, NULL), POLLIN, 0};
    }
    for (int i = 1; i < 3; i++)
      if (fds[i].fd >= 0 && fds[i].revents) must(recv(fds[i].fd, line, sizeof(line), 0) > 0, "recv");
    for (int i = 3; i < MOST; i++) {
      if (fds[i].fd < 0 || !fds[i].revents) continue;
      ssize_t n = read(fds[i].fd, line, sizeof(line));
      if (n > 0 && answers) must(write(fds[i].fd, "!", 1) == 1, "write");
      if (n > 0) continue;
      close(fds[i].fd);
      fds[i].fd = -1;
    }
  }
}

static void ask_one_by_one(int port, uint64_t asks) {
  char c;
  for (int fd = connected(SOCK_STREAM, port); asks; asks--) must(write(fd, "?", 1) == 1 && read(fd, &c, 1) == 1, "ask");
  _exit(0);
}

int main(int argc, char** argv) {
  uint64_t asks = option(argc, argv, "--asks", 20), ms = option(argc, argv, "--ms", 60);
  int waits = flag(argc, argv, "--waits"), port, log_port, datagram_port, quick_port;
  struct sockaddr_un name = log_name();
  int serving = listener(SOCK_STREAM, &port), log = listener(SOCK_STREAM, &log_port);
  int datagrams = listener(SOCK_DGRAM, &datagram_port), quick = listener(SOCK_STREAM, &quick_port);
  int named = socket(AF_UNIX, SOCK_DGRAM, 0);
  must(named >= 0 && !bind(named, (struct sockaddr*)&name, log_name_length(&name)), "bind");
  if (forked("log-collector")) read_all(log, datagrams, named, 0);
  if (forked("quick-end")) read_all(quick, -1, -1, 1);
  ready(argc, argv);
  if (forked("log-client")) ask_one_by_one(port, asks);

  int client = accept(serving, NULL, NULL);
  for (char c; read(client, &c, 1) == 1;) {
    int fds[] = {connected(SOCK_STREAM, quick_port), connected(SOCK_STREAM, log_port),
                 connected(SOCK_DGRAM, datagram_port), socket(AF_UNIX, SOCK_DGRAM, 0)};
    must(!connect(fds[3], (struct sockaddr*)&name, log_name_length(&name)), "connect");
    for (int i = 0; i < 4; i++) must(write(fds[i], "a line", 6) == 6, "write");
    must(read(fds[0], &c, 1) == 1, "read");
    struct timespec t = to_timespec(ms * NS_PER_MS);
    struct pollfd answer = {.fd = fds[1], .events = POLLIN};
    if (waits) {
      must(!poll(&answer, 1, (int)ms), "poll");
      must(write(fds[1], "QUIT", 4) == 4, "write");
    } else {
      nanosleep(&t, NULL);
    }
    must(write(client, "!", 1) == 1, "write");
    for (int i = 0; i < 4; i++) close(fds[i]);
  }
  printf("{\"event\":\"result\",\"log\":%d,\"quick\":%d}\n", log_port, quick_port);
  return 0;
}
