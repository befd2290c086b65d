// Every system call on sockets that there is to watch, a prime number of each, on every kind of address; and calls on
// pipes and files, which are none. Prints what it counted itself: for each call number how often, how many bytes, how
// many errors of which kind; for each endpoint how often and how many bytes each way; and how long a peer that sleeps
// kept it.
//
//   socket-calls [--ms 30] [--path /tmp/socket-calls.sock] [--destinations 0] [--hold]
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "loopback.h"
#include "program.h"

#define CALLS 512
#define ERRORS 256
#define ENDS 32
#define ANSWERS 23

struct call {
  uint64_t count, bytes, errors, by_error[ERRORS];
};
struct end {
  char name[64];
  uint64_t count, out, in, errors, again;
};
static struct call calls[CALLS];
static struct end ends[ENDS];
static uint64_t delay_ns;

static struct end* end_of(const char* name) {
  for (int i = 0; i < ENDS; i++) {
    if (!ends[i].name[0]) snprintf(ends[i].name, sizeof(ends[i].name), "%s", name);
    if (!strcmp(ends[i].name, name)) return &ends[i];
  }
  abort();
}

enum direction { NONE, OUT, IN };

/* What a call gave, noted for its number and its endpoint (NULL = none is told for it). */
static long note(long nr, const char* end, enum direction direction, long result, long bytes) {
  struct call* c = &calls[nr];
  c->count++;
  if (result < 0) {
    c->errors++;
    c->by_error[errno]++;
  } else if (direction != NONE) {
    c->bytes += (uint64_t)bytes;
  }
  if (!end) return result;
  struct end* e = end_of(end);
  e->count++;
  if (result < 0 && errno == EAGAIN)
    e->again++;
  else if (result < 0)
    e->errors++;
  else if (direction == OUT)
    e->out += (uint64_t)bytes;
  else if (direction == IN)
    e->in += (uint64_t)bytes;
  return result;
}
#define DO(nr, end, direction, ...)             \
  ({                                            \
    long result_ = syscall(nr, ##__VA_ARGS__);  \
    note(nr, end, direction, result_, result_); \
  })

static int close_socket(int fd, const char* end) {
  return (int)DO(SYS_close, end, NONE, fd);
}

/* A connection and its two ends, each with the name that it is told by. */
struct pair {
  int a, b;
  char a_name[64], b_name[64];
};

static struct pair tcp(int family, int mapped, int use_accept4) {
  struct pair p;
  struct sockaddr_in in = v4(0);
  struct sockaddr_in6 in6 = v6(0, mapped);
  void* address = family == AF_INET ? (void*)&in : (void*)&in6;
  socklen_t n = family == AF_INET ? sizeof(in) : sizeof(in6);
  const char* host = family == AF_INET || mapped ? "127.0.0.1" : "::1";
  int one = 1;
  int listener = (int)DO(SYS_socket, NULL, NONE, family, SOCK_STREAM, 0);
  must(listener >= 0, "socket");
  must(!DO(SYS_bind, NULL, NONE, listener, address, n), "bind");
  int port = port_of(listener);
  must(!DO(SYS_listen, NULL, NONE, listener, 16), "listen");
  must(!DO(SYS_setsockopt, NULL, NONE, listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), "setsockopt");
  snprintf(p.a_name, sizeof(p.a_name), "remote %s %d", host, port);
  snprintf(p.b_name, sizeof(p.b_name), "accepted %s %d", host, port);
  p.a = (int)DO(SYS_socket, NULL, NONE, family, SOCK_STREAM, 0);
  in = v4(port);
  in6 = v6(port, mapped);
  must(!DO(SYS_connect, p.a_name, NONE, p.a, address, n), "connect");
  p.b = (int)(use_accept4 ? DO(SYS_accept4, p.b_name, NONE, listener, NULL, NULL, SOCK_CLOEXEC)
                          : DO(SYS_accept, p.b_name, NONE, listener, NULL, NULL));
  must(p.b >= 0, "accept");
  close_socket(listener, NULL);
  return p;
}

static void close_pair(struct pair* p) {
  close_socket(p->a, p->a_name);
  close_socket(p->b, p->b_name);
}

/* Each way to send and receive, a prime number of times, from one end to the other. */
static void all_transfers(struct pair* p, uint64_t primes_from) {
  static const uint64_t primes[] = {3, 5, 7, 11, 13, 17, 19, 23};
  char data[128] = "some bytes that are sent";
  for (int way = 0; way < 5; way++) {
    uint64_t n = primes[((uint64_t)way + primes_from) % 8];
    size_t length = 7 + (size_t)way;
    for (uint64_t i = 0; i < n; i++) {
      struct iovec v = {data, length};
      struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
      struct mmsghdr mm[2] = {{m, 0}, {m, 0}};
      long sent;
      switch (way) {
        case 0:
          sent = DO(SYS_sendto, p->a_name, OUT, p->a, data, length, 0, NULL, 0);
          must(DO(SYS_recvfrom, p->b_name, IN, p->b, data, sizeof(data), 0, NULL, NULL) == sent, "recvfrom");
          break;
        case 1:
          sent = DO(SYS_sendmsg, p->a_name, OUT, p->a, &m, 0);
          v.iov_len = sizeof(data);
          must(DO(SYS_recvmsg, p->b_name, IN, p->b, &m, 0) == sent, "recvmsg");
          break;
        case 2:
          sent = DO(SYS_write, p->a_name, OUT, p->a, data, length);
          must(DO(SYS_read, p->b_name, IN, p->b, data, sizeof(data)) == sent, "read");
          break;
        case 3:
          sent = DO(SYS_writev, p->a_name, OUT, p->a, &v, 1);
          v.iov_len = sizeof(data);
          must(DO(SYS_readv, p->b_name, IN, p->b, &v, 1) == sent, "readv");
          break;
        default:
          note(SYS_sendmmsg, p->a_name, OUT, syscall(SYS_sendmmsg, p->a, mm, 2, 0), 2 * (long)length);
          mm[0].msg_hdr.msg_iov->iov_len = 2 * length;
          must(note(SYS_recvmmsg, p->b_name, IN, syscall(SYS_recvmmsg, p->b, mm, 1, MSG_WAITALL, NULL),
                    2 * (long)length) == 1,
               "recvmmsg");
          break;
      }
    }
  }
}

static void datagrams(void) {
  struct sockaddr_in to = v4(9), own = v4(0);
  struct sockaddr_in6 to6 = v6(9, 0);
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  char data[] = "datagram", name[64];
  int receiver = (int)DO(SYS_socket, NULL, NONE, AF_INET, SOCK_DGRAM, 0);
  must(!DO(SYS_bind, NULL, NONE, receiver, &own, sizeof(own)), "bind");
  to = v4(port_of(receiver));
  snprintf(name, sizeof(name), "datagram 127.0.0.1 %d", ntohs(to.sin_port));
  int sender = (int)DO(SYS_socket, NULL, NONE, AF_INET, SOCK_DGRAM, 0);
  for (int i = 0; i < 29; i++)
    must(DO(SYS_sendto, name, OUT, sender, data, sizeof(data), 0, &to, sizeof(to)) > 0, "sendto");
  close_socket(sender, NULL);
  close_socket(receiver, NULL);
  int six = (int)DO(SYS_socket, NULL, NONE, AF_INET6, SOCK_DGRAM, 0);
  for (int i = 0; i < 31; i++) DO(SYS_sendto, "datagram ::1 9", OUT, six, data, sizeof(data), 0, &to6, sizeof(to6));
  close_socket(six, NULL);
  int netlink = (int)DO(SYS_socket, NULL, NONE, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  struct nlmsghdr nothing = {.nlmsg_len = sizeof(nothing), .nlmsg_type = NLMSG_NOOP};
  for (int i = 0; i < 37; i++)
    DO(SYS_sendto, "family 16 0", OUT, netlink, &nothing, sizeof(nothing), 0, &kernel, sizeof(kernel));
  close_socket(netlink, "family 16 0");
}

/* A datagram to each of many addresses: no table has room for all of them. */
static void many_destinations(uint64_t n) {
  int fd = (int)DO(SYS_socket, NULL, NONE, AF_INET, SOCK_DGRAM, 0);
  for (uint64_t i = 0; i < n; i++) {
    struct sockaddr_in to = v4(9);
    to.sin_addr.s_addr = htonl((uint32_t)(0x7f010000 + i));
    DO(SYS_sendto, "many", OUT, fd, "x", 1, 0, &to, sizeof(to));
  }
  close_socket(fd, NULL);
}

static void unix_sockets(const char* path) {
  struct sockaddr_un a = {.sun_family = AF_UNIX}, abstract = {.sun_family = AF_UNIX};
  struct pair p;
  snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
  unlink(path);
  int listener = (int)DO(SYS_socket, NULL, NONE, AF_UNIX, SOCK_STREAM, 0);
  must(!DO(SYS_bind, NULL, NONE, listener, &a, sizeof(a)), "bind");
  must(!DO(SYS_listen, NULL, NONE, listener, 4), "listen");
  p.a = (int)DO(SYS_socket, NULL, NONE, AF_UNIX, SOCK_STREAM, 0);
  snprintf(p.a_name, sizeof(p.a_name), "path %.50s", path);
  snprintf(p.b_name, sizeof(p.b_name), "served path %.50s", path);
  must(!DO(SYS_connect, p.a_name, NONE, p.a, &a, sizeof(a)), "connect");
  p.b = (int)DO(SYS_accept4, p.b_name, NONE, listener, NULL, NULL, 0);
  close_socket(listener, NULL);
  all_transfers(&p, 2);
  close_pair(&p);
  unlink(path);

  int two[2];
  must(!DO(SYS_socketpair, NULL, NONE, AF_UNIX, SOCK_STREAM, 0, two), "socketpair");
  p.a = two[0];
  p.b = two[1];
  snprintf(p.a_name, sizeof(p.a_name), "process %d", getpid());
  snprintf(p.b_name, sizeof(p.b_name), "process %d", getpid());
  all_transfers(&p, 3);
  close_pair(&p);

  socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                            (size_t)snprintf(abstract.sun_path + 1, 64, "socket-calls-%d", getpid()) + 1);
  char name[64];
  snprintf(name, sizeof(name), "path @socket-calls-%d", getpid());
  int server = (int)DO(SYS_socket, NULL, NONE, AF_UNIX, SOCK_DGRAM, 0);
  must(!DO(SYS_bind, NULL, NONE, server, &abstract, n), "bind");
  int client = (int)DO(SYS_socket, NULL, NONE, AF_UNIX, SOCK_DGRAM, 0);
  must(!DO(SYS_connect, name, NONE, client, &abstract, n), "connect");
  for (int i = 0; i < 3; i++) must(DO(SYS_write, name, OUT, client, "abstract", 8) == 8, "write");
  close_socket(client, name);
  close_socket(server, NULL);
}

static void errors(void) {
  struct pair p = tcp(AF_INET, 0, 0);
  char byte;
  int closed = (int)DO(SYS_socket, NULL, NONE, AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in nobody = v4(1);
  for (int i = 0; i < 7; i++) DO(SYS_connect, NULL, NONE, closed, &nobody, sizeof(nobody));
  close_socket(closed, NULL);
  for (int i = 0; i < 11; i++) DO(SYS_recvfrom, p.b_name, IN, p.b, &byte, 1, MSG_DONTWAIT, NULL, NULL);
  for (int i = 0; i < 3; i++) DO(SYS_setsockopt, p.a_name, NONE, p.a, SOL_SOCKET, 9999, &byte, 1);
  int value;
  socklen_t n = sizeof(value);
  for (int i = 0; i < 5; i++) DO(SYS_getsockopt, p.a_name, NONE, p.a, SOL_SOCKET, SO_TYPE, &value, &n);
  must(!DO(SYS_shutdown, p.a_name, NONE, p.a, SHUT_WR), "shutdown");
  for (int i = 0; i < 13; i++) DO(SYS_sendto, p.a_name, OUT, p.a, "x", 1, MSG_NOSIGNAL, NULL, 0);
  close_pair(&p);
}

/* Files and pipes: read, write and splice that are none of ours; sendfile and splice that are. */
static void files(void) {
  struct pair p = tcp(AF_INET, 0, 1);
  int pipe_fds[2], zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  char data[256] = "", file[] = "/tmp/socket-calls-XXXXXX";
  must(!pipe(pipe_fds) && zero >= 0, "pipe");
  int regular = mkostemp(file, O_CLOEXEC);
  unlink(file);
  must(write(regular, data, 100) == 100, "write");
  for (int i = 0; i < 101; i++) must(read(zero, data, 8) == 8 && write(pipe_fds[1], data, 1) == 1, "pipe");
  for (int i = 0; i < 17; i++) {
    off_t from = 0;
    must(DO(SYS_sendfile, p.a_name, OUT, p.a, regular, &from, 41) == 41, "sendfile");
    must(DO(SYS_read, p.b_name, IN, p.b, data, 41) == 41, "read");
  }
  /* a pipe of its own, with one byte that goes round */
  close(pipe_fds[0]);
  close(pipe_fds[1]);
  must(!pipe(pipe_fds) && write(pipe_fds[1], "x", 1) == 1, "pipe");
  for (int i = 0; i < 19; i++) {
    must(DO(SYS_splice, p.a_name, OUT, pipe_fds[0], NULL, p.a, NULL, 1, 0) == 1, "splice to a socket");
    must(DO(SYS_splice, p.b_name, IN, p.b, NULL, pipe_fds[1], NULL, 1, 0) == 1, "splice from a socket");
  }
  close_pair(&p);
  close(zero);
  close(regular);
  close(pipe_fds[0]);
  close(pipe_fds[1]);
}

static void waiting_calls(void) {
  struct pollfd none = {.fd = -1};
  struct timespec soon = {0, 1000000};
  struct timeval soon_too = {0, 1000};
  struct epoll_event event;
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < 3; i++) DO(SYS_poll, NULL, NONE, &none, 1, 1);
  for (int i = 0; i < 5; i++) {
    soon = to_timespec(1000000);
    DO(SYS_ppoll, NULL, NONE, &none, 1, &soon, NULL, 0);
  }
  for (int i = 0; i < 7; i++) {
    soon_too.tv_usec = 1000;
    DO(SYS_select, NULL, NONE, 0, NULL, NULL, NULL, &soon_too);
  }
  for (int i = 0; i < 11; i++) {
    soon = to_timespec(1000000);
    DO(SYS_pselect6, NULL, NONE, 0, NULL, NULL, NULL, &soon, NULL);
  }
  for (int i = 0; i < 13; i++) DO(SYS_epoll_wait, NULL, NONE, epoll, &event, 1, 1);
  for (int i = 0; i < 17; i++) DO(SYS_epoll_pwait, NULL, NONE, epoll, &event, 1, 1, NULL, 0);
  close(epoll);
}

/* A peer in a process of its own, which sleeps before each answer. */
static void slow_server(int port_out) {
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in a = v4(0);
  if (bind(listener, (struct sockaddr*)&a, sizeof(a)) || listen(listener, 4)) _exit(1);
  int own = port_of(listener);
  if (write(port_out, &own, sizeof(own)) != sizeof(own)) _exit(1);
  int fd = accept(listener, NULL, NULL);
  char byte;
  while (read(fd, &byte, 1) == 1) {
    struct timespec t = to_timespec(delay_ns);
    nanosleep(&t, NULL);
    if (write(fd, &byte, 1) != 1) break;
  }
  _exit(0);
}

static void print_result(const char* slow, uint64_t blocked) {
  printf("{\"event\":\"result\",\"slowEnd\":\"%s\",\"answers\":%d,\"blockedNs\":%llu,\"calls\":[", slow, ANSWERS,
         (unsigned long long)blocked);
  const char* comma = "";
  for (int nr = 0; nr < CALLS; nr++) {
    const struct call* c = &calls[nr];
    if (!c->count) continue;
    printf("%s{\"syscall\":%d,\"count\":%llu,\"bytes\":%llu,\"errors\":%llu,\"byError\":{", comma, nr,
           (unsigned long long)c->count, (unsigned long long)c->bytes, (unsigned long long)c->errors);
    const char* inner = "";
    for (int e = 0; e < ERRORS; e++)
      if (c->by_error[e]) {
        printf("%s\"%d\":%llu", inner, e, (unsigned long long)c->by_error[e]);
        inner = ",";
      }
    printf("}}");
    comma = ",";
  }
  printf("],\"endpoints\":[");
  comma = "";
  for (int i = 0; i < ENDS && ends[i].name[0]; i++) {
    printf("%s{\"name\":\"%s\",\"count\":%llu,\"bytesOut\":%llu,\"bytesIn\":%llu,\"errors\":%llu,\"again\":%llu}",
           comma, ends[i].name, (unsigned long long)ends[i].count, (unsigned long long)ends[i].out,
           (unsigned long long)ends[i].in, (unsigned long long)ends[i].errors, (unsigned long long)ends[i].again);
    comma = ",";
  }
  printf("]}\n");
}

int main(int argc, char** argv) {
  const char* path = "/tmp/socket-calls.sock";
  for (int i = 1; i + 1 < argc; i++)
    if (!strcmp(argv[i], "--path")) path = argv[i + 1];
  delay_ns = option(argc, argv, "--ms", 30) * NS_PER_MS;
  int ports[2], port = 0;
  must(!pipe(ports), "pipe");
  if (!fork()) slow_server(ports[1]);
  must(read(ports[0], &port, sizeof(port)) == sizeof(port), "read");
  ready(argc, argv);

  struct pair p = tcp(AF_INET, 0, 0);
  all_transfers(&p, 0);
  close_pair(&p);
  p = tcp(AF_INET6, 0, 1);
  all_transfers(&p, 1);
  close_pair(&p);
  p = tcp(AF_INET6, 1, 0);
  all_transfers(&p, 4);
  close_pair(&p);
  unix_sockets(path);
  datagrams();
  errors();
  files();
  many_destinations(option(argc, argv, "--destinations", 0));
  waiting_calls();

  char slow[64], byte = 'x';
  snprintf(slow, sizeof(slow), "remote 127.0.0.1 %d", port);
  int fd = (int)DO(SYS_socket, NULL, NONE, AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in to = v4(port);
  must(!DO(SYS_connect, slow, NONE, fd, &to, sizeof(to)), "connect");
  uint64_t blocked = 0;
  for (int i = 0; i < ANSWERS; i++) {
    DO(SYS_sendto, slow, OUT, fd, &byte, 1, 0, NULL, 0);
    uint64_t from = monotonic_ns();
    must(DO(SYS_recvfrom, slow, IN, fd, &byte, 1, 0, NULL, NULL) == 1, "recvfrom");
    blocked += monotonic_ns() - from;
  }
  close_socket(fd, slow);
  print_result(slow, blocked);
  return 0;
}
