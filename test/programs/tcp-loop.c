// Threads that send one byte after the other to themselves over TCP on the loopback device: each has a connection of
// its own, so that they meet at no lock but those of who traces them. Prints how many bytes they sent.
//
//   tcp-loop [--threads 4] [--ms 2000] [--hold]
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include "program.h"

struct pair {
  int from, to;
  uint64_t sent;
};

static uint64_t until_ns;

static struct pair connect_pair(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  struct pair p = {.from = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || p.from < 0 || bind(listener, (struct sockaddr*)&address, size) || listen(listener, 1) ||
      getsockname(listener, (struct sockaddr*)&address, &size) || connect(p.from, (struct sockaddr*)&address, size) ||
      (p.to = accept(listener, NULL, NULL)) < 0) {
    perror("loopback connection");
    exit(1);
  }
  close(listener);
  return p;
}

NOINLINE void* send_and_receive(void* arg) {
  struct pair* p = arg;
  char c = 0;
  while (monotonic_ns() < until_ns) {
    if (send(p->from, &c, 1, 0) != 1 || recv(p->to, &c, 1, 0) != 1) abort();
    p->sent++;
  }
  return NULL;
}

int main(int argc, char** argv) {
  uint64_t threads = option(argc, argv, "--threads", 4), ms = option(argc, argv, "--ms", 2000), sent = 0;
  struct pair pairs[64];
  pthread_t ids[64];
  if (threads < 1 || threads > 64) return 2;
  for (uint64_t i = 0; i < threads; i++) pairs[i] = connect_pair();
  ready(argc, argv);
  uint64_t from = monotonic_ns();
  until_ns = from + ms * NS_PER_MS;
  for (uint64_t i = 0; i < threads; i++)
    if (pthread_create(&ids[i], NULL, send_and_receive, &pairs[i])) return 1;
  for (uint64_t i = 0; i < threads; i++) {
    pthread_join(ids[i], NULL);
    sent += pairs[i].sent;
  }
  printf("{\"event\":\"result\",\"sent\":%llu,\"wallNs\":%llu,\"threads\":%llu}\n", (unsigned long long)sent,
         (unsigned long long)(monotonic_ns() - from), (unsigned long long)threads);
  return 0;
}
