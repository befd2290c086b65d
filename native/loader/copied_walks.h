// Walks of stacks that were copied because their program was too young for the kernel's tables to know it: a few
// milliseconds later its mappings have been recorded, and its files can be read. Drain thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "../kernel/stack_copies.h"
#include "../symbols/elf_header.h"
#include "../symbols/symbols.h"
#include "../unwind/rules.h"
#include "../unwind/table.h"
#include "../walk/stack_walk.h"

namespace lowflame {

class CopiedWalks : private WalkSource {
 public:
  explicit CopiedWalks(Symbolizer* symbolizer) : symbolizer_(symbolizer) {}
  // The stack of a thread of that process at that time. Nothing where something is still missing: then the walk that
  // the kernel made stands.
  std::optional<StackWalk> Walk(uint32_t pid, uint64_t start_time_ns, uint64_t time_ns, const StackCopy& copy);

 private:
  struct Loaded {
    UnwindTable table;
    std::vector<ElfSegment> segments;
  };
  bool ReadStack(void* to, size_t bytes, uint64_t from) override;
  bool by_address() const override { return true; }
  const lf_uw_mapping* MappingAt(uint64_t address) override;
  const lf_uw_process* Process(const lf_uw_key&) override { return nullptr; }
  const lf_uw_file* File(uint32_t table) override;
  const lf_uw_rule* Rule(uint32_t rule) override;
  TableWords* Table(uint32_t table) override;
  Loaded* Load(const MappedCode& code);

  Symbolizer* symbolizer_;
  UnwindRules rules_;
  std::map<uint32_t, std::unique_ptr<Loaded>> tables_;  // by module
  uint64_t table_bytes_ = 0;
  // of the walk under way
  uint32_t pid_ = 0;
  uint64_t start_time_ns_ = 0, time_ns_ = 0;
  const StackCopy* copy_ = nullptr;
  lf_uw_mapping mapping_{};
};

}  // namespace lowflame
