// The entries of .eh_frame and .debug_frame: which function they are about, and where its instructions lie.
#pragma once

#include <cstdint>
#include <vector>

#include "cfi.h"
#include "elf_frames.h"

namespace lowflame {

// A frame description entry: one function. Offsets are from the address that the reader was given.
struct Fde {
  uint32_t begin, end;
  uint32_t instructions_at, instructions_size;  // in the section
  uint32_t cie;
  bool debug;
};

// Reads the entries of a file's sections. Bounded by their size, and by limits.
class FrameEntries {
 public:
  // Of code in `text` alone, which spans less than 4 GiB from `base` on.
  FrameEntries(const std::vector<TextRange>& text, uint64_t base) : text_(text), base_(base) {}

  void Read(const FrameSection& section);
  // Sorts by address, and takes out what is twice: where two overlap, the one that begins later has the rest, as in the
  // search table that unwinders use (.eh_frame_hdr); .eh_frame goes before .debug_frame.
  void Settle();

  const std::vector<Fde>& fdes() const { return fdes_; }
  const Cie& cie(const Fde& fde) const { return cies_[fde.cie]; }
  uint64_t covered_bytes() const;
  // Entries that cannot be read, or are too many.
  uint64_t left_out() const { return left_out_; }

 private:
  struct Entry;
  bool ReadFde(const FrameSection& section, const Entry& entry, uint32_t cie);
  uint32_t CieAt(const FrameSection& section, uint64_t at);

  const std::vector<TextRange>& text_;
  uint64_t base_;
  std::vector<Fde> fdes_;
  std::vector<Cie> cies_;
  uint64_t left_out_ = 0;
};

}  // namespace lowflame
