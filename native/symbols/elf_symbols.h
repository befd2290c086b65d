// Function symbols of one ELF file: .symtab, else a separate debug file's, else .dynsym.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lowflame {

class ElfSymbols {
 public:
  // Reads from `fd`. `root` is the prefix under which debug files are looked up too ("" or "/proc/PID/root"), `path`
  // the file's own path (for .gnu_debuglink). Never throws; a file that is no ELF has no symbols.
  static ElfSymbols Load(int fd, const std::string& path, const std::string& root);
  // From memory (the vdso).
  static ElfSymbols LoadImage(char* image, size_t size);

  // Name of the function at a file offset, mangled; "" if none.
  std::string NameAt(uint64_t file_offset) const;
  size_t count() const { return symbols_.size(); }
  bool parsed() const { return parsed_; }
  uint64_t bytes() const { return symbols_.capacity() * sizeof(Symbol) + names_.capacity(); }

 private:
  struct Symbol {
    uint64_t address;
    uint32_t size;
    uint32_t name;
    uint8_t rank;  // lower is better among symbols of one address
  };
  struct Segment {
    uint64_t offset, address, size;
  };
  void ReadSegments(void* elf);
  bool ReadTable(void* elf, uint32_t section_type);
  bool ReadDebugFile(const std::string& file, const std::string& build_id, const uint32_t* crc);
  void Sort();

  std::vector<Symbol> symbols_;
  std::string names_;
  std::vector<Segment> segments_;
  bool parsed_ = false;
};

// Hex build ID by pread of the program headers, "" if none. Cheap; used when a file is first seen.
std::string ReadBuildId(int fd);

}  // namespace lowflame
