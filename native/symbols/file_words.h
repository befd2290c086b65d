// Words of a program by their address, as the dynamic linker will have left them once it runs.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace lowflame {

class FileWords {
 public:
  // `elf` is libelf's handle of `fd`.
  FileWords(void* elf, int fd, uint64_t file_size);

  // Address of a byte of the file; false if it is not loaded.
  bool AddressOf(uint64_t offset, uint64_t* address) const;
  // A word of 4 or 8 bytes at an address; false if the file has none there.
  bool At(uint64_t address, size_t bytes, uint64_t* value) const;
  // The pointer that the dynamic linker will write at an address; false if none.
  bool PointerAt(uint64_t address, uint64_t* value) const;
  // At most 16 addresses of 8-byte words that hold `value`, code and what comes after the first 256 MiB left out.
  std::vector<uint64_t> Holding(uint64_t value) const;
  // Calls `see` with pieces of what is loaded (data before code), at most 256 MiB in all, each with its offset in the
  // file and overlapping the one before by 8 bytes, until it returns false.
  void ForEachPiece(bool code_too, const std::function<bool(const unsigned char*, size_t, uint64_t offset)>& see) const;
  // Whether a note says that Go's linker made the file.
  bool HasGoNote() const;

 private:
  struct Segment {
    uint64_t offset, address, size;
    bool code;
  };
  struct Pointer {
    uint64_t address, value;
  };
  bool OffsetOf(uint64_t address, uint64_t* offset, uint64_t* room) const;
  void ReadPointers(uint64_t at, uint64_t size, uint32_t type);

  int fd_;
  std::vector<Segment> segments_, notes_;
  std::vector<Pointer> pointers_;  // what the dynamic linker writes, by address
};

}  // namespace lowflame
