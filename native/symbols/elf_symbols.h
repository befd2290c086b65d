// Function symbols of one ELF file: .symtab, else a separate debug file's, else mini debug info, .dynsym, and the
// table of Go's runtime.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "../core/unique_fd.h"
#include "file_stamp.h"
#include "function_starts.h"
#include "go_functions.h"
#include "plt.h"

namespace lowflame {

// A table of 16 bytes a symbol. Names stay in the file and are read when one is asked for: a program of a million
// functions holds 100 MB of mangled names, of which a profile shows a thousand. They are read, not mapped: a mapped
// file that is truncated under us would kill this process with SIGBUS.
class ElfSymbols {
 public:
  // Parses `fd`, which must stay open as long as this lives. `root` is a directory under which debug files are looked
  // up first (-1: only ours), `path` the file's own path within it. Never throws; a file that is no ELF, or lies about
  // itself, has no symbols.
  static ElfSymbols Load(int fd, const std::string& path, int root);
  // From memory (the vdso), which is copied.
  static ElfSymbols LoadImage(const char* image, size_t size);

  // Name of the function at a file offset, mangled; "" if none. Stubs of the PLT are "memcpy@plt", or "[plt]" if the
  // file does not tell where they lead. The code that signal handlers return to is "__restore_rt", also where no symbol
  // says so.
  std::string NameAt(uint64_t file_offset) const;
  // File offset at which the function that holds `file_offset` begins, for one that has no name.
  std::optional<uint64_t> BeginAt(uint64_t file_offset) const;
  // Whether it was an ELF file at all.
  bool parsed() const { return parsed_; }
  // Memory held.
  uint64_t bytes() const {
    return symbols_.capacity() * sizeof(Symbol) + image_.capacity() + plt_.bytes() + (mini_ ? strings_[kMini].size : 0);
  }
  // Descriptors held besides the one given to Load.
  int own_descriptors() const { return (debug_file_ ? 1 : 0) + (mini_ ? 1 : 0); }
  // Whether the file, or its debug file, has been written over since: there are no more names then.
  bool changed() const { return stamp_.changed() || debug_stamp_.changed(); }
  // What the file was when it was parsed.
  const FileStamp& stamp() const { return stamp_; }
  // Tables of names that are there and could not be read, or are larger than is read.
  int refused() const { return refused_; }

 private:
  // What a symbol came from. kTable: .symtab, a debug file's or .dynsym.
  enum Source : uint32_t { kTable, kMini, kGo };
  struct Symbol {
    uint64_t address;
    uint32_t size : 26;
    uint32_t source : 2;
    uint32_t rank : 4;  // lower is better among symbols of one address
    uint32_t name;      // offset in the string table, of kGo the record's number
  };
  struct Strings {
    int fd = -1;  // -1: in image_
    uint64_t at = 0, size = 0;
  };
  struct Range {
    uint64_t begin, end;
  };
  struct Segment {
    uint64_t offset, address, size;
  };
  void ReadSegments(void* elf);
  void ReadCode(void* elf);
  bool ReadTable(void* elf, uint32_t section_type, uint64_t file_size, int fd, Source source);
  bool ReadDebugFile(int fd);
  void ReadMini(void* elf, uint64_t file_size);
  void ReadGo(void* elf, uint64_t file_size);
  void Finish();
  const Segment* SegmentOf(uint64_t file_offset) const;
  bool IsCode(uint64_t address) const;
  std::string NameOf(const Symbol& symbol) const;
  std::string NameOfAddress(uint64_t address) const;
  std::string NameInPlt(uint64_t address) const;
  bool IsSignalReturn(uint64_t offset) const;
  bool NamesHold() const;
  // The best name of the symbols that share the address of symbols_[i].
  std::string BestName(size_t i) const;

  std::vector<Symbol> symbols_;
  std::vector<Segment> segments_;  // executable ones
  std::vector<Range> code_;        // executable sections, by address
  Plt plt_;
  int fd_ = -1;         // the file itself
  Strings strings_[2];  // of kTable and kMini
  GoFunctions go_;
  FunctionStarts starts_;
  int names_fd_ = -1;  // the file with the symbol table
  UniqueFd debug_file_, mini_;
  mutable FileStamp stamp_, debug_stamp_;  // the file's own, and the debug file's if there is one
  int refused_ = 0;
  std::string image_;
  bool parsed_ = false;
};

}  // namespace lowflame
