// What /proc tells of TCP: connections in CLOSE-WAIT and counters, of each network namespace that a process lives in.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace lowflame {

struct TcpConnection {
  uint64_t inode;  // of the socket; 0 = no process has it open
  sockaddr_storage own, peer;
  uint32_t queue;  // of a listening socket: connections that wait to be accepted
};

struct TcpState {
  std::vector<TcpConnection> close_wait;
  std::vector<TcpConnection> queues;  // listening sockets for which connections wait
  std::set<uint16_t> listening;       // ports
  uint64_t listen_overflows = 0, listen_drops = 0;
  // of the connections that are not in close_wait because there were too many, and of the namespaces not read
  uint64_t left_out = 0;
};

// Of all network namespaces (proc_pid_net(5)). Reads what it can; a process that ends meanwhile is passed over.
TcpState ReadTcpState();

struct SocketHolder {
  uint32_t pid;
  int fd;
};
// Which process has each socket open, by inode, found in /proc/PID/fd; gives up after `limit_ms` ms.
std::map<uint64_t, SocketHolder> FindHolders(const std::vector<uint64_t>& inodes, int limit_ms);

}  // namespace lowflame
