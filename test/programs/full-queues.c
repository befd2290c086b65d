// Two threads in calls that do not return, to ends that do not take what they are sent: one connects to a unix socket
// whose queue of connections is full, one sends a datagram to a unix socket that nobody reads. Both begin once it is
// told to go. It waits to be killed.
//
//   full-queues --dir DIRECTORY [--hold]
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "program.h"

static struct sockaddr_un stream_end, datagram_end;

static struct sockaddr_un named(const char* dir, const char* name) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  if (snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", dir, name) >= (int)sizeof(a.sun_path)) abort();
  return a;
}

static int bound(int type, const struct sockaddr_un* a) {
  int fd = socket(AF_UNIX, type, 0);
  if (fd < 0 || bind(fd, (const struct sockaddr*)a, sizeof(*a))) {
    perror("bind");
    exit(1);
  }
  return fd;
}

NOINLINE void* connect_to_full(void* arg) {
  (void)arg;
  connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr*)&stream_end, sizeof(stream_end));
  return NULL;
}
NOINLINE void* send_to_full(void* arg) {
  (void)arg;
  sendto(socket(AF_UNIX, SOCK_DGRAM, 0), "x", 1, 0, (struct sockaddr*)&datagram_end, sizeof(datagram_end));
  return NULL;
}

int main(int argc, char** argv) {
  const char* dir = NULL;
  for (int i = 1; i + 1 < argc; i++)
    if (!strcmp(argv[i], "--dir")) dir = argv[i + 1];
  if (!dir) return 2;
  stream_end = named(dir, "stream");
  datagram_end = named(dir, "datagrams");
  int listener = bound(SOCK_STREAM, &stream_end);
  bound(SOCK_DGRAM, &datagram_end);
  if (listen(listener, 1)) return 1;
  for (;;) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(fd, (struct sockaddr*)&stream_end, sizeof(stream_end)) && errno == EAGAIN) break;
  }
  int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  while (sendto(sender, "x", 1, 0, (struct sockaddr*)&datagram_end, sizeof(datagram_end)) == 1) {
  }
  ready(argc, argv);
  pthread_t ids[2];
  if (pthread_create(&ids[0], NULL, connect_to_full, NULL) || pthread_create(&ids[1], NULL, send_to_full, NULL))
    return 1;
  pthread_join(ids[0], NULL);
  return 0;
}
