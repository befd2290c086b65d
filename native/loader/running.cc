// /proc/PID/stat of all processes: see running.h.
#include "running.h"

#include <dirent.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "../kernel/machine.h"

namespace lowflame {
namespace {

struct Stat {
  char state;
  uint64_t flags, user_ticks, system_ticks, threads;
};

bool ReadStat(uint32_t pid, Stat* out) {
  const std::string text = ReadSmallFile("/proc/" + std::to_string(pid) + "/stat");
  // the name in brackets may hold anything, brackets and spaces too
  const char* at = strrchr(text.c_str(), ')');
  unsigned long long flags, user, system;
  long long threads;
  if (!at || sscanf(at + 1, " %c %*d %*d %*d %*d %*d %llu %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %lld", &out->state,
                    &flags, &user, &system, &threads) != 5)
    return false;
  out->flags = flags;
  out->user_ticks = user;
  out->system_ticks = system;
  out->threads = static_cast<uint64_t>(threads);
  return true;
}

constexpr uint64_t kKernelThread = 0x00200000;  // PF_KTHREAD

}  // namespace

CpuTicks ReadCpuTicks() {
  CpuTicks out;
  DIR* dir = opendir("/proc");
  if (!dir) return out;
  while (const dirent* entry = readdir(dir)) {
    const auto pid = static_cast<uint32_t>(strtoul(entry->d_name, nullptr, 10));
    Stat s;
    if (pid && ReadStat(pid, &s) && !(s.flags & kKernelThread) && s.state != 'Z')
      out[pid] = s.user_ticks + s.system_ticks;
  }
  closedir(dir);
  return out;
}

std::vector<uint32_t> MostRecentFirst(const CpuTicks& before, const CpuTicks& now, size_t* busy) {
  struct Row {
    uint32_t pid;
    uint64_t lately, ever;
  };
  std::vector<Row> rows;
  for (const auto& [pid, ticks] : now) {
    auto was = before.find(pid);
    const uint64_t then = was == before.end() ? 0 : std::min(was->second, ticks);
    rows.push_back({pid, ticks - then, ticks});
  }
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    if (a.lately != b.lately) return a.lately > b.lately;
    return a.ever != b.ever ? a.ever > b.ever : a.pid < b.pid;
  });
  *busy = static_cast<size_t>(std::count_if(rows.begin(), rows.end(), [](const Row& r) { return r.lately > 0; }));
  std::vector<uint32_t> out;
  for (const Row& r : rows) out.push_back(r.pid);
  return out;
}

bool IsAlive(uint32_t pid) {
  Stat s;
  // the first thread of a process may end before the others
  return ReadStat(pid, &s) && (s.state != 'Z' || s.threads > 1);
}

}  // namespace lowflame
