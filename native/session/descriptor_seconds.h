// The worst second of each descriptor: a program that asks in vain now may have asked for hours before, and got
// answers. What the CPUs counted is looked at together, about once a second: on each alone a descriptor that two share
// would seem to spin where one of them finds nothing, and a spin that they share would be half as fast. Of 4,096
// descriptors that ever spun in a recording; the totals have all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../../bpf/events.h"

namespace lowflame {

class DescriptorSeconds {
 public:
  // As in lf_fd_row, and the start of the process.
  using Key = std::pair<uint64_t, uint64_t>;
  struct Second {
    uint64_t ns, count, again;
  };

  // The rows of one CPU as they are now; of all CPUs, then End.
  void Add(int cpu, const lf_fd_row* rows);
  // The second is over, at `now_ns` of CLOCK_MONOTONIC. The first one began with `begin_ns`.
  void End(uint64_t begin_ns, uint64_t now_ns);
  // Whether it has lasted long enough to be one.
  bool IsLong(uint64_t begin_ns, uint64_t now_ns) const;
  // Of the seconds in which more than nine of ten calls ended with EAGAIN the one with most; all 0 if there was none.
  Second Worst(const Key& key) const;

 private:
  struct Before {
    Key key;
    uint64_t count, again;
  };
  struct HashOf {
    std::size_t operator()(const Key& key) const { return (key.first ^ key.second >> 8) * 0x9E3779B97F4A7C15ull >> 16; }
  };
  std::unordered_map<int, std::vector<Before>> before_;  // by CPU, its rows at the end of the last second
  std::unordered_map<Key, Second, HashOf> now_, worst_;
  uint64_t since_ns_ = 0;
};

}  // namespace lowflame
