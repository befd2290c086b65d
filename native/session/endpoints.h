// Endpoints as the BPF programs tell them, and as the socket calls of the C library do.
#pragma once
#include <arpa/inet.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>

#include "../../bpf/events.h"

namespace lowflame {

inline std::tuple<uint64_t, uint64_t, uint64_t> EndpointKey(const lf_endpoint& end) {
  uint64_t what;
  static_assert(offsetof(lf_endpoint, addr) == sizeof(what));
  memcpy(&what, &end, sizeof(what));
  return {what, end.addr[0], end.addr[1]};
}

// An IPv4 address that is mapped into IPv6 is told as what it is (RFC 4291, 2.5.5.2).
inline void SetAddress(const sockaddr_storage& a, lf_endpoint* end) {
  end->addr[0] = end->addr[1] = 0;
  if (a.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(a);
    end->family = AF_INET;
    end->addr[0] = in.sin_addr.s_addr;
    end->port = ntohs(in.sin_port);
    return;
  }
  const auto& in = reinterpret_cast<const sockaddr_in6&>(a);
  end->port = ntohs(in.sin6_port);
  if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) {
    uint32_t v4;
    memcpy(&v4, in.sin6_addr.s6_addr + 12, sizeof(v4));
    end->family = AF_INET;
    end->addr[0] = v4;
  } else {
    memcpy(end->addr, &in.sin6_addr, sizeof(end->addr));
  }
}

}  // namespace lowflame
