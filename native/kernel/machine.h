// Facts read from /proc and /sys: CPUs online, CPU times, own memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lowflame {

// CPUs of a list such as "0-3,8". Empty if it cannot be parsed.
std::vector<int> ParseCpuList(const std::string& text);
std::vector<int> OnlineCpus();
int PossibleCpus();  // highest possible CPU number + 1

// One row of /proc/stat, nanoseconds.
struct CpuTimes {
  int cpu;
  double user, nice, system, idle, iowait, irq, softirq, steal;
};
std::vector<CpuTimes> ReadCpuTimes();

uint64_t MonotonicNs();
uint64_t WallNs();
uint64_t LiveThreads();

struct OwnUsage {
  uint64_t user_ns, system_ns, peak_rss_bytes;
};
OwnUsage ReadOwnUsage();

std::string ReadSmallFile(const std::string& path);

}  // namespace lowflame
