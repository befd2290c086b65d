// Facts read from /proc and /sys: CPUs online, CPU times, own memory, ranges of kernel functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
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

// [begin, end) of each kernel function found, in the order asked; {0, 0} if not found or hidden.
struct KernelRange {
  uint64_t begin = 0, end = 0;
  bool contains(uint64_t a) const { return a >= begin && a < end; }
};
std::vector<KernelRange> KernelFunctionRanges(const std::vector<std::string_view>& names);
// Of each name the function so called and those that the compiler made of it ("NAME.constprop.0"), in the order asked.
std::vector<std::vector<KernelRange>> KernelFunctionClones(const std::vector<std::string_view>& names);

std::string ReadSmallFile(const std::string& path);

}  // namespace lowflame
