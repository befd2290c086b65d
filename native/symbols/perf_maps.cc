// See perf_maps.h. Maps are opened without the mutex: opening reads /proc.
#include "perf_maps.h"

#include <time.h>

namespace lowflame {
namespace {

constexpr size_t kMaxMaps = 256;
constexpr uint64_t kMaxBytes = 256ull << 20;
constexpr uint64_t kLookIntervalNs = 100000000ull;

uint64_t NowNs() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000000ull + static_cast<uint64_t>(t.tv_nsec);
}

}  // namespace

void PerfMaps::Open(uint32_t pid, uint64_t start_time_ns) {
  uint64_t now = NowNs();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    auto it = entries_.find(pid);
    if (it == entries_.end()) {
      if (entries_.size() >= kMaxMaps) MakeRoom();
      it = entries_.emplace(pid, Entry()).first;
    }
    Entry& e = it->second;
    e.last_used = ++clock_;
    if (e.start_time_ns != start_time_ns) {
      bytes_ -= e.bytes;
      e = Entry();  // the pid has a new owner
      e.last_used = clock_;
    }
    if ((e.map && !e.stale) || (e.looked_ns && now - e.looked_ns < kLookIntervalNs)) return;
    e.start_time_ns = start_time_ns;
    e.looked_ns = now;
  }
  auto map = std::make_shared<PerfMap>(pid);
  if (!map->found()) return;
  std::lock_guard<std::mutex> lock(mutex_);
  Entry& e = entries_[pid];
  bytes_ -= e.bytes;
  e.bytes = 0;
  e.map = std::move(map);
  e.stale = false;
}

void PerfMaps::Replaced(uint32_t pid) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = entries_.find(pid);
  if (it != entries_.end()) it->second.stale = true;
}

std::string PerfMaps::NameAt(uint32_t pid, uint64_t address) {
  std::shared_ptr<PerfMap> map;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    auto it = entries_.find(pid);
    if (it == entries_.end() || !it->second.map) return "";
    map = it->second.map;
    it->second.last_used = ++clock_;
  }
  std::string name = map->NameAt(address);
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = entries_.find(pid);
  if (it == entries_.end() || it->second.map != map) return name;
  bytes_ += map->bytes() - it->second.bytes;
  it->second.bytes = map->bytes();
  if (bytes_ > kMaxBytes && entries_.size() > 1) MakeRoom();
  return name;
}

void PerfMaps::MakeRoom() {
  auto oldest = entries_.begin();
  for (auto it = entries_.begin(); it != entries_.end(); ++it)
    if (it->second.last_used < oldest->second.last_used) oldest = it;
  if (oldest == entries_.end()) return;
  bytes_ -= oldest->second.bytes;
  entries_.erase(oldest);
}

}  // namespace lowflame
