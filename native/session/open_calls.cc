// Socket calls that have not returned by the end of the recording, with their age.
#include <bpf/bpf.h>
#include <linux/tcp.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "../core/unique_fd.h"
#include "endpoints.h"
#include "session.h"
#include "task_record.h"

namespace lowflame {
namespace {

// A call that may wait on a socket for others; on any descriptor, but a socket is asked for.
bool MayBeSocketCall(int32_t nr) {
  switch (nr) {
    case SYS_read:
    case SYS_write:
    case SYS_readv:
    case SYS_writev:
    case SYS_sendfile:
    case SYS_splice:
    case SYS_connect:
    case SYS_accept:
    case SYS_accept4:
    case SYS_sendto:
    case SYS_recvfrom:
    case SYS_sendmsg:
    case SYS_recvmsg:
    case SYS_sendmmsg:
    case SYS_recvmmsg:
      return true;
    default:
      return false;
  }
}

bool IsSocket(uint32_t tgid, uint64_t fd) {
  char path[64], target[16] = "";
  snprintf(path, sizeof(path), "/proc/%u/fd/%llu", tgid, static_cast<unsigned long long>(fd));
  return readlink(path, target, sizeof(target) - 1) > 0 && !strncmp(target, "socket:", 7);
}

// Whether this side of a TCP connection most likely waits for no answer: the other sent data after it did, or it never
// sent any. Times are known in ticks. In a tie the other side may have spoken last, as to a subscriber; it can as well
// have been asked again at once, so no alarm rests on it. One that never sent data has a time, too, that of the
// connection.
bool NothingAsked(int fd) {
  tcp_info info{};
  socklen_t length = sizeof(info);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length)) return false;
  if (length >= offsetof(tcp_info, tcpi_data_segs_out) + sizeof(info.tcpi_data_segs_out)) {
    if (!info.tcpi_data_segs_out) return true;
    if (!info.tcpi_data_segs_in) return false;
    return info.tcpi_last_data_recv <= info.tcpi_last_data_sent;
  }
  return info.tcpi_last_data_recv < info.tcpi_last_data_sent;
}

}  // namespace

// Who is at the other end of a descriptor of another process, and whether it owes that process an answer, asked of the
// kernel through a copy of it.
int64_t Session::EndpointOfDescriptor(uint32_t tgid, uint32_t fd, bool* nothing_asked) {
  UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, tgid, 0)));
  if (!process) return -1;
  UniqueFd copy(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), fd, 0)));
  if (!copy) return -1;
  lf_endpoint end{};
  sockaddr_storage own{}, peer{};
  socklen_t own_length = sizeof(own), peer_length = sizeof(peer), int_length = sizeof(int);
  int protocol = 0, listens = 0;
  if (getsockname(copy.get(), reinterpret_cast<sockaddr*>(&own), &own_length)) return -1;
  getsockopt(copy.get(), SOL_SOCKET, SO_PROTOCOL, &protocol, &int_length);
  getsockopt(copy.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &int_length);
  const bool has_peer = !getpeername(copy.get(), reinterpret_cast<sockaddr*>(&peer), &peer_length);
  end.family = own.ss_family;
  end.protocol = static_cast<uint16_t>(protocol);
  if (own.ss_family == AF_INET || own.ss_family == AF_INET6) {
    // a connection of which the other end came to us is known by our own address
    SetAddress(own, &end);
    end.role = LF_END_ACCEPTED;
    *nothing_asked = protocol == IPPROTO_TCP && has_peer && NothingAsked(copy.get());
    const bool accepted = endpoint_ids_.count(EndpointKey(end)) != 0 || tcp_start_.listening.count(end.port) != 0;
    if (listens) {
      end.role = LF_END_LISTEN;
    } else if (!has_peer) {
      end.role = LF_END_LOCAL;
    } else if (!accepted) {
      SetAddress(peer, &end);
      end.role = LF_END_REMOTE;
    }
    return EndpointId(end, nullptr, 0);
  }
  if (own.ss_family == AF_UNIX) {
    const auto named = [](socklen_t length) { return length > sizeof(sa_family_t); };
    const bool remote = has_peer && named(peer_length);
    const auto& name = reinterpret_cast<const sockaddr_un&>(remote ? peer : own);
    const socklen_t length = remote ? peer_length : own_length;
    if (!named(length)) {
      ucred credentials{};
      socklen_t size = sizeof(credentials);
      if (!has_peer || getsockopt(copy.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) || credentials.pid <= 0)
        return -1;
      end.role = LF_END_PROCESS;
      end.addr[0] = static_cast<uint64_t>(credentials.pid);
      return EndpointId(end, nullptr, 0);
    }
    const auto bytes = static_cast<uint32_t>(length - sizeof(sa_family_t));
    end.role = remote ? LF_END_PATH : has_peer ? LF_END_SERVED : LF_END_LISTEN;
    end.addr[0] = std::hash<std::string>()(std::string(name.sun_path, bytes));
    end.addr[1] = 1;
    return EndpointId(end, name.sun_path, bytes);
  }
  end.role = LF_END_FAMILY;
  end.port = end.protocol;
  return EndpointId(end, nullptr, 0);
}

// Calls that have not returned by the end, with their age. One that began before the recording has no slot: the
// thread's saved registers tell which it is, and it counts from the start.
void Session::ChargeCalls() {
  std::map<uint32_t, lf_call_slot> slots;
  const int map = call_object_->MapFd("lf_call_slots");
  for (uint32_t i = 0; i < object_config_.call_sets; i++) {
    lf_call_set set;
    if (bpf_map_lookup_elem(map, &i, &set)) continue;
    for (const lf_call_slot& s : set.way)
      if (s.key) slots.emplace(static_cast<uint32_t>(s.key), s);
  }
  const uint64_t begin = start_.start_monotonic_ns, end = final_.end_monotonic_ns;
  const auto& cpus = config_.filters.cpus;
  std::vector<char> bytes = ReadTasks("lf_tasks", sizeof(TaskRecord));
  for (size_t at = 0; at + sizeof(TaskRecord) <= bytes.size(); at += sizeof(TaskRecord)) {
    TaskRecord t;
    memcpy(&t, bytes.data() + at, sizeof(t));
    lf_record& r = t.task.h;
    if (r.kernel_frames > LF_MAX_FRAMES) continue;
    auto found = slots.find(r.tid);
    lf_call_slot call{};
    if (found != slots.end()) {
      call = found->second;
      if (!call.enter_ns || call.enter_ns >= end) continue;
    } else {
      if (t.task.own_start_ns > begin || !MayBeSocketCall(r.syscall) || !IsSocket(r.tgid, r.syscall_arg0) ||
          !InWantedCgroup(r.tgid))
        continue;
      if (!cpus.empty() && std::find(cpus.begin(), cpus.end(), static_cast<int>(t.task.last_cpu)) == cpus.end())
        continue;
      call.enter_ns = begin;
      call.nr = static_cast<__u32>(r.syscall);
      call.fd = static_cast<__u32>(r.syscall_arg0);
    }
    const std::vector<uint64_t> frames = BothStacks("sockets", &t);
    r.futex_kind = 0;
    Sample wait = MakeWait(&r, frames.data(), LF_IN_PROGRESS);
    CallRow row{};
    row.time_ns = static_cast<double>(end - begin);
    row.duration_ns = static_cast<double>(end - call.enter_ns);
    const uint64_t off_since = std::max<uint64_t>(t.task.off_since_ns, begin);
    const uint64_t asleep = off_since >= call.enter_ns && end > off_since ? end - off_since : 0;
    row.blocked_ns = std::min(row.duration_ns, static_cast<double>(call.blocked_ns + asleep));
    row.busy_ns = row.duration_ns - row.blocked_ns;
    row.thread = wait.thread;
    row.stack = wait.stack;
    row.flags = wait.flags;
    row.fd = call.fd;
    row.syscall = static_cast<int32_t>(call.nr);
    bool nothing_asked = false;
    row.endpoint = EndpointOfDescriptor(r.tgid, call.fd, &nothing_asked);
    if (nothing_asked) row.flags |= LF_NOTHING_ASKED;
    work_.tables.calls.push_back(row);
  }
}

}  // namespace lowflame
