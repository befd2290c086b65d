// One thread that sends itself a byte and receives it, over and over, or with --idle asks in vain (EAGAIN): calls on a
// socket that never block. Prints how many it made. With --good it asks in vain only after so long, ms, and rests for
// --rest-us after every 16 calls in vain; with --hop it goes from one of the first two CPUs to the other then.
//
//   socket-loop [--ms 2000] [--idle 0] [--good 0] [--rest-us 0] [--hop 0] [--tcp 1] [--hold]
#include <sched.h>
#include <sys/socket.h>

#include "loopback.h"
#include "program.h"

static void connect_pair(int* pair) {
  struct sockaddr_in a = v4(0);
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  must(listener >= 0, "socket");
  must(!bind(listener, (struct sockaddr*)&a, sizeof(a)), "bind");
  must(!listen(listener, 1), "listen");
  a = v4(port_of(listener));
  pair[0] = socket(AF_INET, SOCK_STREAM, 0);
  must(!connect(pair[0], (struct sockaddr*)&a, sizeof(a)), "connect");
  pair[1] = accept(listener, NULL, NULL);
  must(pair[1] >= 0, "accept");
}

int main(int argc, char** argv) {
  uint64_t ms = option(argc, argv, "--ms", 2000), idle = option(argc, argv, "--idle", 0), calls = 0;
  uint64_t good = option(argc, argv, "--good", 0) * NS_PER_MS, rest_us = option(argc, argv, "--rest-us", 0);
  int hop = option(argc, argv, "--hop", 0), cpu = 0;
  int pair[2];
  if (option(argc, argv, "--tcp", 1))
    connect_pair(pair);
  else
    must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
  ready(argc, argv);
  uint64_t from = monotonic_ns(), until = from + ms * NS_PER_MS;
  while (monotonic_ns() < until) {
    char c = 0;
    const int in_vain = idle && monotonic_ns() - from >= good;
    if (in_vain && rest_us) usleep(rest_us);
    if (in_vain && hop) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpu = !cpu, &one);
      must(!sched_setaffinity(0, sizeof(one), &one), "sched_setaffinity");
    }
    for (int i = 0; i < 16; i++) {
      if (in_vain) {
        must(recv(pair[1], &c, 1, MSG_DONTWAIT) < 0, "no byte was sent");
        calls++;
      } else {
        must(send(pair[0], &c, 1, 0) == 1, "send");
        must(recv(pair[1], &c, 1, 0) == 1, "recv");
        calls += 2;
      }
    }
  }
  printf("{\"event\":\"result\",\"calls\":%llu,\"wallNs\":%llu}\n", (unsigned long long)calls,
         (unsigned long long)(monotonic_ns() - from));
  return 0;
}
