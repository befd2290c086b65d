// Differences of what the CPUs counted: see descriptor_seconds.h.
#include "descriptor_seconds.h"

#include <algorithm>

namespace lowflame {
namespace {

constexpr uint64_t kShortestNs = 500000000ull;
constexpr uint64_t kFewest = 100;  // calls in vain: fewer are no spin, and there may be many such descriptors
constexpr size_t kMostDescriptors = 4096;

}  // namespace

void DescriptorSeconds::Add(int cpu, const lf_fd_row* rows) {
  std::vector<Before>& before = before_[cpu];
  before.resize(LF_FD_ROWS);
  for (size_t i = 0; i < LF_FD_ROWS; i++) {
    // the CPU may be writing it: then a call more or less
    const Key key{*static_cast<const volatile decltype(rows->key)*>(&rows[i].key), rows[i].start_time_ns};
    const uint64_t count = rows[i].count, again = rows[i].again;
    Before& b = before[i];
    // a row that another descriptor has taken begins at 0
    if (b.key != key || count < b.count || again < b.again) b = {key, 0, 0};
    if (count > b.count) {
      Second& s = now_[key];
      s.count += count - b.count;
      s.again += again - b.again;
    }
    b.count = count;
    b.again = again;
  }
}

bool DescriptorSeconds::IsLong(uint64_t begin_ns, uint64_t now_ns) const {
  return now_ns >= std::max(begin_ns, since_ns_) + kShortestNs;
}

void DescriptorSeconds::End(uint64_t begin_ns, uint64_t now_ns) {
  const uint64_t ns = now_ns - std::min(now_ns, std::max(begin_ns, since_ns_));
  since_ns_ = now_ns;
  for (const auto& [key, s] : now_) {
    if (s.again < kFewest || s.again * 10 <= s.count * 9) continue;
    auto it = worst_.find(key);
    if (it == worst_.end() && worst_.size() >= kMostDescriptors) continue;
    if (it == worst_.end()) it = worst_.emplace(key, Second{}).first;
    if (s.again > it->second.again) it->second = {ns, s.count, s.again};
  }
  now_.clear();
}

DescriptorSeconds::Second DescriptorSeconds::Worst(const Key& key) const {
  auto it = worst_.find(key);
  return it == worst_.end() ? Second{} : it->second;
}

}  // namespace lowflame
