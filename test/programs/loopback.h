// For the programs that open sockets: addresses of this machine, and an end with a reason.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>

#include "program.h"

static inline struct sockaddr_in v4(int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}
static inline struct sockaddr_in6 v6(int port, int mapped) {
  struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  inet_pton(AF_INET6, mapped ? "::ffff:127.0.0.1" : "::1", &a.sin6_addr);
  return a;
}
static inline int port_of(int fd) {
  struct sockaddr_storage a;
  socklen_t n = sizeof(a);
  must(!getsockname(fd, (struct sockaddr*)&a, &n), "getsockname");
  return ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in*)&a)->sin_port : ((struct sockaddr_in6*)&a)->sin6_port);
}
