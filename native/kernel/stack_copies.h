// Copies of stack memory that BPF programs send ahead of their records, for programs that are too young to be known
// (bpf/unwind.bpf.h): one ring a CPU for all programs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "../core/unique_fd.h"

struct ring_buffer;

namespace lowflame {

// Of a thread in user space, and stack memory from `sp` on.
struct StackCopy {
  uint64_t ip, sp, bp;
  std::vector<uint8_t> memory;
};

// Used by one thread.
class StackCopies {
 public:
  // `map`: lf_uw_copies of the programs.
  explicit StackCopies(int map) : map_(map) {}
  ~StackCopies();
  StackCopies(const StackCopies&) = delete;
  StackCopies& operator=(const StackCopies&) = delete;

  // Makes the ring of a CPU (`bytes`: a power of two), and returns it to be kept as long as the programs; empty if it
  // has one. Throws Error.
  UniqueFd AddCpu(int cpu, uint32_t bytes);
  // The one that went ahead of a record (lf_record.copied_ns), which is there once the record is.
  std::optional<StackCopy> Take(uint32_t tid, uint64_t taken_ns);
  // After each drain: those whose record did not come go at the second.
  void PassDone();

 private:
  using Key = std::pair<uint32_t, uint64_t>;
  struct Held {
    StackCopy copy;
    uint64_t pass;
  };
  static int OnCopy(void* self, void* data, size_t size);

  const int map_;
  std::set<int> cpus_;
  ring_buffer* rings_ = nullptr;
  std::map<Key, Held> held_;
  uint64_t pass_ = 0;
};

}  // namespace lowflame
