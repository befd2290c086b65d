// Names of code made at run time, from the perf map that a JIT writes (Node --perf-basic-prof, JVM agents).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../core/unique_fd.h"
#include "map_changes.h"

namespace lowflame {

class PerfMap {
 public:
  // Opens /tmp/perf-<pid>.map in the process's own root (with the pid that it has in its own namespace), else ours.
  // /tmp is open to all: it is taken only if it belongs to the user of the process or to root, and neither a link led
  // there nor has it another name, which anybody could have made of a file of theirs. The descriptor outlives the
  // process.
  explicit PerfMap(uint32_t pid);
  bool found() const { return static_cast<bool>(fd_); }
  bool SameFile(const PerfMap& other) const;
  // Ranges of code whose old names do not hold any more.
  struct Changed {
    struct Range {
      uint64_t begin, end;
    };
    std::vector<Range> ranges;
    bool all = false;       // the file was emptied and begun anew
    bool unlinked = false;  // there may be another one by now
    uint64_t line = 0;      // the first that was read
  };
  // Symbol thread. Reads on when the file has grown. Lines are numbered from `era` << 32 on, at least.
  Changed ReadOn(uint32_t era);
  uint32_t era() const { return era_; }
  // Symbol thread. "" if none of these lines covers the address; of several the last written.
  std::string NameAt(uint64_t address, MapChanges::Lines lines) const;
  uint64_t bytes() const { return entries_.capacity() * sizeof(Entry) + names_.capacity(); }

 private:
  struct Entry {
    uint64_t begin;
    uint32_t size, name;  // `name` grows from line to line: the order of writing
    uint32_t era;
    uint64_t line() const { return uint64_t{era} << 32 | name; }
  };
  void Read();
  void TakeIn(size_t before, Changed* changed);
  void Parse(const char* line, const char* end);

  UniqueFd fd_;
  uint64_t read_size_ = 0;
  uint32_t era_ = 0;
  std::string tail_;  // a line that is not yet whole
  bool skip_line_ = false;
  std::vector<Entry> entries_;
  std::string names_;
};

}  // namespace lowflame
