// Names of code made at run time, from the perf map that a JIT writes (Node --perf-basic-prof, JVM agents).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../core/unique_fd.h"

namespace lowflame {

// The pid as the process itself knows it, in its innermost pid namespace.
int InnermostPid(uint32_t pid);

class PerfMap {
 public:
  // Opens /tmp/perf-<pid>.map in the process's own root (with its own pid), else ours. The descriptor outlives it.
  explicit PerfMap(uint32_t pid);
  bool found() const { return static_cast<bool>(fd_); }
  // Reads again when the file has grown. "" if no entry covers the address; of several the last written wins.
  std::string NameAt(uint64_t address);
  uint64_t bytes() const { return entries_.capacity() * sizeof(Entry) + names_.capacity(); }

 private:
  struct Entry {
    uint64_t begin, size;
    uint32_t name, order;
  };
  void Read();

  UniqueFd fd_;
  uint64_t read_size_ = 0;
  std::string tail_;
  std::vector<Entry> entries_;
  std::string names_;
};

}  // namespace lowflame
