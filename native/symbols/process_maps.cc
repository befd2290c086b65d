// /proc/PID/maps: see process_maps.h.
#include "process_maps.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace lowflame {

bool ReadExecutableMappings(uint32_t pid, std::vector<Mapping>* out) {
  constexpr size_t kMaxMappings = 16384;
  out->clear();
  FILE* f = fopen(("/proc/" + std::to_string(pid) + "/maps").c_str(), "re");
  if (!f) return false;
  char* line = nullptr;
  size_t capacity = 0;
  bool any = false;
  while (getline(&line, &capacity, f) > 0 && out->size() < kMaxMappings) {
    any = true;
    unsigned long long begin, end, offset, inode;
    unsigned major, minor;
    char perms[8];
    int at = 0;
    if (sscanf(line, "%llx-%llx %7s %llx %x:%x %llu %n", &begin, &end, perms, &offset, &major, &minor, &inode, &at) < 7)
      continue;
    if (perms[2] != 'x') continue;
    Mapping m{begin, end, offset, static_cast<uint64_t>(major) << 32 | minor, inode, "", false};
    if (at) m.path = line + at;
    while (!m.path.empty() && m.path.back() == '\n') m.path.pop_back();
    static const std::string kDeleted = " (deleted)";
    if (m.path.size() > kDeleted.size() &&
        m.path.compare(m.path.size() - kDeleted.size(), kDeleted.size(), kDeleted) == 0) {
      m.path.resize(m.path.size() - kDeleted.size());
      m.deleted = true;
    }
    out->push_back(std::move(m));
  }
  free(line);
  fclose(f);
  return any;  // kernel threads and zombies have no mappings at all
}

}  // namespace lowflame
