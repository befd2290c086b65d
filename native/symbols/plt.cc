// The stub's own code tells its slot, the relocation of the slot tells the symbol: see plt.h. So the order in which a
// linker wrote the stubs does not matter. Stubs and relocation types: x86-64 psABI, "Procedure Linkage Table".
#include "plt.h"

#include <elf.h>
#include <gelf.h>
#include <libelf.h>

#include <algorithm>
#include <cstring>

#include "elf_sections.h"
#include "read_at.h"
#include "read_name.h"

namespace lowflame {
namespace {

constexpr uint64_t kMaxRelocationBytes = 48u << 20;  // Chromium has 26 MB of them
constexpr size_t kMaxSlots = 1u << 18, kMaxSections = 16;
constexpr uint64_t kStubBytes = 16;
constexpr uint32_t kNone = UINT32_MAX;

// What a stub says of itself: the address of the slot that it jumps through, or the index that it pushes.
struct Stub {
  uint64_t slot = 0;
  uint32_t index = kNone;
};

Stub Decode(const unsigned char* code, size_t size, uint64_t address) {
  static const unsigned char kEndbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
  size_t at = size >= sizeof(kEndbr64) && !memcmp(code, kEndbr64, sizeof(kEndbr64)) ? sizeof(kEndbr64) : 0;
  Stub stub;
  if (at + 5 <= size && code[at] == 0x68) {  // push $index
    memcpy(&stub.index, code + at + 1, 4);
    return stub;
  }
  if (at < size && code[at] == 0xf2) at++;                                     // bnd
  if (at + 6 > size || code[at] != 0xff || code[at + 1] != 0x25) return stub;  // jmp *offset(%rip)
  int32_t offset;
  memcpy(&offset, code + at + 2, 4);
  stub.slot = address + at + 6 + static_cast<uint64_t>(static_cast<int64_t>(offset));
  return stub;
}

}  // namespace

bool Plt::ReadRelocations(const Table& table, int fd, bool lazy) {
  std::vector<Elf64_Rela> rows(4096);
  for (uint64_t at = 0; at + sizeof(Elf64_Rela) <= table.size;) {
    size_t count = static_cast<size_t>(std::min<uint64_t>(rows.size(), (table.size - at) / sizeof(Elf64_Rela)));
    if (!ReadAt(fd, rows.data(), count * sizeof(Elf64_Rela), table.offset + at)) return false;
    for (size_t i = 0; i < count; i++) {
      if (slots_.size() >= kMaxSlots || lazy_.size() >= kMaxSlots) return false;
      const Elf64_Rela& r = rows[i];
      if (lazy) lazy_.push_back(r.r_offset);
      uint64_t type = ELF64_R_TYPE(r.r_info);
      if (type == R_X86_64_IRELATIVE)
        slots_.push_back({r.r_offset, static_cast<uint64_t>(r.r_addend), 0});
      else if (type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT)
        slots_.push_back({r.r_offset, 0, static_cast<uint32_t>(ELF64_R_SYM(r.r_info))});
    }
    at += count * sizeof(Elf64_Rela);
  }
  return true;
}

void Plt::Read(void* handle, int fd, uint64_t file_size) {
  auto* elf = static_cast<Elf*>(handle);
  SectionNames names(elf, file_size);
  std::vector<std::pair<Table, bool>> relocations;  // whether it is .rela.plt
  bool eager = false;
  for (Elf_Scn* s = nullptr; (s = elf_nextscn(elf, s));) {
    GElf_Shdr header, linked;
    if (!gelf_getshdr(s, &header) || !(header.sh_flags & SHF_ALLOC)) continue;
    bool whole = header.sh_type != SHT_NOBITS && Within(header.sh_offset, header.sh_size, file_size);
    if (!whole) continue;
    if (header.sh_type == SHT_DYNSYM && !symbols_.size) {
      Elf_Scn* of = elf_getscn(elf, header.sh_link);
      if (!of || !gelf_getshdr(of, &linked) || !Within(linked.sh_offset, linked.sh_size, file_size)) continue;
      symbols_ = {header.sh_offset, header.sh_size};
      strings_ = {linked.sh_offset, linked.sh_size};
      continue;
    }
    const char* name = names.Of(header);
    if (header.sh_type == SHT_RELA && header.sh_size <= kMaxRelocationBytes) {
      relocations.push_back({{header.sh_offset, header.sh_size}, !strcmp(name, ".rela.plt")});
    } else if ((header.sh_flags & SHF_EXECINSTR) && !strncmp(name, ".plt", 4) && sections_.size() < kMaxSections) {
      bool got = !strcmp(name, ".plt.got");
      eager = eager || got;
      sections_.push_back(
          {header.sh_addr, header.sh_size, header.sh_offset, got && header.sh_entsize == 8 ? 8 : kStubBytes});
    }
  }
  GElf_Ehdr file;
  if (sections_.empty() || !gelf_getehdr(elf, &file) || file.e_machine != EM_X86_64 ||
      file.e_ident[EI_CLASS] != ELFCLASS64)
    return;
  // millions of other relocations, of which the stubs of .plt.got alone need any
  for (auto& [table, lazy] : relocations)
    if ((lazy || eager) && !ReadRelocations(table, fd, lazy)) break;
  std::sort(slots_.begin(), slots_.end(), [](const Slot& a, const Slot& b) { return a.address < b.address; });
  slots_.shrink_to_fit();
}

Plt::Target Plt::TargetOf(const Slot& slot, int fd) const {
  Target target;
  target.in_plt = true;
  target.resolver = slot.resolver;
  Elf64_Sym symbol;
  uint64_t at = uint64_t{slot.symbol} * sizeof(symbol);
  if (slot.resolver || !slot.symbol || !Within(at, sizeof(symbol), symbols_.size) ||
      !ReadAt(fd, &symbol, sizeof(symbol), symbols_.offset + at) || symbol.st_name >= strings_.size)
    return target;
  char text[kMaxName];
  size_t room = static_cast<size_t>(std::min<uint64_t>(sizeof(text), strings_.size - symbol.st_name));
  if (!ReadAt(fd, text, room, strings_.offset + symbol.st_name)) return target;
  size_t length = strnlen(text, room);
  if (length < room) target.name.assign(text, length);  // without an end it is no name
  return target;
}

Plt::Target Plt::At(uint64_t address, int fd) const {
  for (const Section& s : sections_) {
    if (address < s.address || address - s.address >= s.size) continue;
    Target unnamed;
    unnamed.in_plt = true;
    uint64_t within = (address - s.address) / s.stub_bytes * s.stub_bytes;
    unsigned char code[kStubBytes];
    size_t size = static_cast<size_t>(std::min(s.stub_bytes, s.size - within));
    if (!ReadAt(fd, code, size, s.offset + within)) return unnamed;
    Stub stub = Decode(code, size, s.address + within);
    if (stub.index != kNone && stub.index < lazy_.size()) stub.slot = lazy_[stub.index];
    auto slot = std::lower_bound(slots_.begin(), slots_.end(), stub.slot,
                                 [](const Slot& a, uint64_t b) { return a.address < b; });
    if (!stub.slot || slot == slots_.end() || slot->address != stub.slot) return unnamed;
    return TargetOf(*slot, fd);
  }
  return Target();
}

}  // namespace lowflame
