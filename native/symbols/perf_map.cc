// Perf maps: see perf_map.h. A line is "START SIZE name", numbers in hex; anything else is passed over.
#include "perf_map.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "read_name.h"
#include "rooted_open.h"

namespace lowflame {
namespace {

constexpr uint64_t kMaxFile = 256u << 20;
constexpr size_t kMaxEntries = 1u << 20, kMaxNameBytes = 64u << 20;
constexpr uint64_t kMaxSize = 1u << 30;  // of one function
constexpr int kMaxLookBack = 64;
constexpr size_t kMaxRanges = 1024;  // of one reading; more are told as one

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
    if (fd && !fstat(fd.get(), &st) && (st.st_uid == who.uid || st.st_uid == 0) && st.st_nlink == 1)
      fd_ = std::move(fd);
    return found();
  };
  UniqueFd root = OpenRoot(pid);
  if (root && take(OpenWithoutLinks(root.get(), "/tmp/perf-" + std::to_string(who.inner_pid) + ".map"))) return;
  take(OpenWithoutLinks(-1, "/tmp/perf-" + std::to_string(pid) + ".map"));
}

bool PerfMap::SameFile(const PerfMap& other) const {
  struct stat a, b;
  return !fstat(fd_.get(), &a) && !fstat(other.fd_.get(), &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

void PerfMap::Parse(const char* line, const char* end) {
  char *after_start, *after_size;
  uint64_t begin = strtoull(line, &after_start, 16);
  if (after_start == line || *after_start != ' ') return;
  uint64_t size = strtoull(after_start + 1, &after_size, 16);
  if (after_size == after_start + 1 || *after_size != ' ' || !size || size > kMaxSize || begin + size < begin) return;
  const char* name = after_size + 1;
  if (name >= end || entries_.size() >= kMaxEntries || names_.size() >= kMaxNameBytes) return;
  entries_.push_back({begin, static_cast<uint32_t>(size), static_cast<uint32_t>(names_.size()), era_});
  names_.append(name, strnlen(name, std::min<size_t>(kMaxName, static_cast<size_t>(end - name))));
  names_ += '\0';
}

void PerfMap::Read() {
  std::vector<char> buffer(1 << 18);
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
}

// Entries from `before` on are new: they go where they belong, and where they lie on others of their era that have
// another name, the code is other code now.
void PerfMap::TakeIn(size_t before, Changed* changed) {
  if (entries_.size() == before) return;
  auto by_address = [](const Entry& a, const Entry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.line() < b.line();
  };
  const auto middle = entries_.begin() + static_cast<long>(before);
  std::sort(middle, entries_.end(), by_address);
  auto differs = [this](const Entry& a, const Entry& b) {
    return a.era == b.era && a.begin < b.begin + b.size && b.begin < a.begin + a.size &&
           strcmp(names_.c_str() + a.name, names_.c_str() + b.name) != 0;
  };
  for (auto e = middle; e != entries_.end(); ++e) {
    const auto at = std::lower_bound(entries_.begin(), middle, e->begin,
                                     [](const Entry& old, uint64_t begin) { return old.begin < begin; });
    bool other = false;
    auto old = at;
    for (int on = 0; !other && old != middle && old->begin < e->begin + e->size; ++old)
      other = differs(*old, *e) || ++on == kMaxLookBack;
    old = at;
    for (int back = 0; !other && back < kMaxLookBack && old != entries_.begin(); back++) other = differs(*--old, *e);
    if (!other) continue;
    std::vector<Changed::Range>& ranges = changed->ranges;
    if (!ranges.empty() && e->begin <= ranges.back().end)
      ranges.back().end = std::max(ranges.back().end, e->begin + e->size);
    else
      ranges.push_back({e->begin, e->begin + e->size});
  }
  if (changed->ranges.size() > kMaxRanges)
    changed->ranges = {{changed->ranges.front().begin, changed->ranges.back().end}};
  std::inplace_merge(entries_.begin(), middle, entries_.end(), by_address);
}

PerfMap::Changed PerfMap::ReadOn(uint32_t era) {
  Changed changed;
  struct stat st;
  if (!fd_ || fstat(fd_.get(), &st)) return changed;
  auto size = static_cast<uint64_t>(st.st_size);
  changed.unlinked = !st.st_nlink;
  era_ = std::max(era_, era);
  if (size < read_size_) {
    changed.all = true;
    era_++;
    // emptied and begun anew
    entries_.clear();
    names_.clear();
    tail_.clear();
    skip_line_ = false;
    read_size_ = 0;
  }
  changed.line = uint64_t{era_} << 32 | names_.size();
  const size_t before = entries_.size();
  if (size > read_size_) Read();
  TakeIn(before, &changed);
  return changed;
}

std::string PerfMap::NameAt(uint64_t address, MapChanges::Lines lines) const {
  auto next = std::upper_bound(entries_.begin(), entries_.end(), address,
                               [](uint64_t a, const Entry& e) { return a < e.begin; });
  const Entry* best = nullptr;
  for (int back = 0; back < kMaxLookBack && next != entries_.begin(); back++) {
    --next;
    if (address - next->begin >= next->size || next->line() < lines.from || next->line() >= lines.before) continue;
    if (!best || next->line() > best->line()) best = &*next;
  }
  return best ? names_.c_str() + best->name : "";
}

}  // namespace lowflame
