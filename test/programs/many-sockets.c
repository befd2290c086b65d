// Threads that all wait for bytes on a socket of their own, and get them one after the other. Prints how many there
// were.
//
//   many-sockets [--threads 300] [--hold]
#include <pthread.h>
#include <sys/socket.h>

#include "program.h"

#define MOST 4096

static int pairs[MOST][2];

static void* wait_for_byte(void* pair) {
  char c;
  return (void*)(intptr_t)recv(((int*)pair)[0], &c, 1, 0);
}

int main(int argc, char** argv) {
  uint64_t threads = option(argc, argv, "--threads", 300), got = 0;
  pthread_t ids[MOST];
  if (threads > MOST) return 2;
  for (uint64_t i = 0; i < threads; i++)
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i])) return 1;
  ready(argc, argv);
  for (uint64_t i = 0; i < threads; i++)
    if (pthread_create(&ids[i], NULL, wait_for_byte, pairs[i])) return 1;
  for (uint64_t i = 0; i < threads; i++)
    if (send(pairs[i][1], "x", 1, 0) != 1) return 1;
  for (uint64_t i = 0; i < threads; i++) {
    void* result;
    pthread_join(ids[i], &result);
    got += (intptr_t)result == 1;
  }
  printf("{\"event\":\"result\",\"threads\":%llu}\n", (unsigned long long)got);
  return 0;
}
