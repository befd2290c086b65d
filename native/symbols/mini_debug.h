// Mini debug info (.gnu_debugdata): an ELF file, packed by xz, with the symbols that a distribution stripped from
// .symtab and that .dynsym does not have. Fedora and its kin put it into every program.
#pragma once

#include <cstdint>

#include "../core/unique_fd.h"

namespace lowflame {

// The unpacked file, in memory; empty if what lies at `at`, `size` bytes, is no whole xz stream, or is too large: more
// than 64 MiB when unpacked, or 80 MiB needed for unpacking.
UniqueFd UnpackMiniDebugInfo(int fd, uint64_t at, uint64_t size);

// Frees what lies outside of [at, at + size) of an unpacked file: only its names are asked for again.
void KeepOnly(int unpacked, uint64_t at, uint64_t size);

}  // namespace lowflame
