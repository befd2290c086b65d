// The file behind a mapping of a process: which one it is, and how to open it, also in a container.
#pragma once

#include <cstdint>
#include <string>

#include "../core/unique_fd.h"
#include "process_maps.h"

namespace lowflame {

// Tells files apart for the cost of one stat: device, inode and time of the last change (ctime, which nobody can set).
// Equal for equal files as long as nobody writes into them. Of a mapping that is gone it tells the file at its path, if
// that still is the same, and never that of another one which has its addresses now.
std::string IdentityOf(uint32_t pid, const Mapping& mapping);

// Of two identities: whether they are of one file that has changed in between. Its contents may be others then, with
// the build ID and the size of before.
bool HasChanged(const std::string& before, const std::string& now);

// Opens it for reading: the mapping itself, or else its path in the process's root if that still is the same file.
// Empty if it is no regular file or cannot be had.
UniqueFd OpenMapped(uint32_t pid, const Mapping& mapping);

// Whether what is mapped begins as an ELF file does. Also if it cannot be opened any more: then nobody knows better.
bool IsProgram(uint32_t pid, const Mapping& mapping);

}  // namespace lowflame
