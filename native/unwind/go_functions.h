// Functions of Go's runtime that change stacks, or begin one: their call frame information, where there is any, is
// wrong.
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

// By address, at most a few dozen; none where `elf` is no Go program. Names and addresses come from .gopclntab, which
// stripped programs have as well: of Go 1.18 and later (cmd/link/internal/ld/pcln.go, runtime/symtab.go).
std::vector<GoFunction> FindGoFunctions(const ElfBytes& elf, const std::vector<TextRange>& text);

}  // namespace lowflame
