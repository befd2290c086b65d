// See perf_maps.h. Maps are opened without the mutex: opening reads /proc.
#include "perf_maps.h"

#include <time.h>

#include <algorithm>
#include <vector>

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
  e.stale = false;
  // after an exec it may be the same file, whose lines of before are known by their era
  if (e.map && e.map->SameFile(*map)) return;
  if (e.map) e.era++;  // its lines come after all that the other one had
  bytes_ -= e.bytes;
  e.bytes = 0;
  e.map = std::move(map);
  any_ = true;
}

void PerfMaps::Replaced(uint32_t pid, uint64_t time_ns) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = entries_.find(pid);
  if (it == entries_.end()) return;
  Entry& e = it->second;
  e.stale = true;
  e.changes.AddAll(time_ns, uint64_t{++e.era} << 32);
  changed_ = true;
}

uint32_t PerfMaps::GenerationOf(uint32_t pid, uint64_t address, uint64_t time_ns) {
  if (!changed_) return 0;
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = entries_.find(pid);
  return it == entries_.end() ? 0 : it->second.changes.GenerationOf(address, time_ns);
}

uint64_t PerfMaps::ChangedAt(uint32_t pid, uint64_t start_time_ns, uint64_t time_ns) {
  if (!changed_) return 0;
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = entries_.find(pid);
  return it == entries_.end() || it->second.start_time_ns != start_time_ns ? 0 : it->second.changes.ChangedAt(time_ns);
}

// Returns the map; nullptr if there is none.
std::shared_ptr<PerfMap> PerfMaps::ReadOn(uint32_t pid) {
  std::shared_ptr<PerfMap> map;
  uint32_t era;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    auto it = entries_.find(pid);
    if (it == entries_.end() || !it->second.map) return nullptr;
    map = it->second.map;
    era = it->second.era;
  }
  const uint64_t now = NowNs();
  const PerfMap::Changed changed = map->ReadOn(era);
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = entries_.find(pid);
  if (it == entries_.end() || it->second.map != map) return map;
  Entry& e = it->second;
  e.era = std::max(e.era, map->era());
  e.stale = e.stale || changed.unlinked;
  // what lies on what when a map is read for the first time is history; later it came since the time before
  if (e.read_ns) {
    if (changed.all) e.changes.AddAll(e.read_ns, uint64_t{map->era()} << 32);
    for (const PerfMap::Changed::Range& r : changed.ranges) e.changes.Add(r.begin, r.end, e.read_ns, changed.line);
    changed_ = changed_ || !e.changes.empty();
  }
  e.read_ns = now;
  const uint64_t bytes = map->bytes() + e.changes.bytes();
  bytes_ += bytes - e.bytes;
  e.bytes = bytes;
  if (bytes_ > kMaxBytes && entries_.size() > 1) MakeRoom();
  return map;
}

void PerfMaps::ReadOn() {
  std::vector<uint32_t> pids;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [pid, entry] : entries_)
      if (entry.map) pids.push_back(pid);
  }
  for (uint32_t pid : pids) ReadOn(pid);
}

std::string PerfMaps::NameAt(uint32_t pid, uint64_t address, uint32_t generation) {
  const std::shared_ptr<PerfMap> map = ReadOn(pid);
  if (!map) return "";
  MapChanges::Lines lines;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    auto it = entries_.find(pid);
    if (it != entries_.end()) {
      it->second.last_used = ++clock_;
      lines = it->second.changes.LinesOf(address, generation);
    }
  }
  return map->NameAt(address, lines);
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
