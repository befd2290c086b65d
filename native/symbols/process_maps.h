// Executable mappings of one process, from /proc/PID/maps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../core/task_event.h"

namespace lowflame {

enum class Backing : uint8_t {
  kFile,     // an ELF file on disk, deleted or not
  kMemory,   // a file in memory alone (memfd): a program, or code made at run time; its first bytes tell
  kVdso,     // of a 64-bit program
  kJit,      // memory without a file: code made at run time
  kUnnamed,  // [vsyscall], [uprobes], the vdso of 32-bit programs: nothing that could be named
};

struct Mapping {
  uint64_t begin, end, offset;  // without a file: offset in the one that it is a copy of, if `module` says so
  uint64_t device, inode;       // (major << 32 | minor); 0, 0 = no file
  std::string path;             // as the process sees it, without " (deleted)"
  bool deleted;
  uint32_t module = 0;    // filled in by the symbolizer, 0 = not yet
  uint64_t since_ns = 0;  // filled in by the address space: CLOCK_MONOTONIC, 0 = as long as is known

  Backing backing() const;
  bool SameAs(const Mapping& m) const {
    return begin == m.begin && end == m.end && offset == m.offset && inode == m.inode && device == m.device &&
           path == m.path;
  }
};

// False if the process is gone, not readable, or has none (kernel threads). Sorted by address; at most 16,384.
bool ReadExecutableMappings(uint32_t pid, std::vector<Mapping>* out);

// A mapping as a record tells of it (TaskEvent::Kind::kMap).
Mapping MappingOf(const TaskEvent& event);

}  // namespace lowflame
