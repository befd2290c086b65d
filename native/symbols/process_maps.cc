// /proc/PID/maps: see process_maps.h.
#include "process_maps.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace lowflame {
namespace {

bool StartsWith(const std::string& text, const char* prefix) {
  return text.compare(0, strlen(prefix), prefix) == 0;
}

// A newline in a path is told as \\012; other bytes stay as they are.
std::string Unescape(const std::string& path) {
  std::string out;
  for (size_t i = 0; i < path.size(); i++) {
    bool newline = path.compare(i, 4, "\\012") == 0;
    out += newline ? '\n' : path[i];
    i += newline ? 3 : 0;
  }
  return out;
}

// The kernel puts it behind the path of a file that no directory has any more.
void TakeDeleted(Mapping* m) {
  static const std::string kDeleted = " (deleted)";
  if (m->path.size() <= kDeleted.size() ||
      m->path.compare(m->path.size() - kDeleted.size(), kDeleted.size(), kDeleted) != 0)
    return;
  m->path.resize(m->path.size() - kDeleted.size());
  m->deleted = true;
}

}  // namespace

Backing Mapping::backing() const {
  // below 4 GiB it is a 32-bit program's, whose vdso is another one than ours
  if (path == "[vdso]") return begin >> 32 ? Backing::kVdso : Backing::kUnnamed;
  if (path == "[vsyscall]" || path == "[uprobes]") return Backing::kUnnamed;
  // heap, stack and shared memory hold code only if somebody wrote it there
  if (!inode || path.empty() || path[0] != '/' || StartsWith(path, "/dev/zero") || StartsWith(path, "/SYSV") ||
      StartsWith(path, "/anon_hugepage"))
    return Backing::kJit;
  if (StartsWith(path, "/memfd:")) return Backing::kMemory;
  return Backing::kFile;
}

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
    Mapping m{begin, end, offset, static_cast<uint64_t>(major) << 32 | minor, inode, "", false, 0};
    if (at) m.path = line + at;
    if (!m.path.empty() && m.path.back() == '\n') m.path.pop_back();
    m.path = Unescape(m.path);
    TakeDeleted(&m);
    out->push_back(std::move(m));
  }
  free(line);
  fclose(f);
  return any;  // kernel threads and zombies have no mappings at all
}

Mapping MappingOf(const TaskEvent& e) {
  Mapping m{e.begin, e.begin + e.length, e.offset, static_cast<uint64_t>(e.major) << 32 | e.minor, e.inode, "", false};
  if (e.path != "//anon") m.path = e.path;
  TakeDeleted(&m);
  return m;
}

}  // namespace lowflame
