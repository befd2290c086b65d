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
// A process's start time is taken a moment before its fork is recorded.
constexpr uint64_t kLateRecordNs = 1000000000ull;
// What ended stays for its last samples.
constexpr uint64_t kEndedNs = 2000000000ull;
// A fork of a fork of a fork, none of which can be read any more.
constexpr int kMaxDepth = 16;

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

// The two clocks differ by the time that the machine was suspended before something happened: none of it, or all of it
// up to now.
uint64_t Suspended() {
  return Now(CLOCK_BOOTTIME) - Now(CLOCK_MONOTONIC);
}

constexpr uint64_t kSlackNs = 50000000;  // ticks are 10 ms

// Whether the process that has this pid now may have had it then.
bool RanAt(uint32_t pid, uint64_t time_ns) {
  if (ClocksAreShifted()) return true;
  const uint64_t started = StartedAt(pid);
  return started && time_ns + Suspended() + kSlackNs >= started;
}

}  // namespace

bool MayBeTheSameProcess(uint32_t pid, uint64_t start_time_ns) {
  if (!start_time_ns || ClocksAreShifted()) return true;
  uint64_t started = StartedAt(pid);
  if (!started) return false;
  return start_time_ns <= started + kSlackNs && start_time_ns + Suspended() + kSlackNs >= started;
}

ProcessTable::Processes::iterator ProcessTable::Make(const Key& key) {
  MakeRoom();
  auto [it, fresh] = processes_.try_emplace(key);
  if (fresh) {
    it->second.born_ns = Now(CLOCK_MONOTONIC);
    count_ = processes_.size();
  }
  it->second.last_used = ++clock_;
  return it;
}

// The last one that had the pid up to then.
ProcessTable::Processes::iterator ProcessTable::Then(uint32_t pid, uint64_t time_ns) {
  auto it = processes_.upper_bound({pid, time_ns});
  if (it == processes_.begin() || (--it)->first.first != pid) return processes_.end();
  return it;
}

// As a sample knows it, exactly.
ProcessTable::Processes::iterator ProcessTable::Get(uint32_t pid, uint64_t start_time_ns) {
  auto it = processes_.lower_bound({pid, start_time_ns});
  const bool any = it != processes_.end() && it->first.first == pid;
  if (!start_time_ns) {
    // not known: the last one
    it = Then(pid, ~0ull);
    if (it == processes_.end()) it = Make({pid, 0});
  } else if (!any || it->first.second != start_time_ns) {
    auto known = processes_.end();
    if (any && it->second.recorded && it->first.second - start_time_ns < kLateRecordNs) known = it;
    if (known == processes_.end()) {
      auto nameless = processes_.find({pid, 0});
      if (nameless != processes_.end() && nameless->second.born_ns >= start_time_ns) known = nameless;
    }
    if (known == processes_.end()) {
      it = Make({pid, start_time_ns});
    } else {
      auto node = processes_.extract(known);
      node.key() = {pid, start_time_ns};
      node.mapped().recorded = false;
      it = processes_.insert(std::move(node)).position;
    }
  }
  it->second.last_used = ++clock_;
  return it;
}

// What /proc tells of it. False if it is gone.
bool ProcessTable::Read(Processes::iterator it) {
  Process& p = it->second;
  const auto [pid, start_time_ns] = it->first;
  const uint64_t now = Now(CLOCK_MONOTONIC);
  const bool first = !p.read_ns;
  p.read_ns = now;
  p.suspect = false;
  std::vector<Mapping> fresh;
  // one that is not known by a sample was there when its entry was made
  if ((start_time_ns && !p.recorded ? MayBeTheSameProcess(pid, start_time_ns) : RanAt(pid, p.born_ns)) &&
      ReadExecutableMappings(pid, &fresh)) {
    // Frame-pointer walks that go astray ask for addresses that no mapping will ever hold: a look in vain doubles the
    // time to the next, one that found something new starts over.
    const bool news = With(&p.space, [&](AddressSpace& space) { return space.Replace(std::move(fresh), now); });
    p.reread_after_ns = news ? kRereadIntervalNs : std::min(2 * p.reread_after_ns, kRereadAtMostNs);
    return true;
  }
  p.gone = true;  // what was known stays good for the samples that are still to come
  if (first && p.space.empty() && !p.by_parent) p.never_read = true;
  return false;
}

ProcessTable::Found ProcessTable::Find(uint32_t pid, uint64_t start_time_ns, uint64_t address, uint64_t time_ns) {
  auto it = Get(pid, start_time_ns);
  Found found = FindIn(it, address, time_ns, 0);
  // a loss only where somebody asks: most that start and end were never sampled
  if (!found.mapping && it->second.never_read) {
    it->second.never_read = false;
    gone_++;
  }
  return found;
}

ProcessTable::Found ProcessTable::FindIn(Processes::iterator it, uint64_t address, uint64_t time_ns, int depth) {
  Process& p = it->second;
  const uint32_t pid = it->first.first;
  auto again = [&p] { return !p.gone && (!p.read_ns || Now(CLOCK_MONOTONIC) - p.read_ns >= p.reread_after_ns); };
  if (p.suspect && again()) Read(it);
  if (Mapping* m = p.space.At(address, time_ns)) return {m, pid, &p.space};
  if (p.forked_ns && time_ns < p.first_exec_ns) {
    if (Found found = FindInParent(p, address, depth + 1); found.mapping) {
      p.by_parent = true;
      return found;
    }
  }
  if (!again() || !Read(it)) return {};
  return {p.space.At(address, time_ns), pid, &p.space};
}

// In memory as it was when `child` became a copy of it.
ProcessTable::Found ProcessTable::FindInParent(const Process& child, uint64_t address, int depth) {
  const uint32_t pid = child.parent;
  const uint64_t forked_ns = child.forked_ns;
  if (depth > kMaxDepth) return {};
  auto it = Then(pid, forked_ns);
  if (it == processes_.end()) {
    if (!RanAt(pid, forked_ns)) return {};
    it = Make({pid, 0});
  }
  it->second.last_used = ++clock_;
  return FindIn(it, address, forked_ns, depth);
}

uint64_t ProcessTable::ChangedAt(uint32_t pid, uint64_t start_time_ns, uint64_t time_ns) {
  return Get(pid, start_time_ns)->second.space.ChangedAt(time_ns);
}

void ProcessTable::Record(const TaskEvent& e) {
  EraseEnded();
  auto it = Then(e.pid, e.time_ns);
  switch (e.kind) {
    case TaskEvent::Kind::kFork: {
      // idle tasks, and threads of the kernel, have no memory
      if (!e.pid || e.pid == e.parent || !e.parent) return;
      // a sample may have been faster
      const bool known = it != processes_.end() && it->first.second && !it->second.forked_ns &&
                         e.time_ns - it->first.second < kLateRecordNs;
      if (!known) {
        it = Make({e.pid, e.time_ns});
        it->second.recorded = true;
        it->second.born_ns = e.time_ns;
      }
      Process& p = it->second;
      p.parent = e.parent;
      p.forked_ns = e.time_ns;
      return;
    }
    case TaskEvent::Kind::kExec: {
      if (!e.pid) return;
      if (it == processes_.end()) {
        it = Make({e.pid, 0});
        it->second.born_ns = e.time_ns;
      }
      Process& p = it->second;
      p.first_exec_ns = std::min(p.first_exec_ns, e.time_ns);
      p.last_exec_ns = e.time_ns;
      p.gone = false;
      With(&p.space, [&](AddressSpace& space) { return space.Clear(e.time_ns), 0; });
      return;
    }
    case TaskEvent::Kind::kExit:
      if (it != processes_.end()) ended_.push_back({e.pid, e.time_ns});
      return;
    case TaskEvent::Kind::kMap: {
      if (it == processes_.end()) return;  // /proc tells it when somebody asks
      With(&it->second.space, [&](AddressSpace& space) { return space.Map(MappingOf(e), e.time_ns), 0; });
      return;
    }
  }
}

void ProcessTable::RecordsLost() {
  for (auto& [key, p] : processes_) p.suspect = true;
}

void ProcessTable::Exec(uint32_t pid, uint64_t start_time_ns, uint64_t time_ns) {
  Process& p = Get(pid, start_time_ns)->second;
  const bool recorded = p.last_exec_ns > p.exec_seen_ns;
  p.exec_seen_ns = time_ns;
  if (recorded) return;
  p.first_exec_ns = std::min(p.first_exec_ns, time_ns);
  p.last_exec_ns = time_ns;
  p.gone = false;
  p.read_ns = 0;
  With(&p.space, [&](AddressSpace& space) { return space.Clear(time_ns), 0; });
}

std::vector<Mapping>& ProcessTable::Look(uint32_t pid, uint64_t start_time_ns) {
  auto it = Get(pid, start_time_ns);
  if (!it->second.gone) Read(it);
  it->second.read_ns = 0;
  return it->second.space.now();
}

void ProcessTable::Erase(Processes::iterator it) {
  mappings_ -= it->second.space.size();
  processes_.erase(it);
  count_ = processes_.size();
}

void ProcessTable::EraseEnded() {
  if (ended_.empty()) return;
  for (const uint64_t now = Now(CLOCK_MONOTONIC); !ended_.empty() && ended_.front().second + kEndedNs < now;) {
    const auto [pid, end_ns] = ended_.front();
    ended_.pop_front();
    auto it = Then(pid, end_ns);
    // other threads may go on after the first one
    if (it != processes_.end() && (it->first.second || it->second.born_ns <= end_ns) && !RanAt(pid, end_ns)) Erase(it);
  }
}

// An eighth at once, so that the scan is rare.
void ProcessTable::MakeRoom() {
  if (processes_.size() < kMaxProcesses && mappings_ < kMaxMappings) return;
  std::vector<std::pair<uint64_t, Key>> by_age;
  for (const auto& [key, p] : processes_) by_age.push_back({p.last_used, key});
  auto middle = by_age.begin() + static_cast<long>(by_age.size() / 8 + 1);
  std::nth_element(by_age.begin(), middle - 1, by_age.end());
  for (auto it = by_age.begin(); it != middle; ++it) Erase(processes_.find(it->second));
}

}  // namespace lowflame
