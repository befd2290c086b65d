// Opening files as another process sees them: below its root, and never outside of it.
#pragma once

#include <string>

#include "../core/unique_fd.h"

namespace lowflame {

// The root directory of a process, for use after its exit too; empty if the process is gone.
UniqueFd OpenRoot(uint32_t pid);

// Opens a regular file for reading below `root` (a directory). Links, absolute ones too, are resolved within it: a
// container cannot lead us to the host's files. root < 0 means our own root. Empty if there is no such regular file.
UniqueFd OpenBelow(int root, const std::string& path);

// The same of a path in a directory that all may write: no part of it may be a link.
UniqueFd OpenWithoutLinks(int root, const std::string& path);

}  // namespace lowflame
