// What one CPU's tasks do to their address spaces: forks, execs, exits and new executable mappings, from the records of
// a perf event that counts nothing. So nobody has to poll /proc.
#pragma once

#include <cstdint>
#include <vector>

#include "../core/task_event.h"
#include "../core/unique_fd.h"
#include "perf_buffer.h"

namespace lowflame {

class TaskEvents {
 public:
  // Records of `cpu` from now on. Throws Error.
  explicit TaskEvents(int cpu);

  // Appends all records up to the head at the time of the call, in the order of their time.
  void Drain(std::vector<TaskEvent>* out);
  // Readable when there is something to drain.
  int fd() const { return fd_.get(); }
  int cpu() const { return cpu_; }
  size_t bytes() const { return buffer_.bytes(); }
  // Records that did not fit into the ring.
  uint64_t lost() const { return lost_; }

 private:
  int cpu_;
  UniqueFd fd_;
  PerfBuffer buffer_;
  uint64_t lost_ = 0;
};

}  // namespace lowflame
