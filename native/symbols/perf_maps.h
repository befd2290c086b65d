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
  void Replaced(uint32_t pid);
  // Symbol thread.
  std::string NameAt(uint32_t pid, uint64_t address);
  uint64_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::shared_ptr<PerfMap> map;  // the symbol thread's alone, but for the asking whether it is there
    uint64_t start_time_ns = 0, looked_ns = 0, last_used = 0, bytes = 0;
    bool stale = false;
  };
  void MakeRoom();

  std::mutex mutex_;
  std::unordered_map<uint32_t, Entry> entries_;
  uint64_t clock_ = 0;
  std::atomic<uint64_t> bytes_{0};
};

}  // namespace lowflame
