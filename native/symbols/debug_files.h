// Separate debug files: the symbols that a distribution stripped from a program and ships on their own.
#pragma once

#include <functional>
#include <string>

#include "../core/unique_fd.h"

namespace lowflame {

// What a stripped file says of its debug file (.gnu_debuglink): a name without directory, and the CRC of the file.
struct DebugLink {
  std::string name;
  uint32_t crc = 0;
};

// Looks by build ID (/usr/lib/debug/.build-id/xx/yyyy.debug), then by link (beside the file, in .debug/, and below
// /usr/lib/debug), in the root of the process (`root` >= 0) and in ours. A candidate must have the same build ID, or
// the CRC of the link, and may speak for `program` (file_owner.h), the stripped file; `use` says whether it holds what
// is wanted. Returns the file that was used, or none.
UniqueFd FindDebugFile(int program, int root, const std::string& path, const DebugLink& link,
                       const std::function<bool(int fd)>& use);

}  // namespace lowflame
