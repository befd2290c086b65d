// Executable mappings of one process, from /proc/PID/maps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lowflame {

struct Mapping {
  uint64_t begin, end, offset;
  uint64_t device, inode;  // 0, 0 = no file
  std::string path;        // as the process sees it, without " (deleted)"
  bool deleted;
  uint32_t file = UINT32_MAX;  // filled in by the symbolizer
};

// False if the process is gone or not readable. Sorted by address; at most 16,384 mappings.
bool ReadExecutableMappings(uint32_t pid, std::vector<Mapping>* out);

}  // namespace lowflame
