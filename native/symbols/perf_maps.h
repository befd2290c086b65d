// The perf maps of all processes: at most 256 are held, the ones not asked for longest go first.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "perf_map.h"

namespace lowflame {

class PerfMaps {
 public:
  // Drain thread: opens the map of a process, unless it is open or was looked for less than 100 ms ago.
  void Open(uint32_t pid, uint64_t start_time_ns);
  // Drain thread, at exec: a new map is looked for. Until one is found the old one stays, for frames that wait.
  void Replaced(uint32_t pid, uint64_t time_ns);
  // Drain thread: which of the meanings that an address had, and since when all have theirs (map_changes.h).
  uint32_t GenerationOf(uint32_t pid, uint64_t address, uint64_t time_ns);
  uint64_t ChangedAt(uint32_t pid, uint64_t start_time_ns, uint64_t time_ns);
  bool any() const { return any_; }
  // Symbol thread: reads on what has grown. To be called often: the lines that came in between are of that time.
  void ReadOn();
  // Symbol thread. Of one of its meanings.
  std::string NameAt(uint32_t pid, uint64_t address, uint32_t generation);
  uint64_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::shared_ptr<PerfMap> map;  // the symbol thread's alone, but for the asking whether it is there
    MapChanges changes;
    uint64_t start_time_ns = 0, looked_ns = 0, last_used = 0, bytes = 0;
    uint64_t read_ns = 0;  // when the map was last read on, 0 = never
    uint32_t era = 0;
    bool stale = false;
  };
  void MakeRoom();
  std::shared_ptr<PerfMap> ReadOn(uint32_t pid);

  std::mutex mutex_;
  std::unordered_map<uint32_t, Entry> entries_;
  uint64_t clock_ = 0;
  std::atomic<uint64_t> bytes_{0};
  std::atomic<bool> any_{false};      // maps
  std::atomic<bool> changed_{false};  // any of them
};

}  // namespace lowflame
