// Names of code made at run time, from the perf map that a JIT writes (Node --perf-basic-prof, JVM agents).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../core/unique_fd.h"

namespace lowflame {

class PerfMap {
 public:
  // Opens /tmp/perf-<pid>.map in the process's own root (with the pid that it has in its own namespace), else ours.
  // Taken only if it belongs to the user of the process or to root: /tmp is open to all. The descriptor outlives the
  // process.
  explicit PerfMap(uint32_t pid);
  bool found() const { return static_cast<bool>(fd_); }
  // Symbol thread. Reads on when the file has grown. "" if no entry covers the address; of several the last written.
  std::string NameAt(uint64_t address);
  uint64_t bytes() const { return entries_.capacity() * sizeof(Entry) + names_.capacity(); }

 private:
  struct Entry {
    uint64_t begin;
    uint32_t size, name;  // `name` grows from line to line: the order of writing
  };
  void Read();
  void Parse(const char* line, const char* end);

  UniqueFd fd_;
  uint64_t read_size_ = 0;
  std::string tail_;  // a line that is not yet whole
  bool skip_line_ = false;
  std::vector<Entry> entries_;
  std::string names_;
};

}  // namespace lowflame
