// Perf maps: see perf_map.h. A line is "START SIZE name", numbers in hex; anything else is passed over.
#include "perf_map.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "rooted_open.h"

namespace lowflame {
namespace {

constexpr uint64_t kMaxFile = 256u << 20;
constexpr size_t kMaxEntries = 1u << 20, kMaxNameBytes = 64u << 20;
constexpr size_t kMaxName = 16384;
constexpr uint64_t kMaxSize = 1u << 30;  // of one function
constexpr int kMaxLookBack = 64;

struct Identity {
  uint32_t inner_pid;  // as the process itself knows it, in its innermost pid namespace
  uint32_t uid;        // effective
};

bool ReadIdentity(uint32_t pid, Identity* out) {
  FILE* f = fopen(("/proc/" + std::to_string(pid) + "/status").c_str(), "re");
  if (!f) return false;
  *out = {pid, 0};
  char line[512];
  bool found = false;
  while (fgets(line, sizeof(line), f)) {
    unsigned real, effective;
    if (sscanf(line, "Uid: %u %u", &real, &effective) == 2) out->uid = effective, found = true;
    if (strncmp(line, "NSpid:", 6)) continue;
    // one number for each namespace, innermost last
    char* end;
    for (char* at = line + 6;; at = end) {
      unsigned long value = strtoul(at, &end, 10);
      if (end == at) break;
      out->inner_pid = static_cast<uint32_t>(value);
    }
  }
  fclose(f);
  return found;
}

}  // namespace

PerfMap::PerfMap(uint32_t pid) {
  Identity who;
  if (!ReadIdentity(pid, &who)) return;
  auto take = [&](UniqueFd fd) {
    struct stat st;
    if (fd && !fstat(fd.get(), &st) && (st.st_uid == who.uid || st.st_uid == 0)) fd_ = std::move(fd);
    return found();
  };
  UniqueFd root = OpenRoot(pid);
  if (root && take(OpenBelow(root.get(), "/tmp/perf-" + std::to_string(who.inner_pid) + ".map"))) return;
  take(OpenBelow(-1, "/tmp/perf-" + std::to_string(pid) + ".map"));
}

void PerfMap::Parse(const char* line, const char* end) {
  char *after_start, *after_size;
  uint64_t begin = strtoull(line, &after_start, 16);
  if (after_start == line || *after_start != ' ') return;
  uint64_t size = strtoull(after_start + 1, &after_size, 16);
  if (after_size == after_start + 1 || *after_size != ' ' || !size || size > kMaxSize || begin + size < begin) return;
  const char* name = after_size + 1;
  if (name >= end || entries_.size() >= kMaxEntries || names_.size() >= kMaxNameBytes) return;
  entries_.push_back({begin, static_cast<uint32_t>(size), static_cast<uint32_t>(names_.size())});
  names_.append(name, strnlen(name, std::min<size_t>(kMaxName, static_cast<size_t>(end - name))));
  names_ += '\0';
}

void PerfMap::Read() {
  std::vector<char> buffer(1 << 18);
  size_t before = entries_.size();
  ssize_t n;
  while (read_size_ < kMaxFile &&
         (n = pread(fd_.get(), buffer.data(), buffer.size(), static_cast<off_t>(read_size_))) > 0) {
    read_size_ += static_cast<uint64_t>(n);
    tail_.append(buffer.data(), static_cast<size_t>(n));
    size_t at = 0, end;
    for (; (end = tail_.find('\n', at)) != std::string::npos; at = end + 1) {
      // a line whose head was thrown away must not be read from its middle
      if (!skip_line_) {
        tail_[end] = 0;  // no number may be read on into the next line
        Parse(tail_.c_str() + at, tail_.c_str() + end);
      }
      skip_line_ = false;
    }
    tail_.erase(0, at);
    if (tail_.size() > 2 * kMaxName) {
      tail_.clear();  // no line is that long
      skip_line_ = true;
    }
  }
  if (entries_.size() != before)
    std::sort(entries_.begin(), entries_.end(),
              [](const Entry& a, const Entry& b) { return a.begin != b.begin ? a.begin < b.begin : a.name < b.name; });
}

std::string PerfMap::NameAt(uint64_t address) {
  struct stat st;
  if (!fd_ || fstat(fd_.get(), &st)) return "";
  auto size = static_cast<uint64_t>(st.st_size);
  if (size < read_size_) {
    // emptied and begun anew
    entries_.clear();
    names_.clear();
    tail_.clear();
    skip_line_ = false;
    read_size_ = 0;
  }
  if (size > read_size_) Read();
  auto next = std::upper_bound(entries_.begin(), entries_.end(), address,
                               [](uint64_t a, const Entry& e) { return a < e.begin; });
  const Entry* best = nullptr;
  for (int back = 0; back < kMaxLookBack && next != entries_.begin(); back++) {
    --next;
    if (address - next->begin < next->size && (!best || next->name > best->name)) best = &*next;
  }
  return best ? names_.c_str() + best->name : "";
}

}  // namespace lowflame
