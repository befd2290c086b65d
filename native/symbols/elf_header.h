// What can be told of an ELF file by a few reads of its head, before libelf sees it.
#pragma once

#include <cstdint>
#include <string>

namespace lowflame {

// Whether libelf may be let loose on the file: its header tables lie within it and are of sane length. libelf would
// allocate for whatever a header claims, and a sparse file can claim much.
bool ElfHeaderIsSane(int fd, uint64_t file_size);

// Hex build ID from the PT_NOTE segments, "" if none. Cheap; used when a file is first seen.
std::string ReadBuildId(int fd);

}  // namespace lowflame
