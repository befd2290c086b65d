// Asks sock_diag(7) in the other network namespace: see tcp_diag.h.
#include "tcp_diag.h"

#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstddef>
#include <cstring>
#include <thread>
#include <vector>

#include "../core/unique_fd.h"
#include "tcp_states.h"

namespace lowflame {
namespace {

constexpr timeval kTimeout{1, 0};
constexpr size_t kAnswerBytes = 64 * 1024;

struct Request {
  nlmsghdr header;
  inet_diag_req_v2 body;
};

void ReadConnection(const nlmsghdr* message, size_t most, TcpDiag* out) {
  if (message->nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg))) return;
  const auto* connection = static_cast<const inet_diag_msg*>(NLMSG_DATA(message));
  if (connection->idiag_state == kListen) {
    if (out->backlog.size() < most) out->backlog.emplace(connection->idiag_inode, connection->idiag_wqueue);
    return;
  }
  if (out->acknowledged.size() >= most) return;
  auto left = static_cast<int>(message->nlmsg_len - NLMSG_LENGTH(sizeof(*connection)));
  for (auto* a = reinterpret_cast<const rtattr*>(connection + 1); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
    uint64_t acked;
    constexpr size_t kAt = offsetof(tcp_info, tcpi_bytes_acked);
    if (a->rta_type != INET_DIAG_INFO || RTA_PAYLOAD(a) < kAt + sizeof(acked)) continue;
    memcpy(&acked, static_cast<const char*>(RTA_DATA(a)) + kAt, sizeof(acked));
    out->acknowledged.emplace(connection->idiag_inode, acked);
  }
}

// Of one family; what comes before an error counts.
void Ask(int socket, uint8_t family, size_t most, TcpDiag* out) {
  Request request{};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.sdiag_family = family;
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_ext = 1 << (INET_DIAG_INFO - 1);
  request.body.idiag_states = 1 << kCloseWait | 1 << kListen;
  if (send(socket, &request, sizeof(request), 0) != sizeof(request)) return;
  std::vector<nlmsghdr> answer(kAnswerBytes / sizeof(nlmsghdr));
  for (;;) {
    const ssize_t n = recv(socket, answer.data(), kAnswerBytes, 0);
    if (n <= 0) return;
    auto left = static_cast<size_t>(n);
    for (const nlmsghdr* m = answer.data(); NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
      if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR) return;
      if (m->nlmsg_type == SOCK_DIAG_BY_FAMILY) ReadConnection(m, most, out);
    }
  }
}

void AskBoth(size_t most, TcpDiag* out) {
  // one for each family: what is left of an answer that was cut must not be taken for the next one
  for (const uint8_t family : {AF_INET, AF_INET6}) {
    const UniqueFd socket(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
    if (!socket || setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kTimeout, sizeof(kTimeout))) return;
    Ask(socket.get(), family, most, out);
  }
}

}  // namespace

void ReadTcpDiag(const std::string& network, size_t most, TcpDiag* out) {
  if (network.empty()) return AskBoth(most, out);
  // a socket belongs to the namespace of the thread that makes it: this one goes there and ends
  std::thread([&] {
    const UniqueFd there(open(network.c_str(), O_RDONLY | O_CLOEXEC));
    if (there && !setns(there.get(), CLONE_NEWNET)) AskBoth(most, out);
  }).join();
}

}  // namespace lowflame
