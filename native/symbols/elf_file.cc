// Opening ELF files: see elf_file.h.
#include "elf_file.h"

#include <gelf.h>
#include <sys/stat.h>

#include <cstring>

#include "elf_header.h"
#include "elf_sections.h"

namespace lowflame {

int64_t ModifiedNs(int fd) {
  struct stat st;
  return fstat(fd, &st) ? -1 : st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec;
}

ElfPtr OpenElf(int fd, uint64_t* size) {
  struct stat st;
  if (fstat(fd, &st)) return nullptr;
  *size = static_cast<uint64_t>(st.st_size);
  elf_version(EV_CURRENT);
  if (!ElfHeaderIsSane(fd, *size)) return nullptr;
  ElfPtr elf(elf_begin(fd, ELF_C_READ, nullptr));
  if (!elf || elf_kind(elf.get()) != ELF_K_ELF) return nullptr;
  return elf;
}

DebugLink ReadDebugLink(Elf* elf, uint64_t file_size) {
  SectionNames names(elf, file_size);
  for (Elf_Scn* s = nullptr; (s = elf_nextscn(elf, s));) {
    GElf_Shdr header;
    if (!gelf_getshdr(s, &header) || header.sh_type != SHT_PROGBITS || header.sh_size < 8 || header.sh_size > 4096)
      continue;
    if (strcmp(names.Of(header), ".gnu_debuglink")) continue;
    Elf_Data* data = elf_rawdata(s, nullptr);
    if (!data || !data->d_buf || data->d_size < 8) return {};
    const char* name = static_cast<const char*>(data->d_buf);
    size_t length = strnlen(name, data->d_size);
    size_t at = (length + 4) & ~size_t{3};
    if (at + 4 > data->d_size) return {};
    DebugLink link{std::string(name, length), 0};
    memcpy(&link.crc, name + at, 4);
    return link;
  }
  return {};
}

}  // namespace lowflame
