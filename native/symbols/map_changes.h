// When addresses of one process's perf map took on other meanings: a JIT gives freed memory to other code, and writes a
// line for it; an exec ends all that was there. So a sample is named by the lines of its time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lowflame {

// Times are CLOCK_MONOTONIC, ns. Lines are numbered in the order of their writing, by PerfMap.
class MapChanges {
 public:
  // Code in [begin, end) is other code from then on, which no line before `line` names anew.
  void Add(uint64_t begin, uint64_t end, uint64_t time_ns, uint64_t line);
  // The same of all code: no line before `line` names any of it.
  void AddAll(uint64_t time_ns, uint64_t line);

  // Which of the meanings that an address had was that of this time: 0 is the first.
  uint32_t GenerationOf(uint64_t address, uint64_t time_ns) const;
  // The lines [from, before) that may name it in that generation.
  struct Lines {
    uint64_t from = 0, before = UINT64_MAX;
  };
  Lines LinesOf(uint64_t address, uint32_t generation) const;
  // When any address last took on another meaning, up to then; 0 = never.
  uint64_t ChangedAt(uint64_t time_ns) const;
  bool empty() const { return changes_.empty(); }
  uint64_t bytes() const { return changes_.capacity() * sizeof(Change); }

 private:
  struct Change {
    uint64_t begin, end, time_ns, line;
    bool covers(uint64_t address) const { return address >= begin && address < end; }
    bool all() const { return !begin && end == UINT64_MAX; }
  };
  std::vector<Change> changes_;  // in the order of their time
  uint32_t forgotten_ = 0;       // older ones
};

}  // namespace lowflame
