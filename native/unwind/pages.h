// Packs rules in ascending order of address into the pages and chunks of a table (bpf/unwind.h).
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "rules.h"
#include "table.h"

namespace lowflame {

class TableWriter {
 public:
  // For `pages` pages. `table` gets its words, its counts and the size of its directory.
  TableWriter(uint32_t pages, UnwindRules* rules, UnwindTable* table);

  // From `offset` (bytes from the first page's address; never less than the last one) on `rule` holds. Of two at one
  // offset the later counts.
  void Add(uint64_t offset, const lf_uw_rule& rule);
  // From here on a frame of more than the return address has the caller's rbp below that, whatever its entry says.
  void KeepsFramePointers(bool keeps) { keeps_frame_pointers_ = keeps; }
  // From `offset` on there is no rule.
  void AddNone(uint64_t offset) { Add(offset, lf_uw_rule{}); }
  // After the last. False: it would need more chunks than a directory word can name.
  bool Finish();

 private:
  uint16_t IdOf(const lf_uw_rule& rule);
  void Commit();
  void FlushPage();
  struct OpenChunk {
    uint32_t index = 0, used = LF_UW_CHUNK_WORDS;
  };
  OpenChunk* ChunkFor(size_t count);
  uint32_t Place(const uint32_t* rows, size_t count);

  UnwindRules* rules_;
  UnwindTable* table_;
  size_t rules_before_;
  std::vector<uint32_t> directory_;
  std::vector<uint32_t> rows_;                          // of the page that is being filled
  std::unordered_map<uint32_t, uint32_t> single_rows_;  // row -> directory word, of pages that have but one
  struct Cached {
    lf_uw_rule rule;
    uint16_t id;
  };
  std::array<Cached, 512> cache_{};  // all zero is rule 0
  uint32_t page_ = 0;
  std::array<OpenChunk, 8> open_;  // some, so that what does not fit into one leaves it to the next
  uint64_t pending_offset_ = 0;
  uint16_t pending_ = 0, last_ = 0;
  bool full_ = false, keeps_frame_pointers_ = false;
};

}  // namespace lowflame
