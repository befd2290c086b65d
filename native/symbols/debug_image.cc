// Copying DWARF sections: see debug_image.h.
#include "debug_image.h"

#include <elf.h>
#include <gelf.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "elf_file.h"
#include "elf_sections.h"

namespace lowflame {
namespace {

// The first two must be there.
constexpr const char* kNames[] = {".debug_info",     ".debug_abbrev",   ".debug_line",
                                  ".debug_line_str", ".debug_str",      ".debug_str_offsets",
                                  ".debug_ranges",   ".debug_rnglists", ".debug_addr"};
constexpr size_t kSections = std::size(kNames), kInfo = 0, kAbbrev = 1, kLine = 2, kLineStrings = 3, kStrings = 4;
constexpr uint64_t kMaxAbbrevBytes = 8u << 20;  // libdw keeps up to 14 times as much of it
constexpr size_t kChunk = 1u << 18;

struct Section {
  bool there = false, packed = false;
  uint64_t file_at = 0, file_size = 0;  // of the data, behind the header of a packed one
  uint64_t size = 0, image_at = 0;      // unpacked
};
using Sections = std::array<Section, kSections>;

bool ReadAll(int fd, char* to, uint64_t size, uint64_t at) {
  while (size) {
    ssize_t n = pread(fd, to, std::min<uint64_t>(size, 1u << 30), static_cast<off_t>(at));
    if (n <= 0) return false;
    to += n;
    at += static_cast<uint64_t>(n);
    size -= static_cast<uint64_t>(n);
  }
  return true;
}

// Exactly `s.size` bytes must come of it.
bool Inflate(int fd, char* to, const Section& s) {
  std::vector<unsigned char> chunk(kChunk);
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) return false;
  stream.next_out = reinterpret_cast<unsigned char*>(to);
  stream.avail_out = static_cast<uInt>(s.size);  // kMaxDebugBytes at most
  uint64_t done = 0;
  int result = Z_OK;
  while (result == Z_OK && done < s.file_size && stream.avail_out) {
    const uint64_t step = std::min<uint64_t>(kChunk, s.file_size - done);
    if (!ReadAll(fd, reinterpret_cast<char*>(chunk.data()), step, s.file_at + done)) break;
    done += step;
    stream.next_in = chunk.data();
    stream.avail_in = static_cast<uInt>(step);
    while (result == Z_OK && stream.avail_in && stream.avail_out) result = inflate(&stream, Z_NO_FLUSH);
  }
  const bool whole = !stream.avail_out;
  inflateEnd(&stream);
  return whole;
}

// False if one lies about itself or is packed in an unknown way.
bool Find(Elf* elf, int fd, uint64_t file_size, Sections* sections) {
  SectionNames names(elf, file_size);
  for (Elf_Scn* scn = nullptr; (scn = elf_nextscn(elf, scn));) {
    GElf_Shdr header;
    if (!gelf_getshdr(scn, &header) || header.sh_type == SHT_NOBITS) continue;
    const char* name = names.Of(header);
    auto known = std::find_if(std::begin(kNames), std::end(kNames), [&](const char* n) { return !strcmp(n, name); });
    if (known == std::end(kNames)) continue;
    Section& s = (*sections)[static_cast<size_t>(known - std::begin(kNames))];
    if (s.there) continue;
    s = {true, false, header.sh_offset, header.sh_size, header.sh_size, 0};
    if (!Within(header.sh_offset, header.sh_size, file_size)) return false;
    if (!(header.sh_flags & SHF_COMPRESSED)) continue;
    const bool is64 = gelf_getclass(elf) == ELFCLASS64;
    Elf64_Chdr wide;
    Elf32_Chdr narrow;
    const uint64_t head = is64 ? sizeof(wide) : sizeof(narrow);
    void* to = is64 ? static_cast<void*>(&wide) : &narrow;
    if (s.file_size < head || !ReadAll(fd, static_cast<char*>(to), head, s.file_at)) return false;
    if ((is64 ? wide.ch_type : narrow.ch_type) != ELFCOMPRESS_ZLIB) return false;
    s.packed = true;
    s.size = is64 ? wide.ch_size : narrow.ch_size;
    s.file_at += head;
    s.file_size -= head;
  }
  return true;
}

uint64_t Aligned(uint64_t at) {
  return (at + 15) & ~uint64_t{15};
}

// Headers of the image: those of `elf` as far as libdw looks at them, one section each, and their names at the end.
template <class Ehdr, class Shdr>
void WriteHeaders(char* image, const GElf_Ehdr& of, const Sections& sections, uint64_t names_at,
                  const std::string& names, uint64_t table_at) {
  Ehdr head{};
  memcpy(head.e_ident, of.e_ident, EI_NIDENT);
  head.e_type = of.e_type;
  head.e_machine = of.e_machine;
  head.e_version = EV_CURRENT;
  head.e_ehsize = sizeof(Ehdr);
  head.e_shentsize = sizeof(Shdr);
  head.e_shoff = static_cast<decltype(head.e_shoff)>(table_at);
  head.e_shnum = kSections + 2;
  head.e_shstrndx = kSections + 1;
  memcpy(image, &head, sizeof(head));
  memcpy(image + names_at, names.data(), names.size());
  Shdr table[kSections + 2] = {};
  size_t name_at = 1;
  using Word = decltype(table[0].sh_size);
  for (size_t i = 0; i < kSections; i++) {
    Shdr& section = table[i + 1];
    section.sh_name = static_cast<uint32_t>(name_at);
    name_at += strlen(kNames[i]) + 1;
    // one that is not there has no data, which libdw takes for absent
    section.sh_type = sections[i].there ? SHT_PROGBITS : SHT_NOBITS;
    section.sh_offset = static_cast<Word>(sections[i].image_at);
    section.sh_size = static_cast<Word>(sections[i].size);
    section.sh_addralign = 1;
  }
  Shdr& strings = table[kSections + 1];
  strings.sh_type = SHT_STRTAB;
  strings.sh_offset = static_cast<Word>(names_at);
  strings.sh_size = static_cast<Word>(names.size());
  strings.sh_addralign = 1;
  memcpy(image + table_at, table, sizeof(table));
}

}  // namespace

DebugImage::Result DebugImage::Read(int fd) {
  uint64_t file_size;
  ElfPtr elf = OpenElf(fd, &file_size);
  GElf_Ehdr header;
  if (!elf || !gelf_getehdr(elf.get(), &header)) return Result::kNone;
  Sections sections;
  const bool honest = Find(elf.get(), fd, file_size, &sections);
  if (!sections[kInfo].there) return Result::kNone;
  uint64_t total = 0;
  for (const Section& s : sections) total += std::min(s.size, kMaxDebugBytes + 1);
  if (!honest || !sections[kAbbrev].there || total > kMaxDebugBytes || sections[kAbbrev].size > kMaxAbbrevBytes)
    return Result::kRefused;

  std::string names(1, '\0');
  for (const char* name : kNames) names.append(name, strlen(name) + 1);
  uint64_t at = Aligned(sizeof(Elf64_Ehdr));
  for (Section& s : sections) {
    s.image_at = at;
    at = Aligned(at + s.size);
  }
  const uint64_t names_at = at, table_at = Aligned(at + names.size());
  size = table_at + (kSections + 2) * sizeof(Elf64_Shdr);
  bytes.reset(new char[size]);  // what is not read into is never touched
  if (gelf_getclass(elf.get()) == ELFCLASS64)
    WriteHeaders<Elf64_Ehdr, Elf64_Shdr>(bytes.get(), header, sections, names_at, names, table_at);
  else
    WriteHeaders<Elf32_Ehdr, Elf32_Shdr>(bytes.get(), header, sections, names_at, names, table_at);
  for (const Section& s : sections) {
    if (!s.there) continue;
    char* to = bytes.get() + s.image_at;
    if (s.packed ? !Inflate(fd, to, s) : !ReadAll(fd, to, s.size, s.file_at)) return Result::kRefused;
  }
  auto part = [&](size_t i) -> DebugBytes {
    if (!sections[i].there) return {};
    return {reinterpret_cast<const unsigned char*>(bytes.get()) + sections[i].image_at, sections[i].size};
  };
  line = part(kLine);
  line_strings = part(kLineStrings);
  strings = part(kStrings);
  return Result::kRead;
}

}  // namespace lowflame
