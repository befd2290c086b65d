// What all readers of ELF sections must ask before libelf may read one: whether its claims hold.
#pragma once

#include <gelf.h>

#include <cstdint>
#include <cstring>

namespace lowflame {

inline bool Within(uint64_t at, uint64_t size, uint64_t file_size) {
  return at <= file_size && size <= file_size - at;
}

// Names of sections, for files whose table of names is sane: it lies within the file, is not too long, and is not
// compressed (libelf would unpack a thousand times its size).
class SectionNames {
 public:
  SectionNames(Elf* elf, uint64_t file_size) : elf_(elf) {
    GElf_Shdr table;
    Elf_Scn* section = elf_getshdrstrndx(elf, &index_) ? nullptr : elf_getscn(elf, index_);
    sane_ = section && gelf_getshdr(section, &table) && table.sh_size <= (1u << 20) &&
            Within(table.sh_offset, table.sh_size, file_size) && !(table.sh_flags & SHF_COMPRESSED);
  }
  // "" if it has none.
  const char* Of(const GElf_Shdr& header) const {
    const char* name = sane_ ? elf_strptr(elf_, index_, header.sh_name) : nullptr;
    return name ? name : "";
  }

 private:
  Elf* elf_;
  size_t index_ = 0;
  bool sane_;
};

// The first section of that name with bytes in the file, all of them, not compressed.
inline bool FindSection(Elf* elf, uint64_t file_size, const char* name, GElf_Shdr* header) {
  SectionNames names(elf, file_size);
  for (Elf_Scn* s = nullptr; (s = elf_nextscn(elf, s));)
    if (gelf_getshdr(s, header) && header->sh_type != SHT_NOBITS && !(header->sh_flags & SHF_COMPRESSED) &&
        Within(header->sh_offset, header->sh_size, file_size) && !strcmp(names.Of(*header), name))
      return true;
  return false;
}

}  // namespace lowflame
