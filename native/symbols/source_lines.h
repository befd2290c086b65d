// Source lines and inlined functions of one file's code, by its DWARF.
#pragma once

#include <elfutils/libdw.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../core/samples.h"
#include "debug_image.h"
#include "elf_file.h"
#include "line_table.h"

namespace lowflame {

// Holds a copy of the file's debug sections (at most kMaxDebugBytes) and what libdw makes of them: one of these at a
// time, of the file that is being asked for. DWARF may be hostile, and libdw ends the process when memory runs out: so
// between its steps, each of which is bounded by the size of a section, it is looked at how much time and memory the
// file has cost, and beyond a limit the file is given up.
class SourceLines {
 public:
  // Of `fd`, or of its separate debug file (`root`, `path`: see FindDebugFile). `stop`: ends what is going on.
  SourceLines(int fd, const std::string& path, int root, const std::atomic<bool>* stop);

  // Innermost first: functions that were inlined at that file offset, mangled, then the function itself. Empty if
  // nothing is known.
  std::vector<SourcePlace> At(uint64_t file_offset);
  // Debug information is there, but is beyond the bounds: some or all of the file's code has no lines.
  bool refused() const { return refused_; }

 private:
  struct DwarfEnd {
    void operator()(Dwarf* dwarf) const { dwarf_end(dwarf); }
  };
  struct Segment {
    uint64_t offset, size, address;
  };
  struct Function {
    uint64_t begin, end;
    Dwarf_Off die;
  };
  struct Unit {
    Dwarf_Off die;
    bool read = false;
    std::vector<Function> functions;  // by begin
    LineTable lines;
    std::string directory;
  };
  struct UnitRange {
    uint64_t begin, end;
    uint32_t unit;
  };
  bool ReadSegments(int fd);
  void ReadUnits();
  void ReadUnit(Unit* unit);
  void ReadFunctions(Unit* unit, Dwarf_Die die);
  Unit* UnitAt(uint64_t address);
  bool Spent();

  const std::atomic<bool>* stop_;
  DebugImage image_;
  ElfPtr elf_;
  std::unique_ptr<Dwarf, DwarfEnd> dwarf_;
  std::vector<Segment> segments_;  // executable ones
  std::vector<CodeRange> code_;
  std::vector<Unit> units_;
  std::vector<UnitRange> ranges_;  // by begin
  uint64_t cpu_start_ns_ = 0, memory_start_ = 0;
  bool refused_ = false, given_up_ = false;
};

}  // namespace lowflame
