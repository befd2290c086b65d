// Where functions without a name begin: by the search table of .eh_frame_hdr (LSB 5.0 Core, 10.6.2) and the entry that
// it leads to (10.6.1), which stripped files keep.
#pragma once

#include <cstdint>
#include <optional>

namespace lowflame {

// Holds no more than where the table is: it is read, some 20 times 8 bytes, when an address is asked for.
class FunctionStarts {
 public:
  // Of an open ELF file (a libelf handle). Finds none in tables of another form than linkers write.
  void Read(void* elf, int fd, uint64_t file_size);
  // Where the function that holds `address` begins, both as the file wants them. `fd` is the file.
  std::optional<uint64_t> At(uint64_t address, int fd) const;

 private:
  uint64_t offset_ = 0, address_ = 0, room_ = 0;  // of the header: in the file, in memory, to the end of its segment
  uint64_t count_ = 0;
};

}  // namespace lowflame
