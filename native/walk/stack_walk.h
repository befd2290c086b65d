// The walker of user stacks (bpf/unwind-step.h) compiled for user space: the same code as the BPF programs run, over
// whatever memory and tables the caller has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../../bpf/unwind.h"

namespace lowflame {

// Words of a file's table: LF_UW_CHUNK_WORDS a chunk.
using TableWords = std::vector<uint32_t>;

// What a walk asks. Pointers stay valid until the walk is over.
class WalkSource {
 public:
  virtual ~WalkSource() = default;
  // False: not all of it can be read.
  virtual bool ReadStack(void* to, size_t bytes, uint64_t from) = 0;
  // A source that does not have all mappings of a process in one place is asked for each address instead of Process.
  virtual bool by_address() const { return false; }
  virtual const lf_uw_mapping* MappingAt(uint64_t) { return nullptr; }
  // nullptr: not known, or not loaded.
  virtual const lf_uw_process* Process(const lf_uw_key& key) = 0;
  virtual const lf_uw_file* File(uint32_t table) = 0;
  virtual const lf_uw_rule* Rule(uint32_t rule) = 0;
  virtual TableWords* Table(uint32_t table) = 0;
};

// Of a thread in user space.
struct WalkRegisters {
  uint64_t ip, sp, bp;
};

struct StackWalk {
  std::vector<uint64_t> frames;  // leaf first
  lf_uw_stop stop;
};

// At most LF_MAX_FRAMES frames. `start_time_ns` as in lf_uw_process. A process that is not known has no frames
// (LF_UW_STOP_PROCESS).
StackWalk WalkStack(WalkSource* source, uint32_t tgid, uint64_t start_time_ns, const WalkRegisters& registers);

}  // namespace lowflame
