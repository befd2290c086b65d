// A proxy of one thread that asks two ends, which answer at once: the answer of the first it reads at once, that of the
// second after it has computed for a while. A client asks the proxy. Prints the ports of the two ends and for how long
// answers of the second lay there.
//
// With --connections the proxy is an event loop instead: it asks the second end over so many connections at once, and
// computes for each answer that it reads before it asks again; all the others lie there meanwhile.
//
// With --sleeps it sleeps where it would compute. Before it ends it rests for --rest milliseconds, in which no answer
// lies there.
//
//   late-reader [--asks 25] [--ms 100] [--connections 0] [--sleeps] [--rest 0] [--hold]
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "loopback.h"
#include "program.h"

#define MOST 64

static int listener(int* port) {
  struct sockaddr_in a = v4(0);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  must(fd >= 0, "socket");
  must(!bind(fd, (struct sockaddr*)&a, sizeof(a)) && !listen(fd, MOST), "listen");
  *port = port_of(fd);
  return fd;
}

static int connected(int port) {
  struct sockaddr_in a = v4(port);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  must(fd >= 0 && !connect(fd, (struct sockaddr*)&a, sizeof(a)), "connect");
  return fd;
}

static void ask(int fd) {
  must(write(fd, "?", 1) == 1, "write");
}

static void receive(int fd) {
  char c;
  must(read(fd, &c, 1) == 1, "read");
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

/* Notes when it last did. */
static void answer_at_once(int listening, volatile uint64_t* answered_ns) {
  char c;
  int fd = accept(listening, NULL, NULL);
  while (read(fd, &c, 1) == 1) {
    must(write(fd, "!", 1) == 1, "write");
    *answered_ns = monotonic_ns();
  }
  _exit(0);
}

/* Likewise, whichever of many connections was asked. */
static void answer_many(int listening, int count, volatile uint64_t* answered_ns) {
  struct pollfd asked[MOST];
  for (int i = 0; i < count; i++) asked[i] = (struct pollfd){.fd = accept(listening, NULL, NULL), .events = POLLIN};
  for (;;) {
    must(poll(asked, (nfds_t)count, -1) > 0, "poll");
    for (int i = 0; i < count; i++) {
      char c;
      if (!asked[i].revents) continue;
      if (read(asked[i].fd, &c, 1) != 1) _exit(0);
      must(write(asked[i].fd, "!", 1) == 1, "write");
      answered_ns[i] = monotonic_ns();
    }
  }
}

static NOINLINE uint64_t compute(uint64_t cpu_ns) {
  volatile uint64_t turns = 0;
  uint64_t until = thread_cpu_ns() + cpu_ns;
  while (thread_cpu_ns() < until)
    for (int i = 0; i < 1000; i++) turns++;
  return turns;
}

/* What keeps the program from reading. */
static void dally(int sleeps, uint64_t ns) {
  struct timespec t = to_timespec(ns);

  if (sleeps)
    nanosleep(&t, NULL);
  else
    compute(ns);
}

/* Returns for how long answers lay there, summed over connections. */
static uint64_t event_loop(int port, int count, uint64_t asks, int sleeps, uint64_t ns,
                           volatile uint64_t* answered_ns) {
  int fds[MOST], loop = epoll_create1(EPOLL_CLOEXEC);
  uint64_t unread_ns = 0;
  /* in the order of the accepts at the other end */
  for (int i = 0; i < count; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
    fds[i] = connected(port);
    must(!epoll_ctl(loop, EPOLL_CTL_ADD, fds[i], &event), "epoll_ctl");
  }
  for (int i = 0; i < count; i++) ask(fds[i]);
  while (asks) {
    struct epoll_event events[MOST];
    int n = epoll_wait(loop, events, MOST, -1);
    for (int e = 0; e < n && asks; e++, asks--) {
      uint32_t i = events[e].data.u32;
      uint64_t now = monotonic_ns(), answered = answered_ns[i];
      if (answered && answered < now) unread_ns += now - answered;
      receive(fds[i]);
      dally(sleeps, ns);
      answered_ns[i] = 0;
      ask(fds[i]);
    }
  }
  return unread_ns;
}

static void result(int first_port, int second_port, uint64_t unread_ns) {
  printf("{\"event\":\"result\",\"first\":%d,\"second\":%d,\"unreadNs\":%llu}\n", first_port, second_port,
         (unsigned long long)unread_ns);
}

int main(int argc, char** argv) {
  uint64_t asks = option(argc, argv, "--asks", 25), ns = option(argc, argv, "--ms", 100) * NS_PER_MS;
  uint64_t rest_ns = option(argc, argv, "--rest", 0) * NS_PER_MS;
  int sleeps = flag(argc, argv, "--sleeps"), connections = (int)option(argc, argv, "--connections", 0);
  must(connections <= MOST, "--connections");
  int first_port, second_port, own_port;
  int first = listener(&first_port), second = listener(&second_port), own = listener(&own_port);

  volatile uint64_t* answered_ns = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(answered_ns != MAP_FAILED, "mmap");
  if (connections) {
    if (forked("second-end")) answer_many(second, connections, answered_ns);
    ready(argc, argv);
    uint64_t lay_ns = event_loop(second_port, connections, asks, sleeps, ns, answered_ns);
    dally(1, rest_ns);
    result(first_port, second_port, lay_ns);
    return 0;
  }
  if (forked("first-end")) answer_at_once(first, &answered_ns[0]);
  if (forked("second-end")) answer_at_once(second, &answered_ns[1]);
  int one = connected(first_port), two = connected(second_port);
  ready(argc, argv);
  if (forked("asking-client")) {
    int fd = connected(own_port);
    for (uint64_t i = 0; i < asks; i++) {
      ask(fd);
      receive(fd);
    }
    _exit(0);
  }
  uint64_t unread_ns = 0;
  int client = accept(own, NULL, NULL);
  must(client >= 0, "accept");
  for (uint64_t i = 0; i < asks; i++) {
    receive(client);
    ask(one);
    receive(one);
    answered_ns[1] = 0;
    ask(two);
    dally(sleeps, ns);
    uint64_t now = monotonic_ns(), answered = answered_ns[1];
    if (answered && answered < now) unread_ns += now - answered;
    receive(two);
    ask(client);
  }
  dally(1, rest_ns);
  result(first_port, second_port, unread_ns);
  return 0;
}
