// Connections of which it is not plain at first sight which side opened them: accepted from listen(fd, 0), opened from
// a port or a name that the client chose for itself. On each so many questions of 3 bytes and answers of 5 as it says,
// then it is closed, or reset by the client. Prints the end as either side must know it.
//
//   socket-roles --port 20000 [--dir /tmp] [--hold]      # and the nine ports behind it
#include <sys/socket.h>
#include <sys/un.h>

#include "loopback.h"
#include "program.h"

struct name {
  struct sockaddr_storage a;
  socklen_t length;
};

static struct name tcp(int port) {
  struct name n = {.length = sizeof(struct sockaddr_in)};
  struct sockaddr_in a = v4(port);
  memcpy(&n.a, &a, sizeof(a));
  return n;
}

/* A path, or with '@' in front an abstract name. */
static struct name local(const char* text) {
  struct name n = {0};
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  size_t length = strlen(text);
  must(length < sizeof(a.sun_path), "path");
  memcpy(a.sun_path, text, length);
  if (*text == '@') a.sun_path[0] = 0;
  memcpy(&n.a, &a, sizeof(a));
  n.length = (socklen_t)(sizeof(sa_family_t) + length + (*text == '@' ? 0 : 1));
  return n;
}

static int made(struct name* own) {
  int on = 1, fd = socket(own->a.ss_family, SOCK_STREAM, 0);
  must(fd >= 0, "socket");
  if (own->a.ss_family == AF_INET) must(!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), "SO_REUSEADDR");
  return fd;
}

static void converse(struct name server, int backlog, const struct name* client, int turns, int reset) {
  struct linger at_once = {.l_onoff = 1};
  int listener = made(&server), fd = made(&server), other;
  char bytes[5] = "12345";

  must(!bind(listener, (struct sockaddr*)&server.a, server.length), "bind");
  must(!listen(listener, backlog), "listen");
  if (client) must(!bind(fd, (const struct sockaddr*)&client->a, client->length), "bind client");
  must(!connect(fd, (struct sockaddr*)&server.a, server.length), "connect");
  other = accept(listener, NULL, NULL);
  must(other >= 0, "accept");
  for (int i = 0; i < turns; i++) {
    must(send(fd, bytes, 3, 0) == 3 && recv(other, bytes, 5, 0) == 3, "question");
    must(send(other, bytes, 5, 0) == 5 && recv(fd, bytes, 5, 0) == 5, "answer");
  }
  if (reset) must(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), "SO_LINGER");
  close(fd);
  must(recv(other, bytes, 1, 0) == (reset ? -1 : 0), "end");
  close(other);
  close(listener);
}

int main(int argc, char** argv) {
  int port = (int)option(argc, argv, "--port", 0);
  const char* dir = "/tmp";
  char served[100], named[100], abstract[100], abstract_client[100];

  for (int i = 1; i + 1 < argc; i++)
    if (!strcmp(argv[i], "--dir")) dir = argv[i + 1];
  must(port > 0, "--port");
  snprintf(served, sizeof(served), "%s/served", dir);
  snprintf(named, sizeof(named), "%s/client", dir);
  snprintf(abstract, sizeof(abstract), "@roles-%d", getpid());
  snprintf(abstract_client, sizeof(abstract_client), "@roles-client-%d", getpid());
  struct name own_port = tcp(port + 5), no_port = tcp(0), path = local(named), hidden = local(abstract_client);

  ready(argc, argv);
  converse(tcp(port), 0, NULL, 2, 0);
  converse(tcp(port + 1), 0, &own_port, 3, 0);
  converse(tcp(port + 2), 5, &own_port, 5, 0);
  converse(tcp(port + 3), 5, &no_port, 7, 0);
  converse(tcp(port + 4), 0, NULL, 11, 1);
  converse(tcp(port + 6), 0, &no_port, 13, 1);
  converse(local(served), 0, &path, 17, 0);
  unlink(served);
  unlink(named);
  converse(local(served), 5, NULL, 19, 0);
  unlink(served);
  converse(local(abstract), 5, &hidden, 23, 0);
  printf(
      "{\"event\":\"result\",\"tcp\":[[%d,2],[%d,3],[%d,5],[%d,7],[%d,11],[%d,13]],\"unix\":[[\"%s\",36],[\"%s\",23]]}"
      "\n",
      port, port + 1, port + 2, port + 3, port + 4, port + 6, served, abstract);
  return 0;
}
