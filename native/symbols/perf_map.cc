// Perf maps: see perf_map.h. A line is "START SIZE name", numbers in hex; anything else is passed over.
#include "perf_map.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace lowflame {
namespace {
constexpr uint64_t kMaxFile = 256u << 20;
constexpr size_t kMaxEntries = 2u << 20;
constexpr size_t kMaxName = 16384;
}  // namespace

int InnermostPid(uint32_t pid) {
  FILE* f = fopen(("/proc/" + std::to_string(pid) + "/status").c_str(), "re");
  int inner = static_cast<int>(pid);
  if (!f) return inner;
  char line[512];
  while (fgets(line, sizeof(line), f)) {
    if (strncmp(line, "NSpid:", 6)) continue;
    // one number for each namespace, innermost last
    for (char* at = line + 6; *at;) {
      char* end;
      long value = strtol(at, &end, 10);
      if (end == at) break;
      inner = static_cast<int>(value);
      at = end;
    }
  }
  fclose(f);
  return inner;
}

PerfMap::PerfMap(uint32_t pid) {
  std::string inner = std::to_string(InnermostPid(pid)), outer = std::to_string(pid);
  for (const std::string& path :
       {"/proc/" + outer + "/root/tmp/perf-" + inner + ".map", "/tmp/perf-" + outer + ".map"}) {
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat st;
    if (!fd || fstat(fd.get(), &st) || !S_ISREG(st.st_mode)) continue;
    fd_ = std::move(fd);
    return;
  }
}

void PerfMap::Read() {
  std::string text = std::move(tail_);
  std::vector<char> buffer(1 << 20);
  size_t before = entries_.size();
  ssize_t n;
  while (read_size_ < kMaxFile &&
         (n = pread(fd_.get(), buffer.data(), buffer.size(), static_cast<off_t>(read_size_))) > 0) {
    read_size_ += static_cast<uint64_t>(n);
    text.append(buffer.data(), static_cast<size_t>(n));
    size_t at = 0, end;
    for (; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      const char* line = text.c_str() + at;
      char *after_start, *after_size;
      uint64_t begin = strtoull(line, &after_start, 16);
      if (after_start == line || *after_start != ' ') continue;
      uint64_t size = strtoull(after_start + 1, &after_size, 16);
      if (after_size == after_start + 1 || *after_size != ' ' || !size || begin + size < begin) continue;
      const char* name = after_size + 1;
      if (name > text.c_str() + end || entries_.size() >= kMaxEntries) continue;
      entries_.push_back({begin, size, static_cast<uint32_t>(names_.size()), static_cast<uint32_t>(entries_.size())});
      names_.append(name, std::min<size_t>(kMaxName, static_cast<size_t>(text.c_str() + end - name)));
      names_ += '\0';
    }
    text.erase(0, at);
    if (text.size() > 2 * kMaxName) text.clear();  // no line is that long
  }
  tail_ = std::move(text);
  if (entries_.size() != before)
    std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.order < b.order;
    });
}

std::string PerfMap::NameAt(uint64_t address) {
  struct stat st;
  if (!fd_) return "";
  if (!fstat(fd_.get(), &st) && static_cast<uint64_t>(st.st_size) > read_size_) Read();
  auto next = std::upper_bound(entries_.begin(), entries_.end(), address,
                               [](uint64_t a, const Entry& e) { return a < e.begin; });
  const Entry* best = nullptr;
  for (int back = 0; back < 16 && next != entries_.begin(); back++) {
    --next;
    if (address - next->begin < next->size && (!best || next->order > best->order)) best = &*next;
  }
  return best ? names_.c_str() + best->name : "";
}

}  // namespace lowflame
