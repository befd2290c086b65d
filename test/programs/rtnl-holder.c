// Multicast memberships, which all processes of a machine change under one lock (rtnl_mutex): a child joins hundreds of
// groups and leaves them all at once, by closing the socket, over and over; the parent joins and leaves one group, and
// sends and receives a datagram before each. Its setsockopt meets the child's close now and then and spins; its other
// calls are quick.
//
//   rtnl-holder [--groups 400] [--ms 10000] [--hold]
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "loopback.h"
#include "program.h"

static struct ip_mreqn group(uint32_t n) {
  struct ip_mreqn request = {.imr_multiaddr.s_addr = htonl(0xef000000U + n), .imr_ifindex = 1};
  return request;
}

// A network namespace of its own, so that the machine's limits stay as they are; the lock is the machine's all the
// same.
static void own_network(void) {
  must(!unshare(CLONE_NEWNET), "unshare");
  int limit = open("/proc/sys/net/ipv4/igmp_max_memberships", O_WRONLY), fd = socket(AF_INET, SOCK_DGRAM, 0);
  must(limit >= 0 && write(limit, "100000", 6) == 6, "igmp_max_memberships");
  struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  must(!ioctl(fd, SIOCSIFFLAGS, &lo), "lo up");
  close(limit);
  close(fd);
}

static void hold(uint32_t groups) {
  for (;;) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    for (uint32_t i = 0; i < groups; i++) {
      struct ip_mreqn one = group(i + 2);
      must(!setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &one, sizeof one), "join");
    }
    close(fd);
  }
}

int main(int argc, char** argv) {
  uint64_t groups = option(argc, argv, "--groups", 400), ns = option(argc, argv, "--ms", 10000) * NS_PER_MS;
  own_network();
  pid_t parent = getpid(), child = fork();
  must(child >= 0, "fork");
  if (!child) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) hold((uint32_t)groups);
    _exit(0);
  }
  int pair[2], fd = socket(AF_INET, SOCK_DGRAM, 0);
  must(fd >= 0 && !socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), "sockets");
  ready(argc, argv);
  struct ip_mreqn own = group(1);
  uint64_t until = monotonic_ns() + ns, changes = 0, longest = 0;
  for (; monotonic_ns() < until; changes++) {
    char byte = 0;
    for (int i = 0; i < 4; i++) must(send(pair[0], &byte, 1, 0) == 1 && recv(pair[1], &byte, 1, 0) == 1, "datagram");
    uint64_t before = monotonic_ns();
    must(!setsockopt(fd, IPPROTO_IP, changes % 2 ? IP_DROP_MEMBERSHIP : IP_ADD_MEMBERSHIP, &own, sizeof own),
         "own group");
    uint64_t took = monotonic_ns() - before;
    if (took > longest) longest = took;
  }
  kill(child, SIGKILL);
  printf("{\"event\":\"result\",\"changes\":%llu,\"longest\":%llu,\"holder\":%d}\n", (unsigned long long)changes,
         (unsigned long long)longest, child);
  return 0;
}
