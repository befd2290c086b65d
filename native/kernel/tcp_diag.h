// What only sock_diag(7) tells of TCP sockets: which connections in CLOSE-WAIT are still in use, and how many
// connections the queue of a listening socket holds.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace lowflame {

// By inode of the socket.
struct TcpDiag {
  std::map<uint64_t, uint64_t> acknowledged;  // bytes that the other side has got, of connections in CLOSE-WAIT
  std::map<uint64_t, uint32_t> backlog;       // of listening sockets
};

// Adds what the kernel tells in the network namespace that the file `network` stands for ("" = our own). What it does
// not tell (tcp_info of connections before 4.1), and what is beyond `most` of a kind, is left out.
void ReadTcpDiag(const std::string& network, size_t most, TcpDiag* out);

}  // namespace lowflame
