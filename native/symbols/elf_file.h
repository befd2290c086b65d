// Opening an ELF file for libelf, once its claims have been looked at, and what it says of its debug file.
#pragma once

#include <libelf.h>

#include <cstdint>
#include <memory>

#include "debug_files.h"

namespace lowflame {

struct ElfEnd {
  void operator()(Elf* elf) const { elf_end(elf); }
};
using ElfPtr = std::unique_ptr<Elf, ElfEnd>;

// Empty if it is no ELF file or lies about itself. `size`: bytes of the file. It is read, not mapped (a mapped file
// that is cut short would end us with SIGBUS).
ElfPtr OpenElf(int fd, uint64_t* size);

// Empty where it names none.
DebugLink ReadDebugLink(Elf* elf, uint64_t file_size);

// Time of the last change, ns since 1970; -1 if it cannot be had.
int64_t ModifiedNs(int fd);

}  // namespace lowflame
