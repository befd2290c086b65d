// Connections whose lives are known: a prime number each of those that are established and closed, refused, reset, and
// left in CLOSE-WAIT; and a listening socket that nobody accepts from. Prints how many it made of each, and its ports.
// With --loss it sends on a connection until the time is over, for a test that makes the network lose segments; with
// --spin it asks in vain for bytes until then; with --stuck it waits for them, from before it says that it does (1: it
// asked nothing, 2: it asked, 3: it was answered 50 ms later; by TCP, or of another --kind: 1 a unix connection, 2
// connected datagrams; with --hold from the line on); with
// --hang it asks on so many connections, is never answered, and gives up on half of them after 1.2 s (with --again
// it sends once more before that); with
// --crowd it asks and is answered on so many connections, and closes none; with --half the other side of so many closes
// its half before the line, and is sent something behind it.
//
//   tcp-life [--connects 23] [--refused 7] [--resets 5] [--close-wait 13] [--overflow 11] [--ms 300] [--loss 0] [--spin
//   0]
//            [--stuck 0] [--kind 0] [--hang 0] [--again 0] [--crowd 0] [--half 0] [--port 0] [--hold]
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "loopback.h"
#include "program.h"

#define BACKLOG 2

static int listen_on(int port, int backlog, int* bound) {
  int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in a = v4(port);
  must(fd >= 0, "socket");
  must(!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), "SO_REUSEADDR");
  must(!bind(fd, (struct sockaddr*)&a, sizeof(a)), "bind");
  *bound = port_of(fd);
  if (backlog) must(!listen(fd, backlog), "listen");
  return fd;
}

static int connect_to(int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in a = v4(port);
  must(fd >= 0, "socket");
  if (!connect(fd, (struct sockaddr*)&a, sizeof(a))) return fd;
  close(fd);
  return -1;
}

/* Both ends of a connection; the accepted one in `other`. */
static int connected(int listener, int port, int* other) {
  int fd = connect_to(port);
  must(fd >= 0, "connect");
  *other = accept(listener, NULL, NULL);
  must(*other >= 0, "accept");
  return fd;
}

/* Both ends of a unix connection, of which one has an abstract name. */
static int connected_unix(int* other) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd = socket(AF_UNIX, SOCK_STREAM, 0);
  socklen_t length = (socklen_t)(sizeof(sa_family_t) + 1 + (size_t)sprintf(a.sun_path + 1, "tcp-life-%d", getpid()));
  must(!bind(listener, (struct sockaddr*)&a, length) && !listen(listener, 1), "unix listen");
  must(!connect(fd, (struct sockaddr*)&a, length), "unix connect");
  *other = accept(listener, NULL, NULL);
  return fd;
}

/* Two datagram sockets, each connected to the other. */
static int connected_datagrams(int* other) {
  int fds[2];
  for (int i = 0; i < 2; i++) {
    struct sockaddr_in a = v4(0);
    fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
    must(!bind(fds[i], (struct sockaddr*)&a, sizeof(a)), "bind");
  }
  for (int i = 0; i < 2; i++) {
    struct sockaddr_in a = v4(port_of(fds[!i]));
    must(!connect(fds[i], (struct sockaddr*)&a, sizeof(a)), "connect");
  }
  *other = fds[1];
  return fds[0];
}

static void read_to_end(int fd) {
  char c;
  while (read(fd, &c, 1) > 0) continue;
}

// Without the C library, which keeps no frame pointer: the call is this function's own.
static NOINLINE void ask_in_vain(int fd, uint64_t until_ns) {
  char c;
  while (monotonic_ns() < until_ns) {
    long result = SYS_recvfrom;
    register long flags __asm__("r10") = MSG_DONTWAIT, from __asm__("r8") = 0, length __asm__("r9") = 0;
    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"((long)fd), "S"(&c), "d"(1L), "r"(flags), "r"(from), "r"(length)
                     : "rcx", "r11", "memory");
    if (result >= 0) abort();
  }
}

static void* wait_for_bytes(void* fd) {
  char c;
  return (void*)(intptr_t)recv((int)(intptr_t)fd, &c, 1, 0);
}

int main(int argc, char** argv) {
  uint64_t connects = option(argc, argv, "--connects", 23), refused = option(argc, argv, "--refused", 7);
  uint64_t resets = option(argc, argv, "--resets", 5), waits = option(argc, argv, "--close-wait", 13);
  uint64_t overflow = option(argc, argv, "--overflow", 11), ms = option(argc, argv, "--ms", 300);
  uint64_t loss = option(argc, argv, "--loss", 0), failed = 0, sent = 0;
  int port, closed_port, full_port, other;
  int listener = listen_on((int)option(argc, argv, "--port", 0), 128, &port);
  int full = listen_on(0, BACKLOG, &full_port);
  int closed = listen_on(0, 0, &closed_port);

  uint64_t stuck = option(argc, argv, "--stuck", 0);
  if (stuck) {
    pthread_t thread;
    uint64_t kind = option(argc, argv, "--kind", 0);
    int fd = kind == 0   ? connected(listener, port, &other)
             : kind == 1 ? connected_unix(&other)
                         : connected_datagrams(&other);
    char c;
    if (flag(argc, argv, "--hold")) ready(argc, argv);
    if (stuck > 1) must(write(fd, "?", 1) == 1 && read(other, &c, 1) == 1, "question");
    poll(NULL, 0, 50);
    if (stuck > 2) must(write(other, "!", 1) == 1 && read(fd, &c, 1) == 1, "answer");
    must(!pthread_create(&thread, NULL, wait_for_bytes, (void*)(intptr_t)fd), "thread");
    poll(NULL, 0, 200);
    printf("{\"event\":\"stuck\"}\n");
    fflush(stdout);
    poll(NULL, 0, (int)ms);
    return 0;
  }
  for (uint64_t i = 0; i < waits; i++) close(connected(listener, port, &other));
  int half[64];
  uint64_t halves = option(argc, argv, "--half", 0);
  must(halves <= 64, "--half");
  for (uint64_t i = 0; i < halves; i++) must(!shutdown(connected(listener, port, &half[i]), SHUT_WR), "shutdown");
  ready(argc, argv);

  uint64_t hang = option(argc, argv, "--hang", 0);
  if (hang) {
    int asked[64];
    struct pollfd answers[64];
    nfds_t count = 0;
    for (uint64_t i = 0; i < hang && i < 64; i++, count++) {
      asked[i] = connected(listener, port, &other);
      must(write(asked[i], "?", 1) == 1, "write");
      answers[i] = (struct pollfd){.fd = asked[i], .events = POLLIN};
    }
    must(!poll(answers, count, 1200), "poll");
    if (option(argc, argv, "--again", 0)) {
      for (uint64_t i = 0; i < hang && i < 64; i++) must(write(asked[i], "?", 1) == 1, "write");
      poll(NULL, 0, 20);
    }
    for (uint64_t i = 0; i < hang / 2 && i < 64; i++) close(asked[i]);
    printf("{\"event\":\"hung\",\"port\":%d}\n", port);
    fflush(stdout);
    poll(NULL, 0, (int)ms);
    return 0;
  }
  uint64_t crowd = option(argc, argv, "--crowd", 0);
  if (crowd) {
    struct rlimit files;
    must(!getrlimit(RLIMIT_NOFILE, &files), "RLIMIT_NOFILE");
    files.rlim_cur = files.rlim_max;
    must(!setrlimit(RLIMIT_NOFILE, &files), "RLIMIT_NOFILE");
  }
  for (uint64_t i = 0; i < crowd; i++) {
    char c;
    int fd = connected(listener, port, &other);
    must(write(fd, "?", 1) == 1 && read(other, &c, 1) == 1, "question");
    must(write(other, "!", 1) == 1 && read(fd, &c, 1) == 1, "answer");
  }
  for (uint64_t i = 0; i < connects; i++) {
    int fd = connected(listener, port, &other);
    close(fd);
    read_to_end(other);
    close(other);
  }
  for (uint64_t i = 0; i < refused; i++) failed += connect_to(closed_port) < 0;
  for (uint64_t i = 0; i < resets; i++) {
    struct linger at_once = {.l_onoff = 1};
    int fd = connected(listener, port, &other);
    must(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), "SO_LINGER");
    close(fd);
    read_to_end(other);
    close(other);
  }
  for (uint64_t i = 0; i < overflow; i++) {
    struct sockaddr_in a = v4(full_port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(fd, (struct sockaddr*)&a, sizeof(a))) must(errno == EINPROGRESS, "connect");
  }
  if (option(argc, argv, "--spin", 0)) ask_in_vain(connected(listener, port, &other), monotonic_ns() + ms * NS_PER_MS);
  if (loss) {
    static char block[1000];
    int fd = connected(listener, port, &other);
    uint64_t until = monotonic_ns() + ms * NS_PER_MS;
    while (monotonic_ns() < until) {
      must(write(fd, block, sizeof(block)) == sizeof(block), "write");
      for (size_t n = 0; n < sizeof(block);) {
        ssize_t got = read(other, block, sizeof(block));
        must(got > 0, "read");
        n += (size_t)got;
      }
      sent++;
    }
  }
  printf(
      "{\"event\":\"result\",\"connects\":%llu,\"refused\":%llu,\"resets\":%llu,\"closeWaits\":%llu,\"sent\":%llu,"
      "\"port\":%d,\"closedPort\":%d,\"fullPort\":%d}\n",
      (unsigned long long)connects, (unsigned long long)failed, (unsigned long long)resets, (unsigned long long)waits,
      (unsigned long long)sent, port, closed_port, full_port);
  fflush(stdout);
  for (uint64_t i = 0; i < halves; i++) must(write(half[i], "!", 1) == 1, "answer");
  if (!loss) poll(NULL, 0, (int)ms);
  close(full);
  close(closed);
  return 0;
}
