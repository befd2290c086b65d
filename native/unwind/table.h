// The unwind table of one ELF file, in the layout of bpf/unwind.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "rules.h"

namespace lowflame {

struct UnwindTable {
  lf_uw_file file{};            // first, pages, directory_chunks
  std::vector<uint32_t> words;  // chunks of LF_UW_CHUNK_WORDS; empty = no table, see `why`
  std::string why;              // one clause about the file, "" if there is a table
  uint64_t rows = 0;            // in `words`, carried ones too
  uint64_t rows_left_out = 0;   // of pages with more than LF_UW_PAGE_ROWS; LF_UW_UNSUPPORTED stands for them
  uint64_t rows_unsupported = 0;
  uint64_t functions = 0;           // frame description entries in it
  uint64_t functions_left_out = 0;  // those that cannot be read; by frame pointer, if nothing else covers them
  uint64_t text_bytes = 0;          // of executable segments
};

// The table of an open ELF file: .eh_frame, and for what that does not cover .debug_frame, its own or that of a debug
// file found by build ID in `root` (a directory; -1: only ours). Rules go to `rules`. Reads with pread, so the file's
// position stays. Never throws; whatever the file holds, time and memory are bounded by its size, and by limits.
UnwindTable BuildUnwindTable(int fd, UnwindRules* rules, int root = -1);
// The same of an image in memory (the vdso).
UnwindTable BuildUnwindTableFromImage(const char* image, size_t size, UnwindRules* rules);

// Id of the rule at a file address, as the BPF walker looks it up; 0 if there is none.
uint16_t RuleAt(const UnwindTable& table, uint64_t file_address);

}  // namespace lowflame
