// What can be told of an ELF file by a few reads of its head, before libelf sees it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lowflame {

// Whether libelf may be let loose on the file: its header tables lie within it and are of sane length. libelf would
// allocate for whatever a header claims, and a sparse file can claim much.
bool ElfHeaderIsSane(int fd, uint64_t file_size);

// Hex build ID from the PT_NOTE segments, "" if none. Cheap; used when a file is first seen.
std::string ReadBuildId(int fd);

// An executable segment, bytes: where it is in the file and at which address the file wants it.
struct ElfSegment {
  uint64_t offset, bytes, address;
};
// Of a 64-bit program or library, in the order of the file; empty if it is none.
std::vector<ElfSegment> ExecutableSegments(int fd);
// The one that a mapping from this offset of the file on shows; nullptr if none.
const ElfSegment* SegmentOf(const std::vector<ElfSegment>& segments, uint64_t offset);

}  // namespace lowflame
