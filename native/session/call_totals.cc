// Sums of socket calls by process: rows of the kernel's tables are added at the end, and those of processes that ended
// as soon as a table fills up, so that others can have their rows.
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <set>

#include "session.h"

namespace lowflame {
namespace {

// More would not fit into the last record of a capture.
constexpr size_t kMaxTotals = 16384;
// How often tables are looked at; the second, where one of them fills up.
constexpr uint64_t kLookNs = 1000000000, kTakeNs = 100000000;
// With eight places to look at, hardly any row is refused while three quarters are free.
constexpr uint32_t kTakeFrom = 4, kFillsFrom = 16;
// Of the first PID namespace (PROC_PID_INIT_INO in include/linux/proc_ns.h).
constexpr ino_t kFirstPidNamespace = 0xeffffffc;

template <typename Sum, typename Count>
void AddBuckets(std::vector<Sum>* to, const Count* from) {
  to->resize(LF_RUNQ_BUCKETS);
  for (size_t b = 0; b < LF_RUNQ_BUCKETS; b++) (*to)[b] += from[b];
}

// Pids in the tables are those of the first namespace: in another nobody can be asked whether one has ended.
bool PidsAreKnown() {
  struct stat own {};
  return !stat("/proc/self/ns/pid", &own) && own.st_ino == kFirstPidNamespace;
}

// Processes that have ended, zombies not yet: nobody writes into their rows any more.
class Ended {
 public:
  bool operator()(uint32_t tgid) {
    if (alive_.count(tgid)) return false;
    if (ended_.count(tgid)) return true;
    const bool ended = kill(static_cast<pid_t>(tgid), 0) && errno == ESRCH;
    (ended ? ended_ : alive_).insert(tgid);
    return ended;
  }

 private:
  std::set<uint32_t> alive_, ended_;
};

// Gives a row back. A program takes it as soon as it has no key, and then all the rest must be empty.
template <class Row>
void Clear(Row* row) {
  static_assert(offsetof(Row, key) == 0);
  memset(reinterpret_cast<char*>(row) + sizeof(row->key), 0, sizeof(*row) - sizeof(row->key));
  __atomic_store_n(&row->key, 0, __ATOMIC_RELEASE);
}

// Adds the rows of processes that ended, where a quarter of a table is in use. Returns whether it fills up.
template <class Row, class Add>
bool TakeEnded(Row* rows, int all, uint32_t limit, Ended* ended, Add add) {
  const auto most = std::min<uint32_t>(limit ? limit : UINT32_MAX, static_cast<uint32_t>(all));
  uint32_t used = 0;
  for (uint32_t i = 0; i < most; i++) used += rows[i].key != 0;
  for (uint32_t i = 0; used * kTakeFrom >= most && i < most; i++) {
    Row& row = rows[i];
    if (!row.key || !(*ended)(static_cast<uint32_t>(row.key))) continue;
    add(row);
    Clear(&row);
  }
  return used * kFillsFrom >= most;
}

}  // namespace

// Of full totals only the processes that are known already: others get no row, and would need memory for ever.
int64_t Session::ProcessOfRow(uint64_t key, uint64_t start_time_ns, bool full) {
  const auto pid = static_cast<uint32_t>(key);
  const int64_t known = interner_->FindProcess(pid, start_time_ns);
  if (full || known >= 0) return known;
  // its first row may be younger than the last look
  if (!row_names_.count({pid, start_time_ns})) NoteRowNames();
  return ProcessOfTotals(pid, start_time_ns);
}

void Session::AddCallRow(const lf_call_row& r, bool other) {
  const bool full = call_totals_.size() >= kMaxTotals;
  int64_t process = other ? -1 : ProcessOfRow(r.key, r.start_time_ns, full);
  int32_t nr = other ? -1 : static_cast<int32_t>(r.key >> 32 & 0x7fffffff);
  if (full && !call_totals_.count({process, nr})) {
    calls_cut_ += r.count;
    process = nr = -1;
  }
  CallTotal& t = call_totals_[{process, nr}];
  t.process = process;
  t.syscall = nr;
  t.count += r.count;
  t.bytes += r.bytes;
  t.errors += r.errors;
  t.busy_ns += r.busy_ns;
  t.blocked_ns += r.blocked_ns;
  t.waiting_ns += r.waiting_ns;
  t.max_ns = std::max<uint64_t>(t.max_ns, r.max_ns);
  for (int e = 0; e < LF_ERRORS; e++)
    if (r.error[e]) t.by_error[r.error[e]] += r.error_count[e];
  if (r.error_other) t.by_error[0] += r.error_other;
  AddBuckets(&t.buckets, r.bucket);
  AddBuckets(&t.busy_buckets, r.busy_bucket);
}

void Session::AddEndpointRow(const lf_endpoint_row& r, bool other) {
  const bool full = endpoint_totals_.size() >= kMaxTotals;
  int64_t process = other ? -1 : ProcessOfRow(r.key, r.start_time_ns, full);
  int64_t end = other ? -1 : EndpointId(r.end, r.name, r.name_length);
  if (full && !endpoint_totals_.count({process, end})) {
    ends_cut_ += r.count;
    process = end = -1;
  }
  EndpointTotal& t = endpoint_totals_[{process, end}];
  t.process = process;
  t.endpoint = end;
  t.count += r.count;
  t.bytes_out += r.bytes_out;
  t.bytes_in += r.bytes_in;
  t.errors += r.errors;
  t.again += r.again;
  t.busy_ns += r.busy_ns;
  t.blocked_ns += r.blocked_ns;
  t.waiting_ns += r.waiting_ns;
  t.max_ns = std::max<uint64_t>(t.max_ns, r.max_ns);
  t.turns += r.turns;
  t.turn_ns += r.turn_ns;
  t.turn_max_ns = std::max<uint64_t>(t.turn_max_ns, r.turn_max_ns);
  t.whole_ns += r.whole_ns;
  t.whole_max_ns = std::max<uint64_t>(t.whole_max_ns, r.whole_max_ns);
  t.pauses += r.pauses;
  t.late += r.late;
  t.late_ns += r.late_ns;
  t.late_max_ns = std::max<uint64_t>(t.late_max_ns, r.late_max_ns);
  t.late_passed_ns += r.late_passed_ns;
  t.late_awake_ns += r.late_awake_ns;
  t.late_slept_ns += r.late_slept_ns;
  t.unanswered += r.unanswered;
  t.unanswered_ns += r.unanswered_ns;
  t.closed += r.closed;
  t.closed_ns += r.closed_ns;
  t.closed_max_ns = std::max<uint64_t>(t.closed_max_ns, r.closed_max_ns);
  t.closed_buckets.resize(LF_RUNQ_BUCKETS);
  for (size_t b = LF_CLOSED_BUCKET; b < LF_RUNQ_BUCKETS; b++)
    t.closed_buckets[b] += r.closed_bucket[b - LF_CLOSED_BUCKET];
  t.queue_max = std::max<uint32_t>(t.queue_max, r.queue_max);
  t.queue_limit = std::max<uint32_t>(t.queue_limit, r.queue_limit);
  AddBuckets(&t.buckets, r.bucket);
  AddBuckets(&t.turn_buckets, r.turn_bucket);
  AddBuckets(&t.whole_buckets, r.whole_bucket);
}

// What the processes in the tables are called, before any of their rows is given back: of one that has ended nobody
// else can tell.
void Session::NoteRowNames() {
  row_names_.clear();
  for (auto& [cpu, state] : cpus_) {
    const auto* area = call_object_->AreaOf<lf_call_area>(cpu);
    for (int i = 0; area && i < LF_CALL_ROWS; i++) {
      const lf_call_row& r = area->call[i];
      if (r.key)
        row_names_.emplace(std::make_pair(static_cast<uint32_t>(r.key), r.start_time_ns),
                           std::string(r.comm, strnlen(r.comm, LF_COMM_LEN)));
    }
  }
}

void Session::TakeEndedCalls(uint64_t now) {
  if (now < next_take_ns_) return;
  next_take_ns_ = now + kLookNs;
  NoteRowNames();
  static const bool known = PidsAreKnown();
  if (!known) return;
  Ended ended;
  bool fills = false;
  for (auto& [cpu, state] : cpus_) {
    auto* area = call_object_->AreaOf<lf_call_area>(cpu);
    if (!area) continue;
    fills |= TakeEnded(area->call, LF_CALL_ROWS, object_config_.table_rows, &ended,
                       [this](const lf_call_row& row) { AddCallRow(row, false); });
    fills |= TakeEnded(area->endpoint, LF_ENDPOINT_ROWS, object_config_.table_rows, &ended,
                       [this](const lf_endpoint_row& row) { AddEndpointRow(row, false); });
  }
  if (fills) next_take_ns_ = now + kTakeNs;
}

}  // namespace lowflame
