// Datagrams by address from sockets without another end: to a path and to an abstract name, many with one call of
// sendmmsg to several ports, and many with one call of recvmmsg from those. Then from connected sockets, to their own
// end and to others. Prints how many bytes went where.
//
//   socket-datagrams [--hold]
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "loopback.h"
#include "program.h"

#define PORTS 3
#define MESSAGES 12

/* Bound to `name`; one that begins with a zero byte is abstract. */
static int bound(struct sockaddr_un* a, socklen_t* length, const char* name, size_t n) {
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  memset(a, 0, sizeof(*a));
  a->sun_family = AF_UNIX;
  memcpy(a->sun_path, name, n);
  *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
  must(fd >= 0 && !bind(fd, (struct sockaddr*)a, *length), "bind");
  return fd;
}

int main(int argc, char** argv) {
  struct sockaddr_un path, abstract;
  socklen_t path_length, abstract_length;
  char name[64], hidden[64] = "";
  int n = snprintf(name, sizeof(name), "/tmp/socket-datagrams-%d", getpid());
  int m = snprintf(hidden + 1, sizeof(hidden) - 1, "socket-datagrams-%d", getpid());
  unlink(name);
  bound(&path, &path_length, name, (size_t)n);
  bound(&abstract, &abstract_length, hidden, (size_t)m + 1);
  int unix_fd = socket(AF_UNIX, SOCK_DGRAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0), ports[PORTS], fds[PORTS];
  struct sockaddr_in to[PORTS];
  for (int i = 0; i < PORTS; i++) {
    fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
    to[i] = v4(0);
    must(!bind(fds[i], (struct sockaddr*)&to[i], sizeof(to[i])), "bind");
    ports[i] = port_of(fds[i]);
    to[i].sin_port = htons((uint16_t)ports[i]);
  }
  ready(argc, argv);

  for (int i = 0; i < 7; i++)
    must(sendto(unix_fd, "READY=1", 7, 0, (struct sockaddr*)&path, path_length) == 7, "sendto");
  for (int i = 0; i < 5; i++) {
    struct iovec v = {.iov_base = "abstract", .iov_len = 8};
    struct msghdr h = {.msg_name = &abstract, .msg_namelen = abstract_length, .msg_iov = &v, .msg_iovlen = 1};
    must(sendmsg(unix_fd, &h, 0) == 8, "sendmsg");
  }
  /* message i has i + 1 bytes and goes to port i mod 3 */
  struct mmsghdr many[MESSAGES];
  struct iovec parts[MESSAGES];
  char data[MESSAGES] = "";
  memset(many, 0, sizeof(many));
  uint64_t bytes[PORTS] = {0};
  for (int i = 0; i < MESSAGES; i++) {
    parts[i] = (struct iovec){.iov_base = data, .iov_len = (size_t)i + 1};
    many[i].msg_hdr = (struct msghdr){
        .msg_name = &to[i % PORTS], .msg_namelen = sizeof(to[0]), .msg_iov = &parts[i], .msg_iovlen = 1};
    bytes[i % PORTS] += (uint64_t)i + 1;
  }
  must(sendmmsg(udp, many, MESSAGES, 0) == MESSAGES, "sendmmsg");

  /* back: one message of 3 bytes from the first port, two from the second, three from the third */
  struct sockaddr_in own = v4(port_of(udp)), from[MESSAGES];
  int back = 0;
  for (int i = 0; i < PORTS; i++)
    for (int j = 0; j <= i; j++, back++)
      must(sendto(fds[i], "abc", 3, 0, (struct sockaddr*)&own, sizeof(own)) == 3, "sendto");
  /* one empty message to each port */
  struct mmsghdr empty[PORTS];
  memset(empty, 0, sizeof(empty));
  for (int i = 0; i < PORTS; i++) empty[i].msg_hdr = (struct msghdr){.msg_name = &to[i], .msg_namelen = sizeof(to[0])};
  must(sendmmsg(udp, empty, PORTS, 0) == PORTS, "sendmmsg");
  char room[MESSAGES][8];
  for (int i = 0; i < back; i++) {
    parts[i] = (struct iovec){.iov_base = room[i], .iov_len = sizeof(room[i])};
    many[i].msg_hdr =
        (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof(from[0]), .msg_iov = &parts[i], .msg_iovlen = 1};
  }
  must(recvmmsg(udp, many, (unsigned)back, 0, NULL) == back, "recvmmsg");
  /* in vain: the buffer still has the address of the one before */
  socklen_t from_length = sizeof(from[0]);
  must(recvfrom(udp, room, 8, MSG_DONTWAIT, (struct sockaddr*)&from[0], &from_length) < 0, "recvfrom");
  /* connected to the first port: to it without and with its address, to the second with that, alone and with many */
  int linked = socket(AF_INET, SOCK_DGRAM, 0), known = socket(AF_UNIX, SOCK_DGRAM, 0);
  must(!connect(linked, (struct sockaddr*)&to[0], sizeof(to[0])), "connect");
  must(!connect(known, (struct sockaddr*)&path, path_length), "connect");
  for (int i = 0; i < 3; i++) must(send(linked, "to", 2, 0) == 2, "send");
  for (int i = 0; i < 2; i++)
    must(sendto(linked, "same", 4, 0, (struct sockaddr*)&to[0], sizeof(to[0])) == 4, "sendto");
  for (int i = 0; i < 5; i++)
    must(sendto(linked, "other", 5, 0, (struct sockaddr*)&to[1], sizeof(to[1])) == 5, "sendto");
  must(sendmmsg(linked, empty, PORTS, 0) == PORTS, "sendmmsg");
  for (int i = 0; i < 3; i++) must(send(known, "path", 4, 0) == 4, "send");
  must(sendto(known, "else", 4, 0, (struct sockaddr*)&abstract, abstract_length) == 4, "sendto");
  printf(
      "{\"event\":\"result\",\"path\":\"%s\",\"abstract\":\"@%s\",\"ports\":[%d,%d,%d],\"bytes\":[%llu,%llu,%llu]}\n",
      name, hidden + 1, ports[0], ports[1], ports[2], (unsigned long long)bytes[0], (unsigned long long)bytes[1],
      (unsigned long long)bytes[2]);
  fflush(stdout);
  unlink(name);
  return 0;
}
