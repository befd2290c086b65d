// Socket calls that have not returned by the end of the recording, with their age.
#include <bpf/bpf.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "../core/unique_fd.h"
#include "named_end.h"
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
bool LastWordWasTheirs(int fd) {
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

// The calling thread stays on one CPU, whose memory the iterator uses, where the kernel lets it.
class OnCpu {
 public:
  explicit OnCpu(int cpu) {
    if (sched_getaffinity(0, sizeof(before_), Set(before_))) return;
    unsigned long only[kWords] = {};
    only[static_cast<size_t>(cpu) / kBits] = 1ul << static_cast<size_t>(cpu) % kBits;
    moved_ = !sched_setaffinity(0, sizeof(only), Set(only));
  }
  ~OnCpu() {
    if (moved_) sched_setaffinity(0, sizeof(before_), Set(before_));
  }
  OnCpu(const OnCpu&) = delete;
  OnCpu& operator=(const OnCpu&) = delete;
  explicit operator bool() const { return moved_; }

 private:
  static constexpr size_t kBits = 8 * sizeof(unsigned long), kWords = LF_MAX_CPUS / kBits;
  static cpu_set_t* Set(unsigned long* words) { return reinterpret_cast<cpu_set_t*>(words); }
  unsigned long before_[kWords] = {};
  bool moved_ = false;
};

}  // namespace

// Whether this side waits for no answer: one that the other side owes nobody, as far as it is known. Of questions
// before the recording TCP alone tells, through a copy of the descriptor.
bool Session::NothingAsked(uint32_t tgid, const lf_open_call& call) {
  if (call.end.role == LF_END_REMOTE || call.end.role == LF_END_PATH) {
    if (call.turn != LF_TURN_UNKNOWN) return call.turn == LF_TURN_ANSWERED;
    if (call.end.protocol != IPPROTO_TCP) return true;
  }
  if (call.end.protocol != IPPROTO_TCP || call.end.role == LF_END_LISTEN) return false;
  UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, tgid, 0)));
  if (!process) return false;
  UniqueFd copy(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), call.fd, 0)));
  return copy && LastWordWasTheirs(copy.get());
}

// The sockets that threads are in a call on, by thread.
std::map<uint32_t, lf_open_call> Session::OpenCalls() {
  std::map<uint32_t, lf_open_call> found;
  for (const auto& [cpu, state] : cpus_) {
    if (!call_object_->AreaOf<lf_call_area>(cpu)) continue;
    const OnCpu here(cpu);
    const std::vector<char> bytes = ReadTasks("lf_open_calls", sizeof(lf_open_call), call_object_.get());
    for (size_t at = 0; at + sizeof(lf_open_call) <= bytes.size(); at += sizeof(lf_open_call)) {
      lf_open_call call;
      memcpy(&call, bytes.data() + at, sizeof(call));
      found.emplace(call.tid, call);
    }
    // after those, which tell who waits
    ReadTasks("lf_open_turns", 1, call_object_.get());
    if (here) break;
  }
  return found;
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
  const std::map<uint32_t, lf_open_call> open = OpenCalls();
  const uint64_t begin = start_.start_monotonic_ns, end = final_.end_monotonic_ns;
  const auto& cpus = config_.filters.cpus;
  std::vector<char> bytes = ReadTasks("lf_tasks", sizeof(TaskRecord));
  for (size_t at = 0; at + sizeof(TaskRecord) <= bytes.size(); at += sizeof(TaskRecord)) {
    TaskRecord t;
    memcpy(&t, bytes.data() + at, sizeof(t));
    lf_record& r = t.task.h;
    if (r.kernel_frames > LF_MAX_FRAMES) continue;
    auto found = slots.find(r.tid);
    const auto seen = open.find(r.tid);
    lf_call_slot call{};
    auto fd = static_cast<__u32>(r.syscall_arg0);
    if (found != slots.end()) {
      call = found->second;
      if (!call.enter_ns || call.enter_ns >= end) continue;
      const bool first = call.call & LF_SLOT_FILE && !(call.call & LF_SLOT_THIRD);
      if (!first || static_cast<__u64>(r.syscall) != (call.call & LF_SLOT_NR)) fd = LF_NO_FD;
    } else {
      // of splice the third argument may be the socket: that is known to who has looked
      const bool known = seen != open.end() && static_cast<int32_t>(seen->second.nr) == r.syscall;
      if (t.task.own_start_ns > begin || !MayBeSocketCall(r.syscall) || !(known || IsSocket(r.tgid, r.syscall_arg0)) ||
          !InWantedCgroup(r.tgid))
        continue;
      if (!cpus.empty() && std::find(cpus.begin(), cpus.end(), static_cast<int>(t.task.last_cpu)) == cpus.end())
        continue;
      call.enter_ns = begin;
      call.call = static_cast<__u64>(r.syscall) & LF_SLOT_NR;
    }
    const auto nr = static_cast<int32_t>(call.call & LF_SLOT_NR);
    // of one that has gone on meanwhile nothing is known
    const lf_open_call* on =
        seen != open.end() && static_cast<int32_t>(seen->second.nr) == nr ? &seen->second : nullptr;
    const std::vector<uint64_t> frames = BothStacks(&t);
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
    // a close has given its descriptor back, whatever it waits for
    row.fd = nr == SYS_close ? LF_NO_FD : on ? on->fd : fd;
    row.syscall = nr;
    row.endpoint = -1;
    if (on) {
      const std::optional<NamedEnd> named = EndNamedBy(*on);
      row.endpoint = named ? EndpointId(named->end, named->name.data(), static_cast<uint32_t>(named->name.size()))
                           : EndpointId(on->end, on->name, on->name_length);
      if (nr != SYS_close && NothingAsked(r.tgid, *on)) row.flags |= LF_NOTHING_ASKED;
    }
    work_.tables.calls.push_back(row);
  }
}

}  // namespace lowflame
