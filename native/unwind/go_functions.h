// What .gopclntab tells of how Go functions are unwound: those of the runtime that change stacks, or begin one, whose
// call frame information, where there is any, is wrong; and where there is none, as in stripped programs, the frames of
// all.
#pragma once

#include <cstdint>
#include <vector>

#include "../../bpf/unwind.h"
#include "elf_frames.h"

namespace lowflame {

struct GoFunction {
  uint64_t begin, end;  // file addresses
  lf_uw_rule rule;      // of all of it
};
// A function, and where the sizes of its frame are in `GoFunctions::section`.
struct GoFrames {
  uint64_t begin, end;
  size_t sizes_at;
};

// Each by address, without overlaps; empty where a file is no Go program.
struct GoFunctions {
  std::vector<GoFunction> known;  // at most a few dozen
  std::vector<GoFrames> framed;   // all others, if they were asked for
  FrameSection section;
};

// Of Go 1.18 and later (cmd/link/internal/ld/pcln.go, runtime/symtab.go).
GoFunctions FindGoFunctions(const ElfBytes& elf, const std::vector<TextRange>& text, bool with_frames);

// From `begin` to `end` the stack pointer is `bytes` below where it was at the function's entry.
struct GoFrameSize {
  uint64_t begin, end;
  uint32_t bytes;
};
// Ascending, the first at the beginning of the function. Ends early where the table is damaged: nothing is known
// beyond.
std::vector<GoFrameSize> FrameSizesOf(const GoFunctions& go, const GoFrames& function);

}  // namespace lowflame
