// Bounds: processes and mappings; the ones not asked for longest go first. See process_table.h.
#include "process_table.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace lowflame {
namespace {

constexpr uint64_t kRereadIntervalNs = 100000000ull;
constexpr uint64_t kRereadAtMostNs = 3200000000ull;
constexpr size_t kMaxProcesses = 16384;
constexpr uint64_t kMaxMappings = 1u << 20;

uint64_t Now(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000000ull + static_cast<uint64_t>(t.tv_nsec);
}

// Start of a process, CLOCK_BOOTTIME ns rounded down to clock ticks; 0 if it is gone.
uint64_t StartedAt(uint32_t pid) {
  FILE* f = fopen(("/proc/" + std::to_string(pid) + "/stat").c_str(), "re");
  if (!f) return 0;
  char text[1024];
  size_t n = fread(text, 1, sizeof(text) - 1, f);
  fclose(f);
  text[n] = 0;
  // the name in brackets may hold anything, brackets and spaces too; starttime is field 22, the 20th after it
  const char* at = strrchr(text, ')');
  unsigned long long ticks = 0;
  if (!at ||
      sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &ticks) != 1)
    return 0;
  return ticks * (1000000000ull / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
}

// In a time namespace /proc tells times shifted against the kernel's own.
bool ClocksAreShifted() {
  static const bool shifted = [] {
    FILE* f = fopen("/proc/self/timens_offsets", "re");
    if (!f) return false;
    char name[32];
    long long seconds, ns;
    bool any = false;
    while (fscanf(f, "%31s %lld %lld", name, &seconds, &ns) == 3) any = any || seconds || ns;
    fclose(f);
    return any;
  }();
  return shifted;
}

}  // namespace

bool MayBeTheSameProcess(uint32_t pid, uint64_t start_time_ns) {
  if (!start_time_ns || ClocksAreShifted()) return true;
  uint64_t started = StartedAt(pid);
  if (!started) return false;
  // the two clocks differ by the time that the machine was suspended before the process started: none of it, or all
  // of it up to now
  uint64_t suspended = Now(CLOCK_BOOTTIME) - Now(CLOCK_MONOTONIC);
  constexpr uint64_t kSlackNs = 50000000;  // ticks are 10 ms
  return start_time_ns <= started + kSlackNs && start_time_ns + suspended + kSlackNs >= started;
}

Mapping* ProcessTable::Find(uint32_t pid, uint64_t start_time_ns, uint64_t address) {
  Key key{pid, start_time_ns};
  auto it = processes_.find(key);
  if (it == processes_.end()) {
    MakeRoom();
    it = processes_.emplace(key, Process{}).first;
  }
  Process& p = it->second;
  p.last_used = ++clock_;
  auto find = [&]() -> Mapping* {
    auto next = std::upper_bound(p.mappings.begin(), p.mappings.end(), address,
                                 [](uint64_t a, const Mapping& m) { return a < m.begin; });
    return next != p.mappings.begin() && address < (next - 1)->end ? &*(next - 1) : nullptr;
  };
  Mapping* found = find();
  if (found || p.gone) return found;
  uint64_t now = Now(CLOCK_MONOTONIC);
  if (p.read_ns && now - p.read_ns < p.reread_after_ns) return nullptr;
  // Frame-pointer walks that go astray ask for addresses that no mapping will ever hold: a look in vain doubles the
  // time to the next, one that found something new starts over.
  bool first = !p.read_ns;
  p.read_ns = now;
  std::vector<Mapping> fresh;
  if (MayBeTheSameProcess(pid, start_time_ns) && ReadExecutableMappings(pid, &fresh)) {
    const bool news = fresh.size() != p.mappings.size() ||
                      !std::equal(fresh.begin(), fresh.end(), p.mappings.begin(),
                                  [](const Mapping& a, const Mapping& b) { return a.SameAs(b); });
    p.reread_after_ns = news ? kRereadIntervalNs : std::min(2 * p.reread_after_ns, kRereadAtMostNs);
    mappings_ += fresh.size() - p.mappings.size();
    // what was found out about a mapping stays true of it
    for (Mapping& m : fresh) {
      auto old = std::lower_bound(p.mappings.begin(), p.mappings.end(), m.begin,
                                  [](const Mapping& a, uint64_t b) { return a.begin < b; });
      if (old != p.mappings.end() && old->SameAs(m)) m.module = old->module;
    }
    p.mappings = std::move(fresh);
  } else {
    p.gone = true;  // what was known stays good for the samples that are still to come
    if (first && p.mappings.empty()) gone_++;
  }
  return find();
}

std::vector<Mapping>& ProcessTable::Look(uint32_t pid, uint64_t start_time_ns) {
  Find(pid, start_time_ns, 0);
  Process& p = processes_[{pid, start_time_ns}];
  p.read_ns = 0;
  return p.mappings;
}

void ProcessTable::Erase(const Key& key) {
  auto it = processes_.find(key);
  if (it == processes_.end()) return;
  mappings_ -= it->second.mappings.size();
  processes_.erase(it);
}

// An eighth at once, so that the scan is rare.
void ProcessTable::MakeRoom() {
  if (processes_.size() < kMaxProcesses && mappings_ < kMaxMappings) return;
  std::vector<std::pair<uint64_t, Key>> by_age;
  for (const auto& [key, p] : processes_) by_age.push_back({p.last_used, key});
  auto middle = by_age.begin() + static_cast<long>(by_age.size() / 8 + 1);
  std::nth_element(by_age.begin(), middle - 1, by_age.end());
  for (auto it = by_age.begin(); it != middle; ++it) Erase(it->second);
}

}  // namespace lowflame
