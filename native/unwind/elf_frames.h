// What an ELF file holds for unwinding: where its code lies, .eh_frame and .debug_frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace lowflame {

// A file that is read, not mapped (one that is cut short would end us with SIGBUS), or an image in memory.
class ElfBytes {
 public:
  explicit ElfBytes(int fd);
  ElfBytes(const char* image, size_t size) : image_(image), size_(size) {}
  // False: not all of it is there.
  bool Read(void* to, size_t size, uint64_t at) const;
  uint64_t size() const { return size_; }

 private:
  int fd_ = -1;
  const char* image_ = nullptr;
  uint64_t size_ = 0;
};

struct TextRange {
  uint64_t begin, end;  // file addresses
};

struct FrameSection {
  std::vector<uint8_t> bytes;  // empty: there is none
  uint64_t address = 0;        // file address of the first byte
  bool debug = false;          // .debug_frame, whose entries differ a little
  bool open_ended = false;     // the size is not known: an entry without length ends it
};

// Reads what the program headers say of code: executable segments by address, without overlaps. False, and why in one
// clause: it is no file that can have a table.
bool ReadText(const ElfBytes& elf, std::vector<TextRange>* text, std::string* why);
// Reads .eh_frame or .debug_frame. Without sections .eh_frame is found by its program header. False, and why, if there
// is none, or none that can be read.
bool ReadFrames(const ElfBytes& elf, bool debug, FrameSection* out, std::string* why);
// Any other section by its name. False: there is none, or none that can be read.
bool ReadNamed(const ElfBytes& elf, const char* name, FrameSection* out);
// File address of a section's first byte; 0 = there is none.
uint64_t AddressOfNamed(const ElfBytes& elf, const char* name);

}  // namespace lowflame
