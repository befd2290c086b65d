// Text that a program has copied into memory without a file, at the same addresses, as Node does for large pages
// (--use-largepages): its functions are still the file's.
#pragma once

#include <cstdint>
#include <vector>

#include "process_maps.h"

namespace lowflame {

// Whether `memory`, mapped between `before` and `after` (nullptr: nothing there), is a copy of the file that those are
// parts of: it lies where the file's text would go on, and the bytes are the same in process `pid`, at 16 places. Then
// `*as_file` is what was mapped there before.
bool IsTextCopy(uint32_t pid, const Mapping& memory, const Mapping* before, const Mapping* after, Mapping* as_file);

// Puts the file in the place of each such copy, in mappings as ReadExecutableMappings gives them.
void RestoreText(uint32_t pid, std::vector<Mapping>* mappings);

}  // namespace lowflame
