// Reading socket addresses from a caller's memory: see named_end.h.
#include "named_end.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "../../bpf/unix-name.h"
#include "endpoints.h"

namespace lowflame {
namespace {

bool ReadFrom(uint32_t tid, uint64_t address, void* to, size_t size) {
  iovec own{to, size}, theirs{reinterpret_cast<void*>(address), size};
  return process_vm_readv(static_cast<pid_t>(tid), &own, 1, &theirs, 1, 0) == static_cast<ssize_t>(size);
}

struct Place {
  uint64_t address = 0, length = 0;
};

Place PlaceOfAddress(const lf_open_call& call) {
  switch (call.nr) {
    case SYS_connect:
      return {call.second, call.third & UINT32_MAX};
    case SYS_sendto:
      return {call.fifth, call.sixth & UINT32_MAX};
    case SYS_sendmsg: {
      msghdr m;
      if (!ReadFrom(call.tid, call.second, &m, sizeof(m))) return {};
      return {reinterpret_cast<uint64_t>(m.msg_name), m.msg_namelen};
    }
    default:
      return {};
  }
}

}  // namespace

std::optional<NamedEnd> EndNamedBy(const lf_open_call& call) {
  const bool unconnected =
      call.end.role == LF_END_LOCAL || (call.end.role == LF_END_LISTEN && call.end.family == AF_UNIX);
  const Place at = unconnected ? PlaceOfAddress(call) : Place{};
  sockaddr_storage address{};
  if (!at.address || at.length <= sizeof(address.ss_family) || at.length > sizeof(address) ||
      !ReadFrom(call.tid, at.address, &address, at.length))
    return {};
  const bool connects = call.nr == SYS_connect;
  NamedEnd named{call.end, ""};
  lf_endpoint& e = named.end;
  e.role = connects ? LF_END_REMOTE : LF_END_DATAGRAM;
  if ((address.ss_family == AF_INET && at.length >= sizeof(sockaddr_in)) ||
      (address.ss_family == AF_INET6 && at.length >= offsetof(sockaddr_in6, sin6_scope_id))) {
    e.family = static_cast<uint8_t>(address.ss_family);
    SetAddress(address, &e);
  } else if (address.ss_family == AF_UNIX) {
    const char* name = reinterpret_cast<const sockaddr_un*>(&address)->sun_path;
    size_t length = std::min<size_t>(at.length - offsetof(sockaddr_un, sun_path), LF_UNIX_PATH);
    // the kernel takes a path to end at its zero byte, which a bound socket's name has (unix_mkname_bsd)
    if (name[0]) length = std::min<size_t>(strnlen(name, length) + 1, LF_UNIX_PATH);
    named.name.assign(name, length);
    if (connects) e.role = LF_END_PATH;
    e.port = 0;
    lf_hash_name(name, static_cast<uint32_t>(length), &e);
  } else {
    return {};
  }
  return named;
}

}  // namespace lowflame
