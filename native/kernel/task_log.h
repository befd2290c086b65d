// The records of all CPUs' tasks in the order of their time, for two readers: the loader of unwind tables, and the
// drain thread, which names addresses by what was mapped when a sample was taken.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "task_events.h"

namespace lowflame {

class TaskLog {
 public:
  // Throws Error.
  explicit TaskLog(const std::vector<int>& cpus);

  // For the loader: what has come since the last call. All records up to the time of the call are there, however far
  // apart the CPUs that they are from.
  std::vector<TaskEvent> TakeForTables();
  struct ForNames {
    std::vector<TaskEvent> events;
    uint64_t lost;  // all told: records that did not fit into their ring, or were not taken in time
  };
  // The same for names. Nothing is kept for them before the first call. Any thread.
  ForNames TakeForNames();

  // The loader's thread alone. A CPU has come (throws Error), or its event has ended.
  void Add(int cpu);
  void Remove(int fd);
  // Readable when there is something to take.
  std::vector<int> Fds() const;
  // Records are held back until others can no longer be older.
  bool holding() const { return holding_; }
  // Records that did not fit into their ring.
  uint64_t lost() const { return lost_; }
  uint64_t bytes() const { return bytes_; }

 private:
  void Pump();

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<TaskEvents>> events_;
  std::vector<TaskEvent> held_;  // younger than the look at the rings under way
  std::vector<TaskEvent> for_tables_, for_names_;
  bool names_ = false;
  uint64_t names_dropped_ = 0;
  std::atomic<uint64_t> lost_{0}, bytes_{0};
  std::atomic<bool> holding_{false};
};

}  // namespace lowflame
