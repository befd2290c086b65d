// Sockets that another thread takes away from a call that waits on them: descriptors that are closed, or that get
// another socket, while somebody receives there; a copy that is closed before the answer comes. Receives that take
// nothing. Answers that another process reads, or a call that nobody watches; bytes that want no answer, and questions
// that get none. All at the same time, each with a listening port of its own. Prints the ports, and sleeps for --stay
// milliseconds.
//
//   socket-hands [--stay 0] [--hold]
#include <linux/net_tstamp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "loopback.h"
#include "program.h"

#define SLOW_MS 400
#define PATIENCE_MS 1100 /* from one second on a question without an answer counts */

/* Who listens, and answers each receive with as many bytes after so long, but a '-' with none. */
struct server {
  int fd, port, ms;
};

static void* serve_one(void* arg) {
  struct server s = *(struct server*)arg;
  char bytes[4096];
  ssize_t n;
  free(arg);
  while ((n = recv(s.fd, bytes, sizeof(bytes), 0)) > 0) {
    if (*bytes == '-') continue;
    poll(NULL, 0, s.ms);
    if (send(s.fd, bytes, (size_t)n, MSG_NOSIGNAL) != n) break;
  }
  close(s.fd);
  return NULL;
}

static void* serve(void* arg) {
  struct server* s = arg;
  for (;;) {
    pthread_t thread;
    struct server* one = malloc(sizeof(*one));
    must(one != NULL, "malloc");
    *one = (struct server){accept(s->fd, NULL, NULL), s->port, s->ms};
    must(one->fd >= 0 && !pthread_create(&thread, NULL, serve_one, one), "accept");
  }
  return NULL;
}

static int server(int ms) {
  pthread_t thread;
  struct server* s = malloc(sizeof(*s));
  struct sockaddr_in a = v4(0);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  must(s && fd >= 0 && !bind(fd, (struct sockaddr*)&a, sizeof(a)) && !listen(fd, 64), "listen");
  *s = (struct server){fd, port_of(fd), ms};
  must(!pthread_create(&thread, NULL, serve, s), "thread");
  return s->port;
}

/* A port that takes datagrams, which nobody reads. */
static int silent(void) {
  struct sockaddr_in a = v4(0);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  must(fd >= 0 && !bind(fd, (struct sockaddr*)&a, sizeof(a)), "bind");
  return port_of(fd);
}

static int connected(int port) {
  struct sockaddr_in a = v4(port);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  must(fd >= 0 && !connect(fd, (struct sockaddr*)&a, sizeof(a)), "connect");
  return fd;
}

static void ask(int fd) {
  must(send(fd, "hello", 5, 0) == 5, "send");
}

static void* receive(void* fd) {
  char bytes[100];
  must(recv((int)(intptr_t)fd, bytes, sizeof(bytes), 0) == 5, "recv");
  return NULL;
}

/* Asks, and has another thread wait for the answer. */
static int asked(int port, pthread_t* waiter) {
  int fd = connected(port);
  ask(fd);
  must(!pthread_create(waiter, NULL, receive, (void*)(intptr_t)fd), "thread");
  poll(NULL, 0, SLOW_MS / 4);
  return fd;
}

struct scene {
  const char* name;
  void (*play)(int port, int other);
  int ms; /* how long the server takes */
  int port, other;
};

static void closed(int port, int other) {
  pthread_t waiter;
  (void)other;
  close(asked(port, &waiter));
  pthread_join(waiter, NULL);
}

static void replaced(int port, int other) {
  pthread_t waiter;
  int fd = asked(port, &waiter), instead = connected(other);
  must(dup2(instead, fd) == fd, "dup2");
  close(instead);
  pthread_join(waiter, NULL);
  close(fd);
}

/* Looks at each answer before it takes it. */
static void looked_at(int port, int other) {
  char bytes[100];
  int fd = connected(port);
  (void)other;
  for (int i = 0; i < 11; i++) {
    struct iovec v = {bytes, sizeof(bytes)};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    ask(fd);
    must(recv(fd, bytes, sizeof(bytes), MSG_PEEK) == 5 && recvmsg(fd, &m, MSG_PEEK) == 5, "peek");
    must(recv(fd, bytes, sizeof(bytes), 0) == 5, "recv");
  }
  close(fd);
}

/* Gets each question back from the queue of errors, with the time when it was sent, before it is answered. */
static void timestamped(int port, int other) {
  int wanted = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE, fd = connected(port);
  (void)other;
  must(!setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &wanted, sizeof(wanted)), "SO_TIMESTAMPING");
  for (int i = 0; i < 3; i++) {
    char bytes[1000], control[500];
    struct iovec v = {bytes, sizeof(bytes)};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    ask(fd);
    must(recvmsg(fd, &m, MSG_ERRQUEUE) > 0, "error queue");
    receive((void*)(intptr_t)fd);
  }
  close(fd);
}

/* The answer comes to the descriptor that is left. */
static void copied(int port, int other) {
  int fd = connected(port), copy = dup(fd);
  (void)other;
  ask(fd);
  poll(NULL, 0, PATIENCE_MS);
  close(copy);
  receive((void*)(intptr_t)fd);
  close(fd);
}

static void wait_for_child(pid_t child) {
  int status;
  must(child > 0 && waitpid(child, &status, 0) == child && !status, "child");
}

/* A child reads the answers. */
static void forked(int port, int other) {
  int fds[3];
  (void)other;
  for (int i = 0; i < 3; i++) ask(fds[i] = connected(port));
  pid_t child = fork();
  if (!child) {
    char bytes[100];
    for (int i = 0; i < 3; i++)
      if (read(fds[i], bytes, sizeof(bytes)) != 5) _exit(1);
    _exit(0);
  }
  wait_for_child(child);
  poll(NULL, 0, PATIENCE_MS);
  for (int i = 0; i < 2; i++) close(fds[i]);
}

/* Reads the answers with a call that is not recorded. */
static void unseen(int port, int other) {
  int fds[3];
  (void)other;
  for (int i = 0; i < 3; i++) {
    char bytes[100];
    struct iovec v = {bytes, sizeof(bytes)};
    ask(fds[i] = connected(port));
    must(preadv2(fds[i], &v, 1, -1, 0) == 5, "preadv2");
  }
  poll(NULL, 0, PATIENCE_MS);
  for (int i = 0; i < 2; i++) close(fds[i]);
}

/* What is sent last wants no answer. */
static void trailing(int port, int other) {
  int fds[3];
  (void)other;
  for (int i = 0; i < 3; i++) {
    ask(fds[i] = connected(port));
    receive((void*)(intptr_t)fds[i]);
    must(send(fds[i], "-", 1, 0) == 1, "send");
  }
  poll(NULL, 0, PATIENCE_MS);
  for (int i = 0; i < 2; i++) close(fds[i]);
}

/* Waits in vain for the second answer of each connection, at the last one for longer than the others do. */
static void awaited(int port, int other) {
  (void)other;
  for (int i = 0; i < 2; i++) {
    struct timeval patience = {.tv_sec = i ? 60 : 1, .tv_usec = i ? 0 : 100000};
    char byte;
    int fd = connected(port);
    must(!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), "SO_RCVTIMEO");
    ask(fd);
    receive((void*)(intptr_t)fd);
    must(send(fd, "-", 1, 0) == 1 && recv(fd, &byte, 1, 0) < 0, "no answer");
    close(fd);
  }
}

/* Datagrams that are sent again, and never answered. */
static void repeated(int port, int other) {
  (void)port;
  for (int i = 0; i < 2; i++) {
    struct sockaddr_in a = v4(other);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    must(fd >= 0 && !connect(fd, (struct sockaddr*)&a, sizeof(a)), "connect");
    ask(fd);
    struct pollfd answer = {.fd = fd, .events = POLLIN};
    must(!poll(&answer, 1, PATIENCE_MS), "poll");
    ask(fd);
    if (!i) close(fd);
  }
}

static struct scene scenes[] = {
    {"closed", closed, SLOW_MS, 0, 0}, {"replaced", replaced, SLOW_MS, 0, 0},
    {"looked-at", looked_at, 5, 0, 0}, {"timestamped", timestamped, 5, 0, 0},
    {"forked", forked, 5, 0, 0},       {"unseen", unseen, 5, 0, 0},
    {"trailing", trailing, 5, 0, 0},   {"awaited", awaited, 5, 0, 0},
    {"repeated", repeated, 5, 0, 0},   {"copied", copied, PATIENCE_MS + SLOW_MS, 0, 0},
};
#define SCENES (sizeof(scenes) / sizeof(scenes[0]))

static void* play(void* arg) {
  struct scene* s = arg;
  s->play(s->port, s->other);
  return NULL;
}

int main(int argc, char** argv) {
  pthread_t threads[SCENES];
  for (size_t i = 0; i < SCENES; i++) {
    scenes[i].port = server(scenes[i].ms);
    scenes[i].other = scenes[i].play == repeated ? silent() : server(0);
  }
  ready(argc, argv);
  for (size_t i = 0; i < SCENES; i++) must(!pthread_create(&threads[i], NULL, play, &scenes[i]), "thread");
  for (size_t i = 0; i < SCENES; i++)
    if (scenes[i].play != awaited) pthread_join(threads[i], NULL);
  printf("{\"event\":\"result\"");
  for (size_t i = 0; i < SCENES; i++) printf(",\"%s\":[%d,%d]", scenes[i].name, scenes[i].port, scenes[i].other);
  printf("}\n");
  fflush(stdout);
  poll(NULL, 0, (int)option(argc, argv, "--stay", 0));
  return 0;
}
