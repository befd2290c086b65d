// Whoever of the two readers asks empties the rings for both: see task_log.h.
#include "task_log.h"

#include <algorithm>
#include <utility>

#include "machine.h"

namespace lowflame {
namespace {

constexpr size_t kMaxHeld = 65536, kMaxForNames = 65536;

}  // namespace

TaskLog::TaskLog(const std::vector<int>& cpus) {
  for (int cpu : cpus) events_.push_back(std::make_unique<TaskEvents>(cpu));
  for (const auto& e : events_) bytes_ += e->bytes();
}

// Under the mutex.
void TaskLog::Pump() {
  // a record of another CPU that is older than these may come while the rings are read: what is younger waits
  const uint64_t until = MonotonicNs();
  std::vector<TaskEvent> all = std::exchange(held_, {});
  uint64_t lost = 0;
  for (const auto& e : events_) {
    e->Drain(&all);
    lost += e->lost();
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const TaskEvent& a, const TaskEvent& b) { return a.time_ns < b.time_ns; });
  for (TaskEvent& e : all) {
    if (e.time_ns > until && held_.size() < kMaxHeld) {
      held_.push_back(std::move(e));
      continue;
    }
    if (names_ && for_names_.size() < kMaxForNames)
      for_names_.push_back(e);
    else if (names_)
      names_dropped_++;
    for_tables_.push_back(std::move(e));
  }
  holding_ = !held_.empty();
  lost_ = std::max(lost_.load(), lost);
}

std::vector<TaskEvent> TaskLog::TakeForTables() {
  std::lock_guard<std::mutex> lock(mutex_);
  Pump();
  return std::exchange(for_tables_, {});
}

TaskLog::ForNames TaskLog::TakeForNames() {
  std::lock_guard<std::mutex> lock(mutex_);
  names_ = true;
  Pump();
  return {std::exchange(for_names_, {}), lost_ + names_dropped_};
}

void TaskLog::Add(int cpu) {
  std::lock_guard<std::mutex> lock(mutex_);
  // the kernel has ended the event of a CPU that went
  events_.erase(std::remove_if(events_.begin(), events_.end(), [cpu](auto& e) { return e->cpu() == cpu; }),
                events_.end());
  events_.push_back(std::make_unique<TaskEvents>(cpu));
}

void TaskLog::Remove(int fd) {
  std::lock_guard<std::mutex> lock(mutex_);
  events_.erase(std::remove_if(events_.begin(), events_.end(), [fd](auto& e) { return e->fd() == fd; }), events_.end());
}

std::vector<int> TaskLog::Fds() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<int> fds;
  for (const auto& e : events_) fds.push_back(e->fd());
  return fds;
}

}  // namespace lowflame
