// A generation is the number of the last change of an address: see map_changes.h.
#include "map_changes.h"

#include <algorithm>

namespace lowflame {
namespace {

// The oldest go first. Their addresses begin another generation, and who asks for one of before gets no name.
constexpr size_t kMaxChanges = 4096;

}  // namespace

void MapChanges::Add(uint64_t begin, uint64_t end, uint64_t time_ns, uint64_t line) {
  if (changes_.size() >= kMaxChanges) {
    changes_.erase(changes_.begin(), changes_.begin() + kMaxChanges / 4);
    forgotten_ += kMaxChanges / 4;
  }
  // each has its own time, by which stacks are kept; lines that came since before an exec are of after it
  if (!changes_.empty()) time_ns = std::max(time_ns, changes_.back().time_ns + 1);
  changes_.push_back({begin, end, time_ns, line});
}

void MapChanges::AddAll(uint64_t time_ns, uint64_t line) {
  Add(0, UINT64_MAX, time_ns, line);
}

uint32_t MapChanges::GenerationOf(uint64_t address, uint64_t time_ns) const {
  for (size_t i = changes_.size(); i-- > 0;)
    if (changes_[i].time_ns <= time_ns && changes_[i].covers(address)) return forgotten_ + static_cast<uint32_t>(i) + 1;
  return forgotten_;
}

MapChanges::Lines MapChanges::LinesOf(uint64_t address, uint32_t generation) const {
  if (generation < forgotten_) return {0, 0};
  Lines lines;
  for (size_t i = 0; i < changes_.size(); i++) {
    const Change& c = changes_[i];
    if (!c.covers(address)) continue;
    if (forgotten_ + i + 1 > generation) {
      lines.before = c.line;
      break;
    }
    if (c.all()) lines.from = c.line;
  }
  return lines;
}

uint64_t MapChanges::ChangedAt(uint64_t time_ns) const {
  auto after = std::upper_bound(changes_.begin(), changes_.end(), time_ns,
                                [](uint64_t t, const Change& c) { return t < c.time_ns; });
  return after == changes_.begin() ? 0 : (after - 1)->time_ns;
}

}  // namespace lowflame
