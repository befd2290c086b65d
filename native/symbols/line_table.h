// The line table of one unit of a program: which line of which source file an instruction came from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "debug_image.h"

namespace lowflame {

struct CodeRange {
  uint64_t begin, end;
};

// DWARF 5, section 6.2, and versions 2 to 4. Read here and not by libdw, which makes the whole path of every file of
// the table, so that a header of 60 KB may stand for gigabytes of text, and ends the process when memory runs out. Here
// rows are 16 bytes, and a path is made when it is asked for.
class LineTable {
 public:
  // The program at `at` of image.line. Sequences that do not begin in `code` are of functions that the linker left out,
  // and are passed over. What is damaged, or too long to keep, has no rows.
  static LineTable Read(const DebugImage& image, uint64_t at, const std::vector<CodeRange>& code);

  // False if the table says nothing of the address. `line` 0: made by the compiler, of no line.
  bool Find(uint64_t address, uint32_t* file, uint32_t* line) const;
  // Path of a file by its number in this table; relative to the directory of the compilation if that is "". "" if
  // unknown.
  std::string File(uint64_t file, const std::string& directory) const;
  uint64_t bytes() const { return rows_.capacity() * sizeof(Row) + files_.capacity() * sizeof(FileName); }

 private:
  struct Row {
    uint64_t address;
    uint32_t file, line;  // file kEnd: the end of a sequence
  };
  struct FileName {
    const char* name;  // in the image, shorter than kMaxPath
    uint32_t directory;
  };
  class Reader;
  bool ReadHeader(Reader* in, const DebugImage& image, uint8_t offset_size);
  bool ReadNames(Reader* in);
  bool ReadNamesOf5(Reader* in, const DebugImage& image, uint8_t offset_size);
  void Run(Reader* in, const std::vector<CodeRange>& code);

  std::vector<Row> rows_;  // by address
  std::vector<const char*> directories_;
  std::vector<FileName> files_;
  uint16_t version_ = 0;
  uint8_t address_size_ = 8, step_ = 1, operations_ = 1, range_ = 1, base_ = 13;
  int8_t line_base_ = 0;
  std::vector<uint8_t> lengths_;  // operands of the standard opcodes
};

}  // namespace lowflame
