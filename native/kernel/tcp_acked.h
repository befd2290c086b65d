// How many bytes of its connections in CLOSE-WAIT the other side has got: which of them are still in use.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace lowflame {

// Adds the bytes that the other side has acknowledged, by inode of the socket, of each connection in CLOSE-WAIT in the
// network namespace that the file `network` stands for ("" = our own). Those of which the kernel does not tell it
// (sock_diag(7) with tcp_info, 4.1 and later), and those beyond `most` of them in all, are left out.
void ReadAcknowledged(const std::string& network, size_t most, std::map<uint64_t, uint64_t>* out);

}  // namespace lowflame
