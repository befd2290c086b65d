// Which mapping of which process an address lies in. Drain thread only.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "process_maps.h"

namespace lowflame {

class ProcessTable {
 public:
  // The executable mapping that holds the address, nullptr if none. Reads /proc/PID/maps when the process is first
  // seen, and again, at most every 100 ms (and less and less often in vain), when the address is in no known mapping.
  // Valid until the next call.
  Mapping* Find(uint32_t pid, uint64_t start_time_ns, uint64_t address);
  // The mappings of a process that was just started: more will come, so the next Find that misses reads them again.
  std::vector<Mapping>& Look(uint32_t pid, uint64_t start_time_ns);
  // exec: what is known is no longer true.
  void Forget(uint32_t pid, uint64_t start_time_ns) { Erase({pid, start_time_ns}); }
  // Processes that had ended before their mappings could be read.
  uint64_t gone() const { return gone_; }
  uint64_t bytes() const { return mappings_ * (sizeof(Mapping) + 64); }

 private:
  using Key = std::pair<uint32_t, uint64_t>;
  struct Process {
    std::vector<Mapping> mappings;
    uint64_t read_ns = 0, reread_after_ns = 100000000, last_used = 0;
    bool gone = false;
  };
  void Erase(const Key& key);
  void MakeRoom();

  std::map<Key, Process> processes_;
  uint64_t clock_ = 0;
  std::atomic<uint64_t> gone_{0}, mappings_{0};  // statistics are read by other threads
};

// Whether the process that has this pid now may be the one that started then (task->start_time, CLOCK_MONOTONIC). A
// pid comes again; the maps of its next owner must not name the frames of the last one.
bool MayBeTheSameProcess(uint32_t pid, uint64_t start_time_ns);

}  // namespace lowflame
