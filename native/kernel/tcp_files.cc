// TCP as /proc tells it: see tcp_files.h.
#include "tcp_files.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>

#include "machine.h"
#include "tcp_diag.h"
#include "tcp_states.h"

namespace lowflame {
namespace {

constexpr size_t kMaxNamespaces = 256;
constexpr size_t kMaxCloseWait = 65536;
constexpr uint32_t kFirstInode = 0xf0000000;  // of namespaces: PROC_DYNAMIC_FIRST in fs/proc/generic.c

struct CloseFile {
  void operator()(FILE* f) const { fclose(f); }
};
struct CloseDirectory {
  void operator()(DIR* d) const { closedir(d); }
};

std::vector<uint32_t> Processes() {
  std::vector<uint32_t> pids;
  std::unique_ptr<DIR, CloseDirectory> proc(opendir("/proc"));
  while (dirent* e = proc ? readdir(proc.get()) : nullptr) {
    char* end;
    const unsigned long pid = strtoul(e->d_name, &end, 10);
    if (end != e->d_name && !*end) pids.push_back(static_cast<uint32_t>(pid));
  }
  return pids;
}

std::string LinkOf(const std::string& path) {
  char target[64];
  const ssize_t n = readlink(path.c_str(), target, sizeof(target));
  return n > 0 ? std::string(target, static_cast<size_t>(n)) : std::string();
}

// "0100007F:1F90": words of the address as they lie in memory, and the port as a number.
bool ParseAddress(const char* text, sockaddr_storage* out) {
  const char* colon = strchr(text, ':');
  unsigned port;
  if (!colon || sscanf(colon + 1, "%x", &port) != 1) return false;
  const auto length = static_cast<size_t>(colon - text);
  uint32_t words[4] = {};
  for (size_t i = 0; i < length / 8 && i < 4; i++)
    if (sscanf(text + i * 8, "%8" SCNx32, &words[i]) != 1) return false;
  memset(out, 0, sizeof(*out));
  if (length == 8) {
    auto* in = reinterpret_cast<sockaddr_in*>(out);
    in->sin_family = AF_INET;
    in->sin_port = htons(static_cast<uint16_t>(port));
    in->sin_addr.s_addr = words[0];
    return true;
  }
  if (length != 32) return false;
  auto* in = reinterpret_cast<sockaddr_in6*>(out);
  in->sin6_family = AF_INET6;
  in->sin6_port = htons(static_cast<uint16_t>(port));
  memcpy(&in->sin6_addr, words, sizeof(words));
  return true;
}

// Lines of /proc/net/tcp: number, own address, other address, state, queues, timer, retransmits, uid, timeout, inode.
void ReadConnections(const std::string& path, uint32_t network, TcpState* out) {
  std::unique_ptr<FILE, CloseFile> f(fopen(path.c_str(), "re"));
  char line[512];
  if (!f || !fgets(line, sizeof(line), f.get())) return;
  while (fgets(line, sizeof(line), f.get())) {
    char own[40], peer[40];
    unsigned state, queue;
    unsigned long long inode;
    if (sscanf(line, " %*u: %39s %39s %x %*8x:%x %*s %*s %*u %*u %llu", own, peer, &state, &queue, &inode) != 5)
      continue;
    TcpConnection c;
    if ((state != kCloseWait && state != kListen) || !ParseAddress(own, &c.own) || !ParseAddress(peer, &c.peer))
      continue;
    c.inode = inode;
    c.queue = queue;
    c.network = network;
    if (state == kListen) {
      if (queue && out->queues.size() >= kMaxCloseWait)
        out->left_out++;
      else if (queue)
        out->queues.push_back(c);
      // the port is at the same place in both kinds of address
      out->listening.emplace(network, ntohs(reinterpret_cast<const sockaddr_in&>(c.own).sin_port));
      continue;
    }
    if (out->close_wait.size() >= kMaxCloseWait) {
      out->left_out++;
      continue;
    }
    out->close_wait.push_back(c);
  }
}

// Two lines a group: the names, then the values.
void ReadCounters(const std::string& path, TcpState* out) {
  std::istringstream lines(ReadSmallFile(path));
  std::string names, values;
  while (std::getline(lines, names) && std::getline(lines, values)) {
    if (names.compare(0, 7, "TcpExt:") != 0) continue;
    std::istringstream name_words(names), value_words(values);
    std::string name, value;
    while (name_words >> name && value_words >> value) {
      if (name == "ListenOverflows") out->listen_overflows += strtoull(value.c_str(), nullptr, 10);
      if (name == "ListenDrops") out->listen_drops += strtoull(value.c_str(), nullptr, 10);
    }
  }
}

}  // namespace

uint32_t NetworkOf(const std::string& process) {
  unsigned inode = 0;
  return sscanf(LinkOf("/proc/" + process + "/ns/net").c_str(), "net:[%u]", &inode) == 1 ? inode : 0;
}

uint32_t OtherNetwork(const TcpState& seen, uint16_t low) {
  static const uint32_t own = NetworkOf("self");
  if (!low || low == static_cast<uint16_t>(own)) return 0;
  for (uint32_t known : seen.networks)
    if (low == static_cast<uint16_t>(known)) return known;
  return kFirstInode | low;
}

TcpState ReadTcpState() {
  TcpState state;
  const uint32_t own = NetworkOf("self");
  for (uint32_t pid : Processes()) {
    const std::string proc = "/proc/" + std::to_string(pid);
    const uint32_t network = NetworkOf(std::to_string(pid));
    if (!network || state.networks.count(network)) continue;
    if (state.networks.size() >= kMaxNamespaces) {
      state.left_out++;
      continue;
    }
    state.networks.insert(network);
    ReadCounters(proc + "/net/netstat", &state);
    const size_t before = state.close_wait.size() + state.queues.size();
    ReadConnections(proc + "/net/tcp", network, &state);
    ReadConnections(proc + "/net/tcp6", network, &state);
    if (state.close_wait.size() + state.queues.size() > before)
      ReadTcpDiag(network == own ? "" : proc + "/ns/net", kMaxCloseWait, &state.diag);
  }
  return state;
}

std::map<uint64_t, SocketHolder> FindHolders(const std::vector<uint64_t>& inodes, int limit_ms) {
  std::map<uint64_t, SocketHolder> found;
  const std::set<uint64_t> wanted(inodes.begin(), inodes.end());
  const uint64_t until = MonotonicNs() + static_cast<uint64_t>(limit_ms) * 1000000;
  for (uint32_t pid : Processes()) {
    const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
    std::unique_ptr<DIR, CloseDirectory> fds(opendir(folder.c_str()));
    while (dirent* e = fds ? readdir(fds.get()) : nullptr) {
      unsigned long long inode;
      if (sscanf(LinkOf(folder + "/" + e->d_name).c_str(), "socket:[%llu]", &inode) != 1 || !wanted.count(inode))
        continue;
      found.emplace(inode, SocketHolder{pid, atoi(e->d_name)});
      if (found.size() == wanted.size()) return found;
    }
    if (MonotonicNs() > until) break;
  }
  return found;
}

}  // namespace lowflame
