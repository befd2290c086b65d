// Procedure linkage tables: stubs without symbols through which a program calls functions of other files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lowflame {

// Remembers where the tables lie and what fills their slots; the stubs themselves, and names, are read from the file
// when one is asked for.
class Plt {
 public:
  struct Target {
    bool in_plt = false;    // false: the address is in no such table
    std::string name;       // mangled, "" if the file does not tell
    uint64_t resolver = 0;  // address of the function that picks an implementation (STT_GNU_IFUNC), 0 = none
  };

  // `elf` is libelf's handle of `fd`. 64-bit x86 only: of others no slot is known, only that it is a PLT.
  void Read(void* elf, int fd, uint64_t file_size);
  // What the stub at a virtual address leads to. `fd` is the file that was read.
  Target At(uint64_t address, int fd) const;
  uint64_t bytes() const { return slots_.capacity() * sizeof(Slot) + lazy_.capacity() * sizeof(uint64_t); }

 private:
  struct Section {
    uint64_t address, size, offset, stub_bytes;
  };
  struct Slot {
    uint64_t address;   // of the pointer that a stub jumps through
    uint64_t resolver;  // 0: `symbol` tells
    uint32_t symbol;    // index in .dynsym
  };
  struct Table {
    uint64_t offset = 0, size = 0;
  };
  bool ReadRelocations(const Table& table, int fd, bool lazy);
  Target TargetOf(const Slot& slot, int fd) const;

  std::vector<Section> sections_;
  std::vector<Slot> slots_;     // by address
  std::vector<uint64_t> lazy_;  // slot addresses in the order of .rela.plt: what a lazy stub pushes is an index of it
  Table symbols_, strings_;
};

}  // namespace lowflame
