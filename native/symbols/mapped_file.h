// The file behind a mapping of a process: which one it is, and how to open it, also in a container.
#pragma once

#include <cstdint>
#include <string>

#include "../core/unique_fd.h"
#include "process_maps.h"

namespace lowflame {

// Tells files apart for the cost of one stat: device, inode and time of the last change. Equal for equal files as long
// as nobody writes into them.
std::string IdentityOf(uint32_t pid, const Mapping& mapping);

// Opens it for reading: the mapping itself, or else its path in the process's root if that still is the same file.
// Empty if it is no regular file or cannot be had.
UniqueFd OpenMapped(uint32_t pid, const Mapping& mapping);

}  // namespace lowflame
