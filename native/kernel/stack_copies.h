// Copies of stack memory that BPF programs send ahead of their records, for programs that are too young to be known
// (bpf/unwind.bpf.h): an area and a ring a CPU for all programs.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "../core/unique_fd.h"

struct lf_copy_area;
struct ring_buffer;

namespace lowflame {

// Of a thread in user space: its registers, and what could be read of its stack.
struct StackCopy {
  struct Run {
    uint64_t at;
    std::vector<uint8_t> bytes;
  };
  uint64_t ip, sp, bp;
  std::vector<Run> runs;  // by address, none next to another
  // False: not all of it is there.
  bool Read(void* to, size_t bytes, uint64_t from) const;
};

// Used by one thread.
class StackCopies {
 public:
  // The maps lf_uw_areas and lf_uw_rings of the programs.
  StackCopies(int areas, int rings) : areas_map_(areas), rings_map_(rings) {}
  ~StackCopies();
  StackCopies(const StackCopies&) = delete;
  StackCopies& operator=(const StackCopies&) = delete;

  // Makes area and ring (`ring_bytes`: a power of two) of a CPU, and returns them to be kept as long as the programs;
  // empty if it has them. Throws Error.
  std::array<UniqueFd, 2> AddCpu(int cpu, uint32_t ring_bytes);
  // The one that went ahead of a record (lf_record.copied_ns), which is there once the record is.
  std::optional<StackCopy> Take(uint32_t tid, uint64_t taken_ns);
  // After each drain: those whose record did not come go at the second.
  void PassDone();
  // Copies that found no room.
  uint64_t dropped() const;

 private:
  using Key = std::pair<uint32_t, uint64_t>;
  struct Held {
    StackCopy copy;
    uint64_t pass;
  };
  static int OnCopy(void* self, void* data, size_t size);

  const int areas_map_, rings_map_;
  std::map<int, const lf_copy_area*> areas_;
  ring_buffer* rings_ = nullptr;
  std::map<Key, Held> held_;
  uint64_t pass_ = 0;
};

}  // namespace lowflame
