// What /proc tells of TCP: connections in CLOSE-WAIT and counters, of each network namespace that a process lives in.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tcp_diag.h"

namespace lowflame {

struct TcpConnection {
  uint64_t inode;  // of the socket; 0 = no process has it open
  sockaddr_storage own, peer;
  uint32_t queue;    // of a listening socket: connections that wait to be accepted
  uint32_t network;  // inode of its namespace
};

struct TcpState {
  std::vector<TcpConnection> close_wait;
  std::vector<TcpConnection> queues;                  // listening sockets for which connections wait
  std::set<std::pair<uint32_t, uint16_t>> listening;  // network namespaces and ports
  TcpDiag diag;                                       // of both, where there are any
  std::set<uint32_t> networks;
  uint64_t listen_overflows = 0, listen_drops = 0;
  // of the connections that are not in close_wait because there were too many, and of the namespaces not read
  uint64_t left_out = 0;
};

// Inode of the network namespace of a process, "self" or a pid; 0 where it cannot be read.
uint32_t NetworkOf(const std::string& process);

// Inode of another network namespace than our own, of which the low half is known: that of a namespace that was seen,
// else the lowest that it can be. 0 for our own, and where `low` is 0.
uint32_t OtherNetwork(const TcpState& seen, uint16_t low);

// Of all network namespaces (proc_pid_net(5)). Reads what it can; a process that ends meanwhile is passed over.
TcpState ReadTcpState();

struct SocketHolder {
  uint32_t pid;
  int fd;
};
// Which process has each socket open, by inode, found in /proc/PID/fd; gives up after `limit_ms` ms.
std::map<uint64_t, SocketHolder> FindHolders(const std::vector<uint64_t>& inodes, int limit_ms);

}  // namespace lowflame
