// What a task does to its address space: forks, execs, exits and new executable mappings, as the kernel records it.
#pragma once

#include <cstdint>
#include <string>

namespace lowflame {

struct TaskEvent {
  enum class Kind : uint8_t {
    kFork,  // `pid` is a new process, a copy of `parent`
    kExec,  // its mappings are gone; those of the new program follow
    kExit,  // its first thread has ended
    kMap,   // an executable mapping is new, or was made executable
  };
  Kind kind;
  uint32_t pid, parent;
  uint64_t time_ns;  // CLOCK_MONOTONIC
  // kMap, as /proc/PID/maps tells it; path "//anon" and inode 0 without a file
  uint64_t begin, length, offset, inode;
  uint32_t major, minor;
  std::string path;
};

}  // namespace lowflame
