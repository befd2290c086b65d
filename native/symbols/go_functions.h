// Functions of a Go program by the table with which its runtime prints stacks (.gopclntab). Go needs it to run, so that
// it is there, and whole, where all symbols were stripped.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace lowflame {

class FileWords;

class GoFunctions {
 public:
  enum class Found { kNone, kRefused, kRead };  // kRefused: there is such a section, but damaged, or too large
  struct Function {
    uint64_t begin, end;  // addresses
    uint32_t record;      // for NameOf
  };

  // Finds the table and puts its functions into `out`, by address. `is_code` says of an address whether code is there,
  // `elf` is libelf's handle of `fd`.
  Found Read(void* elf, int fd, uint64_t file_size, const std::function<bool(uint64_t)>& is_code,
             std::vector<Function>* out);
  // Name as Go writes it, "main.(*Server).Serve"; "" if the table does not tell. `fd` is the file that was read.
  std::string NameOf(uint32_t record, int fd) const;

 private:
  // Where in the file a table, or what may be one, begins and ends.
  struct Place {
    uint64_t at, end;
  };
  // As the table's head tells it; places are offsets in the file.
  struct Layout {
    Place table{};
    uint64_t list = 0, records = 0, names = 0;  // the list of functions, what it counts from, and their names
    uint64_t count = 0;                         // of functions
    uint64_t text = 0;                          // address that the list counts from
    uint32_t pointer = 0;                       // bytes of an address
    bool relative = false;                      // from Go 1.18 on: 4-byte distances from `text`, not addresses
    uint32_t entry() const { return relative ? 4 : pointer; }
  };
  bool ReadHead(const FileWords& words, int fd, const Place& place, Layout* layout) const;
  bool FindText(const FileWords& words, uint64_t first, Layout* layout) const;
  bool ReadList(const FileWords& words, int fd, const std::function<bool(uint64_t)>& is_code, Layout* layout,
                std::vector<Function>* out) const;

  Layout layout_;
};

}  // namespace lowflame
