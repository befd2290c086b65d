// The loader's thread: what it waits for, and what it does of it first. See loader.h; what changes a process is in
// loader_processes.cc.
#include "loader.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "../core/error.h"
#include "../kernel/machine.h"
#include "running.h"

namespace lowflame {
namespace {

// Between two looks at the records: a machine that starts many programs is not woken for each.
constexpr uint64_t kPaceNs = 10000000;
// Reading processes and building tables is done between two looks at what is new, so much at a time.
constexpr uint64_t kSliceNs = 20000000;
// Who is busy is told by two looks at everybody's CPU time; ticks are 10 ms.
constexpr uint64_t kBusyNs = 60000000;
// For processes that are not busy tables are built for so long; others come when a sample asks for them.
constexpr uint64_t kLaterNs = 2000000000ull;
constexpr uint64_t kSweepNs = 5000000000ull;
constexpr int kSoonMs = 1, kLaterMs = 500;
constexpr size_t kMaxAsks = 4096, kMaxUsed = 65536;

void SleepNs(uint64_t ns) {
  timespec t{0, static_cast<long>(ns)};
  nanosleep(&t, nullptr);
}

}  // namespace

UnwindLoader::UnwindLoader(const Config& config)
    : config_(config),
      maps_(config.maps),
      modules_(&maps_, config.table_bytes),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      log_(config.cpus) {
  if (!wake_fd_) throw Error("EMFILE", "too many open files (unwind tables): raise the limit with ulimit -n 1024");
  thread_ = std::thread([this] { Run(); });
}

bool UnwindLoader::WaitUntilReady(int ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  return ready_changed_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return ready_; });
}

void UnwindLoader::AddCpu(int cpu) {
  std::lock_guard<std::mutex> lock(mutex_);
  new_cpus_.push_back(cpu);
  eventfd_write(wake_fd_.get(), 1);
}

void UnwindLoader::CutShort(uint32_t pid, uint64_t start_time_ns, uint8_t stop, const uint64_t* frames, size_t count) {
  if (stop != LF_UW_STOP_PROCESS && stop != LF_UW_STOP_MAPPING && stop != LF_UW_STOP_TABLE) return;
  std::lock_guard<std::mutex> lock(mutex_);
  if (asks_.size() >= kMaxAsks && !asks_.count(pid)) {
    asks_dropped_++;
    return;
  }
  if (asks_.empty()) eventfd_write(wake_fd_.get(), 1);
  // the kernel's walk of a process that is not known says nothing but its addresses; the last one tells most
  if (stop == LF_UW_STOP_PROCESS) frames += count - 1, count = 1;
  asks_[pid] = {start_time_ns, stop, {frames, frames + count}};
}

void UnwindLoader::Used(uint32_t pid, const uint64_t* addresses, size_t count) {
  if (!tight_) return;
  std::lock_guard<std::mutex> lock(mutex_);
  // what does not fit is seen again with the next samples
  for (size_t i = 0; i < count && used_.size() < kMaxUsed; i++) used_.push_back({pid, addresses[i]});
}

void UnwindLoader::Stop() {
  stop_ = true;
  eventfd_write(wake_fd_.get(), 1);
  if (thread_.joinable()) thread_.join();
}

void UnwindLoader::Run() {
  LearnRunning();
  const uint64_t later_until = MonotonicNs() + kLaterNs;
  while (!stop_) {
    Events();
    Asked();
    NoteUsed();
    const bool all_read = ReadSome();
    CheckEnded();
    ReadMoved();
    Write();
    const uint64_t now = MonotonicNs();
    const auto left = modules_.Build(now + kSliceNs, now < later_until);
    Write();
    tight_ = modules_.tight() || parts_ > maps_.max_parts() / 2;
    if (!ready_ && !busy_left_ && (!left || *left == UnwindModules::Want::kLater)) {
      std::lock_guard<std::mutex> lock(mutex_);
      ready_ = true;
      ready_changed_.notify_all();
    }
    if (stop_ || left || !all_read) continue;
    SleepNs(kPaceNs);
    Wait();
  }
}

void UnwindLoader::Wait() {
  std::vector<pollfd> waits{{wake_fd_.get(), POLLIN, 0}};
  for (int fd : log_.Fds()) waits.push_back({fd, POLLIN, 0});
  int most = tight_ ? kLaterMs : -1;
  auto until = [&most, now = MonotonicNs()](uint64_t at_ns) {
    const int ms = at_ns > now ? static_cast<int>((at_ns - now) / 1000000) + 1 : kSoonMs;
    most = most < 0 ? ms : std::min(most, ms);
  };
  for (const auto& [pid, look] : ended_) until(look.at_ns);
  for (const auto& [pid, at_ns] : moved_) until(at_ns);
  if (log_.holding()) most = kSoonMs;
  if (poll(waits.data(), waits.size(), most) <= 0) return;
  eventfd_t count;
  if (waits[0].revents) eventfd_read(wake_fd_.get(), &count);
  // the event of a CPU that went has ended; AddCpu brings another when it returns
  for (size_t i = waits.size() - 1; i > 0; i--)
    if (waits[i].revents & (POLLHUP | POLLERR)) log_.Remove(waits[i].fd);
}

void UnwindLoader::LearnRunning() {
  const CpuTicks before = ReadCpuTicks();
  for (uint64_t until = MonotonicNs() + kBusyNs; !stop_ && MonotonicNs() < until;) SleepNs(kPaceNs);
  to_read_ = MostRecentFirst(before, ReadCpuTicks(), &busy_left_);
  std::reverse(to_read_.begin(), to_read_.end());
}

// Returns whether all are read.
bool UnwindLoader::ReadSome() {
  const uint64_t until = MonotonicNs() + kSliceNs;
  while (!to_read_.empty() && !stop_ && MonotonicNs() < until) {
    const uint32_t pid = to_read_.back();
    to_read_.pop_back();
    const auto* known = processes_.Find(pid);
    // a sample may have asked for it before, or a record told of it
    if (Wanted(pid) && !(known && known->parts))
      ReadProcess(pid, busy_left_ ? UnwindModules::Want::kSoon : UnwindModules::Want::kLater, 0);
    if (busy_left_) busy_left_--;
  }
  return to_read_.empty();
}

void UnwindLoader::Events() {
  std::vector<int> cpus;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    cpus.swap(new_cpus_);
  }
  for (int cpu : cpus) try {
      log_.Add(cpu);
    } catch (const std::exception&) {
      unseen_cpus_++;
    }
  for (const TaskEvent& e : log_.TakeForTables()) Apply(e);
  const uint64_t lost = log_.lost(), until = MonotonicNs();
  if (lost > lost_swept_ && until - swept_ns_ >= kSweepNs) {
    // exits may be among them; whatever else was missed shows when a stack is cut short
    lost_swept_ = lost;
    swept_ns_ = until;
    std::vector<uint32_t> gone;
    for (const auto& [pid, p] : processes_.all())
      if (!IsAlive(pid)) gone.push_back(pid);
    for (uint32_t pid : gone) processes_.Remove(pid);
  }
}

void UnwindLoader::Asked() {
  std::map<uint32_t, Ask> asks;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    asks.swap(asks_);
  }
  for (const auto& [pid, ask] : asks) Answer(pid, ask);
}

void UnwindLoader::NoteUsed() {
  std::vector<std::pair<uint32_t, uint64_t>> used;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    used.swap(used_);
  }
  const uint64_t now = MonotonicNs();
  for (const auto& [pid, address] : used) {
    const UnwindMapping* m = processes_.At(pid, address);
    if (!m) continue;
    modules_.Used(m->table, now);
    processes_.Find(pid)->used_ns = now;
  }
}

UnwindLoader::Facts UnwindLoader::Now() const {
  const UnwindModules::Counts& c = modules_.counts();
  return {known_,
          parts_written_,
          c.tables,
          c.bytes,
          c.built,
          c.build_ns,
          c.evicted,
          reread_,
          c.without,
          c.unreadable,
          c.rows_left_out + c.rules_dropped,
          log_.bytes()};
}

std::vector<UnwindLoader::Loss> UnwindLoader::Losses() const {
  const UnwindModules::Counts& c = modules_.counts();
  return {
      {"unwind.tables_left_out", c.left_out + c.over_budget,
       "unwind tables of program files that found no room in the budget; stacks through them follow frame pointers"},
      {"unwind.tables_evicted", c.evicted,
       "unwind tables that were thrown out for others; stacks through them follow frame pointers until they are asked "
       "for again"},
      {"unwind.tables_refused", c.refused, "unwind tables that the kernel had no memory for"},
      {"unwind.files_too_many", c.no_id, "mapped program files beyond the 4,095 that have unwind tables"},
      {"unwind.processes_left_out", left_out_, "processes whose mappings found no room in the unwinder's table"},
      {"unwind.mappings_left_out", mappings_left_out_, "executable mappings beyond the 512 of a process"},
      {"unwind.records_lost", log_.lost(),
       "records of new programs and mappings that did not fit; those processes are read again when a stack is cut "
       "short"},
      {"unwind.cpus_unseen", unseen_cpus_, "CPUs that came and whose records of new programs could not be had"},
      {"unwind.requests_dropped", asks_dropped_, "cut stacks whose process was not read again: too many at once"},
  };
}

}  // namespace lowflame
