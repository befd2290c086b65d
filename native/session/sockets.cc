// The sockets source of a session: slow calls one by one, exact totals by call and by endpoint, calls that did not
// return.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "endpoints.h"
#include "session.h"

namespace lowflame {
namespace {

// More would not fit into the last record of a capture.
constexpr size_t kMaxEndpoints = 16384;
constexpr size_t kDescriptorsTold = 256;
constexpr uint64_t kSocketCountsNs = 1000000000;

// A unix name: '@' stands for the zero byte that an abstract one begins with, and for others within (unix(7)).
std::string UnixName(const char* name, uint32_t length) {
  const bool abstract = length && !name[0];
  std::string text(name, abstract ? length : strnlen(name, length));
  std::replace(text.begin(), text.end(), '\0', '@');
  return text;
}

std::string AddressText(const lf_endpoint& end, const char* name, uint32_t name_length) {
  if (name_length) return UnixName(name, std::min<uint32_t>(name_length, LF_UNIX_PATH));
  if (end.role == LF_END_PROCESS) return std::to_string(end.addr[0]);
  char text[INET6_ADDRSTRLEN] = "";
  if (end.family == AF_INET || end.family == AF_INET6) inet_ntop(end.family, end.addr, text, sizeof(text));
  return text;
}

// How many descriptors a process has open: the size of its folder, which kernels before 6.2 do not tell (0).
uint64_t OpenDescriptors(uint32_t tgid) {
  struct stat folder {};
  const std::string path = "/proc/" + std::to_string(tgid) + "/fd";
  return stat(path.c_str(), &folder) || folder.st_size < 0 ? 0 : static_cast<uint64_t>(folder.st_size);
}

// Lines of questions that are owed an answer, or may be: as lf_open_turns marked them.
std::vector<lf_turn> OwedTurns(int map) {
  std::vector<lf_turn> owed;
  for (uint32_t i = 0; i < LF_TURNS; i++) {
    lf_turn line;
    if (!bpf_map_lookup_elem(map, &i, &line) && line.flags & (LF_TURN_OWED | LF_TURN_MAYBE)) owed.push_back(line);
  }
  return owed;
}

// Where an answer is owed only if somebody waits for who asked: whether that process was itself asked, at most a second
// before it did, and has not answered yet.
bool IsOwed(const lf_turn& line, const std::vector<lf_turn>& lines) {
  if (line.flags & LF_TURN_OWED) return true;
  return std::any_of(lines.begin(), lines.end(), [&line](const lf_turn& other) {
    return other.end.role == LF_END_NONE && other.tgid == line.tgid && other.start_time_ns == line.start_time_ns &&
           other.since_ns <= line.since_ns && line.since_ns - other.since_ns < LF_GAVE_UP_NS;
  });
}

}  // namespace

void Session::LoadSockets() {
  call_object_ = std::make_unique<Object>(features_.rdonly_cast ? Object::Kind::kSocketsCast : Object::Kind::kSockets);
  object_config_.ring_bytes = call_ring_bytes_;
  std::vector<std::string> programs{"lf_call_enter", "lf_call_exit", "lf_open_calls", "lf_open_turns"};
  if (features_.uring) programs.push_back("lf_call_uring");
  if (features_.tcp)
    for (const char* name : {"lf_tcp_state", "lf_tcp_again", "lf_tcp_reset_out", "lf_tcp_reset_in", "lf_connecting"})
      programs.push_back(name);
  call_object_->Configure(object_config_, programs);
  call_object_->SetReceiver(
      [this](const lf_record* r, size_t n) { OnCallRecord(reinterpret_cast<const lf_record_call*>(r), n); });
  call_object_->ShareMap("lf_call_slots", off_object_->MapFd("lf_call_slots"));
  LoadWithUnwinding(call_object_.get());
  call_object_->FillFilters(object_config_);
}

int64_t Session::EndpointId(const lf_endpoint& end, const char* name, uint32_t name_length) {
  if (end.role == LF_END_NONE) return -1;
  auto key = EndpointKey(end);
  auto known = endpoint_ids_.find(key);
  if (known != endpoint_ids_.end()) return known->second;
  if (endpoint_ids_.size() >= kMaxEndpoints) {
    endpoints_dropped_++;
    return -1;
  }
  auto id = static_cast<uint32_t>(endpoint_ids_.size());
  endpoint_ids_.emplace(key, id);
  work_.tables.endpoints.push_back({id, end.role, end.family, end.port, end.protocol,
                                    AddressText(end, name, name_length), OtherNetwork(tcp_start_, end.network)});
  return id;
}

void Session::OnCallRecord(const lf_record_call* r, size_t size) {
  constexpr size_t kUserAt = offsetof(lf_record_call, frames);
  if (r->h.kind != LF_RECORD_CALL || size < kUserAt + r->h.user_frames * sizeof(uint64_t)) return;
  r = reinterpret_cast<const lf_record_call*>(TakeUserHalf(&r->h, &size, kUserAt));
  const lf_record& h = r->h;
  uint32_t process = interner_->Process(h.tgid, h.start_time_ns, h.leader_comm, false);
  RawStack raw;
  raw.user = reinterpret_cast<const uint64_t*>(r->frames);
  raw.user_frames = h.user_frames;
  raw.time_ns = h.time_ns;
  CallRow row{};
  row.time_ns = static_cast<double>(h.time_ns - std::min<uint64_t>(h.time_ns, start_.start_monotonic_ns));
  row.duration_ns = static_cast<double>(h.duration_ns);
  row.busy_ns = static_cast<double>(h.weight_ns);
  row.blocked_ns = static_cast<double>(r->blocked_ns);
  row.waiting_ns = static_cast<double>(r->waiting_ns);
  row.result = static_cast<double>(r->result);
  row.thread = interner_->Thread(h.tid, process, h.comm);
  bool cut = false;
  row.stack = interner_->Stack(process, raw, &cut);
  row.flags = FlagsOf(h, cut);
  row.fd = static_cast<uint32_t>(h.syscall_arg0);
  row.syscall = h.syscall;
  row.endpoint = EndpointId(r->end, r->name, r->name_length);
  work_.tables.calls.push_back(row);
}

// Empties the rings; once a second tells who has opened and closed sockets.
void Session::DrainCalls() {
  call_object_->Drain();
  const uint64_t now = MonotonicNs();
  TakeEndedCalls(now);
  if (now < next_socket_counts_ns_) return;
  next_socket_counts_ns_ = now + kSocketCountsNs;
  EndDescriptorSecond(now);
  std::map<std::pair<uint32_t, uint64_t>, std::pair<uint64_t, uint64_t>> counts;
  for (auto& [cpu, state] : cpus_) {
    const auto* area = call_object_->AreaOf<lf_call_area>(cpu);
    for (int i = 0; area && i < LF_CALL_ROWS; i++) {
      const lf_call_row& r = area->call[i];
      const uint64_t done = r.count - std::min<uint64_t>(r.errors, r.count);
      if (!r.key || !done) continue;
      const auto nr = static_cast<uint32_t>(r.key >> 32 & 0x7fffffff);
      const uint64_t opened = nr == SYS_socketpair ? 2 : nr == SYS_socket || nr == SYS_accept || nr == SYS_accept4;
      if (!opened && nr != SYS_close) continue;
      auto& [opens, closes] = counts[{static_cast<uint32_t>(r.key), r.start_time_ns}];
      opens += opened * done;
      closes += opened ? 0 : done;
    }
  }
  const auto time = static_cast<double>(now - std::min(now, start_.start_monotonic_ns));
  for (const auto& [key, count] : counts) {
    auto& last = socket_counts_[key];
    if (last == count) continue;
    last = count;
    int64_t process = ProcessOfRow(key.first, key.second, false);
    if (process >= 0)
      work_.tables.socket_counts.push_back(
          {time, static_cast<uint32_t>(process), count.first, count.second, OpenDescriptors(key.first)});
  }
}

void Session::EndDescriptorSecond(uint64_t now_ns) {
  for (auto& [cpu, state] : cpus_)
    if (const auto* area = call_object_->AreaOf<lf_call_area>(cpu)) descriptor_seconds_.Add(cpu, area->fd);
  descriptor_seconds_.End(start_.start_monotonic_ns, now_ns);
}

void Session::CollectCalls() {
  if (descriptor_seconds_.IsLong(start_.start_monotonic_ns, final_.end_monotonic_ns))
    EndDescriptorSecond(final_.end_monotonic_ns);
  uint64_t sum[LF_CALLS_COUNTERS] = {}, uring = 0;
  std::map<std::pair<int64_t, uint32_t>, DescriptorTotal> descriptors;
  for (auto& [cpu, state] : cpus_) {
    const auto* area = call_object_->AreaOf<lf_call_area>(cpu);
    if (!area) continue;
    for (int i = 0; i < LF_CALLS_COUNTERS; i++)
      sum[i] += area->counter[i] + area->enter_counter[i] + area->tcp_counter[i];
    uring += area->uring_requests;
    for (int i = 0; i <= LF_CALL_ROWS; i++) {
      const lf_call_row& r = area->call[i];
      if (r.count) AddCallRow(r, i == LF_CALL_ROWS);
    }
    for (int i = 0; i <= LF_ENDPOINT_ROWS; i++) {
      const lf_endpoint_row& r = area->endpoint[i];
      if (r.count || r.turns || r.closed) AddEndpointRow(r, i == LF_ENDPOINT_ROWS);
    }
    for (const lf_fd_row& r : area->fd) {
      if (!r.count) continue;
      int64_t process = ProcessOfTotals(static_cast<uint32_t>((r.key - 1) >> 32), r.start_time_ns);
      auto fd = static_cast<uint32_t>(r.key - 1);
      DescriptorTotal& t = descriptors[{process, fd}];
      const uint64_t lasted = final_.end_monotonic_ns - std::min<uint64_t>(r.since_ns, final_.end_monotonic_ns);
      t.process = process;
      t.fd = fd;
      t.endpoint = EndpointId(r.end, nullptr, 0);
      t.count += r.count;
      t.again += r.again;
      t.for_ns = std::max(t.for_ns, lasted);
      t.worst = descriptor_seconds_.Worst({r.key, r.start_time_ns});
    }
  }
  // who still waits for an answer has waited for it so long at least
  const std::vector<lf_turn> lines = OwedTurns(call_object_->MapFd("lf_turns"));
  for (const lf_turn& line : lines) {
    if (line.end.role == LF_END_NONE || !IsOwed(line, lines)) continue;
    const bool repeats = line.end.protocol == IPPROTO_UDP;
    const uint64_t asked_ns = line.since_ns + (repeats ? 0 : line.ns);
    if (asked_ns > final_.end_monotonic_ns) continue;
    const uint64_t ns = final_.end_monotonic_ns - asked_ns;
    const int64_t process = ProcessOfTotals(line.tgid, line.start_time_ns);
    auto found = endpoint_totals_.find({process, EndpointId(line.end, nullptr, 0)});
    if (found == endpoint_totals_.end()) continue;  // cut, or in the row "other"
    EndpointTotal& t = found->second;
    // who goes on sending to an end that never sends anything (a log) wants no answer
    if (t.bytes_in == 0 && line.sends > 1 && !repeats) continue;
    t.turns++;
    t.unanswered++;
    t.unanswered_ns += ns;
    t.turn_ns += ns;
    t.turn_max_ns = std::max(t.turn_max_ns, ns);
    t.turn_buckets[BucketOf(ns)]++;
    t.whole_ns += ns;
    t.whole_max_ns = std::max(t.whole_max_ns, ns);
    t.whole_buckets[BucketOf(ns)]++;
  }
  for (auto& [key, t] : call_totals_) final_.call_totals.push_back(std::move(t));
  for (auto& [key, t] : endpoint_totals_) final_.endpoint_totals.push_back(std::move(t));
  for (auto& [key, t] : descriptors) final_.descriptor_totals.push_back(t);
  std::sort(final_.descriptor_totals.begin(), final_.descriptor_totals.end(),
            [](const DescriptorTotal& a, const DescriptorTotal& b) { return a.count > b.count; });
  if (final_.descriptor_totals.size() > kDescriptorsTold) final_.descriptor_totals.resize(kDescriptorsTold);
  auto loss = [&](const char* id, uint64_t count, const std::string& meaning) {
    final_.losses.push_back({id, count, meaning});
  };
  // what is not timed, beside all calls that are
  auto share = [&](uint64_t count) {
    if (!count) return std::string();
    char text[32];
    const auto all = static_cast<double>(count) + static_cast<double>(sum[LF_CALLS_SEEN]);
    snprintf(text, sizeof(text), ": %.3g %%", 100 * static_cast<double>(count) / all);
    return text + std::string(" of these and the timed calls together");
  };
  loss("sockets.ring_full", sum[LF_CALLS_RING_FULL] + sum[LF_CALLS_NO_RING],
       "slow calls that did not fit into their ring; totals still count them");
  loss("sockets.slow_left_out", sum[LF_CALLS_SLOW_LEFT_OUT],
       "slow calls beyond 500 a second and CPU: not listed one by one; totals still count them");
  loss("sockets.slot_collision", sum[LF_CALLS_SLOT_COLLISION],
       "calls of threads that found no slot in the thread table; not counted anywhere");
  loss("sockets.table_full", sum[LF_CALLS_TABLE_FULL] + calls_cut_,
       "calls that found no row; they are in the row \"other\"");
  loss("sockets.endpoints_full", sum[LF_CALLS_ENDPOINTS_FULL] + ends_cut_,
       "calls whose endpoint found no row; they are in the endpoint \"other\"");
  loss("sockets.endpoints_cut", endpoints_dropped_, "endpoints beyond the first 16,384, told without a name");
  loss("sockets.turns_replaced", sum[LF_CALLS_TURN_REPLACED],
       "answers and connects that were not timed: of the table of 8,192 sockets the places that theirs may have were "
       "taken by others that wait");
  loss("sockets.turns_cut", sum[LF_CALLS_TURN_CUT],
       "answers that had begun less than a second ago and were not timed any further: more sockets at once than lines");
  loss("sockets.compat", sum[LF_CALLS_COMPAT],
       "system calls made the 32-bit way that are for sockets alone (not read, write or poll); they "
       "are not timed" +
           share(sum[LF_CALLS_COMPAT]));
  loss("sockets.uring", uring, "requests of io_uring, on sockets or not; they are not timed" + share(uring));
  loss("sockets.user_unreadable", sum[LF_CALLS_USER_UNREADABLE], "slow calls whose user stack could not be read");
  CollectConnections();
  loss("sockets.user_truncated", sum[LF_CALLS_USER_TRUNCATED], "slow calls whose user stack filled all 127 frames");
}

}  // namespace lowflame
