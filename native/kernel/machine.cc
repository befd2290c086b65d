// Facts from /proc and /sys: see machine.h.
#include "machine.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "../core/unique_fd.h"

namespace lowflame {

std::string ReadSmallFile(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  if (!fd) return text;
  char buffer[16384];
  ssize_t n;
  while ((n = read(fd.get(), buffer, sizeof(buffer))) > 0) text.append(buffer, static_cast<size_t>(n));
  return text;
}

std::vector<int> ParseCpuList(const std::string& text) {
  std::vector<int> cpus;
  std::stringstream in(text);
  std::string part;
  while (std::getline(in, part, ',')) {
    int from = 0, to = 0;
    int n = sscanf(part.c_str(), "%d-%d", &from, &to);
    if (n < 1 || from < 0) continue;
    if (n == 1) to = from;
    for (int c = from; c <= to && c < 8192; c++) cpus.push_back(c);
  }
  return cpus;
}

std::vector<int> OnlineCpus() {
  return ParseCpuList(ReadSmallFile("/sys/devices/system/cpu/online"));
}

int PossibleCpus() {
  std::vector<int> cpus = ParseCpuList(ReadSmallFile("/sys/devices/system/cpu/possible"));
  return cpus.empty() ? 1 : cpus.back() + 1;
}

std::vector<CpuTimes> ReadCpuTimes() {
  std::vector<CpuTimes> rows;
  std::stringstream in(ReadSmallFile("/proc/stat"));
  std::string line;
  const double tick = 1e9 / static_cast<double>(sysconf(_SC_CLK_TCK));
  while (std::getline(in, line)) {
    CpuTimes t{};
    if (sscanf(line.c_str(), "cpu%d %lf %lf %lf %lf %lf %lf %lf %lf", &t.cpu, &t.user, &t.nice, &t.system, &t.idle,
               &t.iowait, &t.irq, &t.softirq, &t.steal) != 9)
      continue;
    for (double* v : {&t.user, &t.nice, &t.system, &t.idle, &t.iowait, &t.irq, &t.softirq, &t.steal}) *v *= tick;
    rows.push_back(t);
  }
  return rows;
}

static uint64_t Now(clockid_t clock) {
  timespec ts;
  clock_gettime(clock, &ts);
  return static_cast<uint64_t>(ts.tv_sec) * 1000000000ull + static_cast<uint64_t>(ts.tv_nsec);
}
uint64_t MonotonicNs() {
  return Now(CLOCK_MONOTONIC);
}
uint64_t WallNs() {
  return Now(CLOCK_REALTIME);
}

uint64_t LiveThreads() {
  // "0.00 0.01 0.05 1/123 4567": running/all
  std::string text = ReadSmallFile("/proc/loadavg");
  const char* slash = strchr(text.c_str(), '/');
  return slash ? strtoull(slash + 1, nullptr, 10) : 1000;
}

OwnUsage ReadOwnUsage() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  auto ns = [](const timeval& t) {
    return static_cast<uint64_t>(t.tv_sec) * 1000000000ull + static_cast<uint64_t>(t.tv_usec) * 1000ull;
  };
  return {ns(u.ru_utime), ns(u.ru_stime), static_cast<uint64_t>(u.ru_maxrss) * 1024};
}

}  // namespace lowflame
