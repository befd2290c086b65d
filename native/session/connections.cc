// TCP connections of a session: totals by endpoint, and what stayed in CLOSE-WAIT from the start to the end.
#include <algorithm>
#include <cstring>
#include <set>

#include "endpoints.h"
#include "session.h"
#include "task_record.h"

namespace lowflame {
namespace {

constexpr int kHoldersTimeoutMs = 2000;
constexpr size_t kMaxConnecting = 65536;

}  // namespace

void Session::CollectConnections() {
  std::map<int64_t, TcpTotal> totals;
  const bool filtered = Filtered();
  std::set<int64_t> wanted;
  for (const EndpointTotal& t : final_.endpoint_totals) wanted.insert(t.endpoint);
  uint64_t full = 0;
  for (auto& [cpu, state] : cpus_) {
    const auto* area = call_object_->AreaOf<lf_call_area>(cpu);
    if (!area) continue;
    full += area->tcp_counter[LF_CALLS_TCP_FULL];
    for (int i = 0; i <= LF_TCP_ROWS; i++) {
      const lf_tcp_row& r = area->tcp[i];
      const bool other = i == LF_TCP_ROWS;
      if (!(r.connects | r.connects_failed | r.accepted | r.closes | r.resets_sent | r.resets_received |
            r.retransmits) ||
          (!other && !r.end.role))
        continue;
      const int64_t end = other ? -1 : EndpointId(r.end, nullptr, 0);
      if (filtered && !wanted.count(end)) continue;
      TcpTotal& t = totals[end];
      t.endpoint = end;
      t.connects += r.connects;
      t.connects_failed += r.connects_failed;
      t.connects_unanswered += r.connects_unanswered;
      t.failed_ns += r.failed_ns;
      t.connect_ns += r.connect_ns;
      t.connect_max_ns = std::max<uint64_t>(t.connect_max_ns, r.connect_max_ns);
      t.accepted += r.accepted;
      t.closes += r.closes;
      t.resets_sent += r.resets_sent;
      t.resets_received += r.resets_received;
      t.retransmits += r.retransmits;
      t.buckets.resize(LF_RUNQ_BUCKETS);
      for (size_t b = 0; b < LF_RUNQ_BUCKETS; b++) t.buckets[b] += r.bucket[b];
    }
  }
  for (auto& [end, t] : totals) final_.tcp_totals.push_back(std::move(t));
  final_.losses.push_back(
      {"sockets.connections_full", full,
       "events of TCP connections whose endpoint found no row; they are in the endpoint \"other\""});
  if (features_.tcp) CollectConnecting();
  CollectTcpState();
}

// Connections that are not established yet, of wanted processes, whenever they began.
void Session::CollectConnecting() {
  const std::vector<char> bytes = ReadTasks("lf_connecting", sizeof(lf_connecting), call_object_.get());
  std::set<uint64_t> seen;
  std::map<uint32_t, bool> wanted;
  std::map<std::pair<int64_t, int64_t>, ConnectingRow> rows;
  uint64_t cut = 0;
  for (size_t at = 0; at + sizeof(lf_connecting) <= bytes.size(); at += sizeof(lf_connecting)) {
    lf_connecting c;
    memcpy(&c, bytes.data() + at, sizeof(c));
    auto known = wanted.find(c.tgid);
    if (known == wanted.end()) known = wanted.emplace(c.tgid, InWantedCgroup(c.tgid)).first;
    if (c.since_ns >= final_.end_monotonic_ns || !known->second || seen.count(c.socket)) continue;
    if (seen.size() >= kMaxConnecting) {
      cut++;
      continue;
    }
    seen.insert(c.socket);
    const int64_t process = ProcessOfTotals(c.tgid, c.start_time_ns), end = EndpointId(c.end, nullptr, 0);
    ConnectingRow& row = rows[{process, end}];
    row.process = process;
    row.endpoint = end;
    row.count++;
    row.unanswered += c.sent_again > 0;
    row.sent_again += c.sent_again;
    row.max_ns = std::max<uint64_t>(row.max_ns, final_.end_monotonic_ns - c.since_ns);
  }
  for (auto& [key, row] : rows) final_.connecting.push_back(row);
  final_.losses.push_back({"sockets.connecting_cut", cut,
                           "connections that were not established yet at the end beyond the first 65,536, which are "
                           "in no row"});
}

// CLOSE-WAIT that stayed, queues that are not empty, counters: what /proc tells, beside what it told at the start.
void Session::CollectTcpState() {
  TcpState now = ReadTcpState();
  const auto risen = [](uint64_t after, uint64_t before) { return after - std::min(after, before); };
  final_.tcp_counters = true;
  final_.tick_ns = object_config_.tick_ns;
  final_.listen_overflows = risen(now.listen_overflows, tcp_start_.listen_overflows);
  final_.listen_drops = risen(now.listen_drops, tcp_start_.listen_drops);
  final_.close_wait_at_end = now.close_wait.size();
  final_.losses.push_back({"sockets.close_wait_cut", now.left_out,
                           "connections in CLOSE-WAIT and listening sockets with waiting connections beyond the first "
                           "65,536 each, and network namespaces beyond the first 256, which were not looked at"});
  std::set<uint64_t> before;
  for (const TcpConnection& c : tcp_start_.close_wait) before.insert(c.inode);
  // the other side closed its half alone, and gets what it asked for: the connection is in use
  const auto goes_on = [&](uint64_t inode) {
    auto earlier = tcp_start_.diag.acknowledged.find(inode), later = now.diag.acknowledged.find(inode);
    return earlier != tcp_start_.diag.acknowledged.end() && later != now.diag.acknowledged.end() &&
           later->second > earlier->second;
  };
  now.close_wait.erase(
      std::remove_if(now.close_wait.begin(), now.close_wait.end(),
                     [&](const TcpConnection& c) { return !c.inode || !before.count(c.inode) || goes_on(c.inode); }),
      now.close_wait.end());
  if (now.close_wait.empty() && now.queues.empty()) return;
  const Holders holders = HoldersOf(now);
  std::map<std::pair<int64_t, int64_t>, CloseWaitRow> rows;
  for (const TcpConnection& c : now.close_wait) {
    const auto [process, fd, wanted] = holders.at(c.inode);
    if (!wanted) continue;
    // a connection to a port on which this machine listens was opened by the other side, and is known by that port
    lf_endpoint end{};
    end.protocol = IPPROTO_TCP;
    end.role = LF_END_ACCEPTED;
    SetAddress(c.own, &end);
    end.network = static_cast<__u16>(c.network);
    if (!now.listening.count({c.network, end.port})) {
      end.role = LF_END_REMOTE;
      SetAddress(c.peer, &end);
    }
    const int64_t endpoint = EndpointId(end, nullptr, 0);
    CloseWaitRow& row = rows[{process, endpoint}];
    row.process = process;
    row.endpoint = endpoint;
    row.fd = fd;
    row.count++;
  }
  for (auto& [key, row] : rows) final_.close_waits.push_back(row);
  for (const TcpConnection& c : now.queues) {
    const auto [process, fd, wanted] = holders.at(c.inode);
    if (!wanted) continue;
    lf_endpoint end{};
    end.protocol = IPPROTO_TCP;
    end.role = LF_END_LISTEN;
    SetAddress(c.own, &end);
    end.network = static_cast<__u16>(c.network);
    const auto backlog = now.diag.backlog.find(c.inode);
    // one more than its backlog, however large that was asked for
    const uint64_t capacity = backlog == now.diag.backlog.end() ? 0 : uint64_t{backlog->second} + 1;
    final_.listen_queues.push_back({process, EndpointId(end, nullptr, 0), c.queue, capacity});
  }
}

// Who has these sockets open.
Session::Holders Session::HoldersOf(const TcpState& state) {
  std::vector<uint64_t> inodes;
  for (const TcpConnection& c : state.close_wait) inodes.push_back(c.inode);
  for (const TcpConnection& c : state.queues) inodes.push_back(c.inode);
  const std::map<uint64_t, SocketHolder> found = FindHolders(inodes, kHoldersTimeoutMs);
  // when each process started, as the totals know it; the iterator leaves out those that the filters do
  std::map<uint32_t, uint64_t> started;
  const std::vector<char> bytes = ReadTasks("lf_tasks", sizeof(TaskRecord));
  for (size_t at = 0; at + sizeof(TaskRecord) <= bytes.size(); at += sizeof(TaskRecord)) {
    lf_record r;
    memcpy(&r, bytes.data() + at, sizeof(r));
    if (InWantedCgroup(r.tgid)) started.emplace(r.tgid, r.start_time_ns);
  }
  Holders holders;
  for (uint64_t inode : inodes) {
    Holder& h = holders[inode];
    h = {-1, -1, !Filtered()};
    auto holder = found.find(inode);
    if (holder == found.end()) continue;
    h.fd = holder->second.fd;
    auto process = started.find(holder->second.pid);
    if (process == started.end()) continue;
    h.process = ProcessOfTotals(process->first, process->second);
    h.wanted = true;
  }
  return holders;
}

// Whether some processes are not wanted.
bool Session::Filtered() const {
  return !config_.filters.pids.empty() || !config_.filters.comms.empty() || !config_.filters.cgroups.empty();
}

}  // namespace lowflame
