// Reading ELF headers with pread: see elf_header.h. Native byte order only: nothing else runs here.
#include "elf_header.h"

#include <elf.h>

#include <cstring>
#include <vector>

#include "../core/page.h"
#include "read_at.h"

namespace lowflame {
namespace {

constexpr size_t kMaxSegments = 4096, kMaxSections = 65536, kMaxNotes = 65536, kMaxIdBytes = 64;

struct Header {
  bool is64;
  uint64_t segments_at, sections_at;
  size_t segments, segment_bytes, sections, section_bytes;
};

template <class Ehdr, class Phdr, class Shdr>
bool Fill(int fd, Header* h) {
  Ehdr e;
  if (!ReadAt(fd, &e, sizeof(e), 0)) return false;
  if (e.e_phnum && e.e_phentsize != sizeof(Phdr)) return false;
  if (e.e_shnum && e.e_shentsize != sizeof(Shdr)) return false;
  // with 0 sections and a table all the same, section 0 holds the real number (more than 65,279): no program has those
  if (!e.e_shnum && e.e_shoff) return false;
  *h = {sizeof(Ehdr) == sizeof(Elf64_Ehdr), e.e_phoff, e.e_shoff, e.e_phnum, sizeof(Phdr), e.e_shnum, sizeof(Shdr)};
  return h->segments <= kMaxSegments && h->sections <= kMaxSections;
}

bool ReadHeader(int fd, Header* h) {
  unsigned char ident[EI_NIDENT];
  if (!ReadAt(fd, ident, sizeof(ident), 0) || memcmp(ident, ELFMAG, SELFMAG)) return false;
  if (ident[EI_DATA] != (__BYTE_ORDER == __LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB)) return false;
  if (ident[EI_CLASS] == ELFCLASS64) return Fill<Elf64_Ehdr, Elf64_Phdr, Elf64_Shdr>(fd, h);
  if (ident[EI_CLASS] == ELFCLASS32) return Fill<Elf32_Ehdr, Elf32_Phdr, Elf32_Shdr>(fd, h);
  return false;
}

std::string Hex(const unsigned char* bytes, size_t n) {
  static const char digits[] = "0123456789abcdef";
  std::string s;
  for (size_t i = 0; i < n; i++) {
    s += digits[bytes[i] >> 4];
    s += digits[bytes[i] & 15];
  }
  return s;
}

std::string BuildIdInNotes(const std::vector<unsigned char>& notes) {
  for (size_t at = 0; at + 12 <= notes.size();) {
    uint32_t name_size, desc_size, type;
    memcpy(&name_size, &notes[at], 4);
    memcpy(&desc_size, &notes[at + 4], 4);
    memcpy(&type, &notes[at + 8], 4);
    if (name_size > notes.size() || desc_size > notes.size()) break;
    size_t desc = at + 12 + ((name_size + 3) & ~3u);
    if (desc + desc_size > notes.size()) break;
    if (type == NT_GNU_BUILD_ID && name_size == 4 && !memcmp(&notes[at + 12], "GNU", 4) && desc_size &&
        desc_size <= kMaxIdBytes)
      return Hex(&notes[desc], desc_size);
    at = desc + ((desc_size + 3) & ~3u);
  }
  return "";
}

template <class Phdr>
std::string BuildIdIn(int fd, const Header& h) {
  std::vector<Phdr> segments(h.segments);
  if (segments.empty() || !ReadAt(fd, segments.data(), segments.size() * sizeof(Phdr), h.segments_at)) return "";
  for (const Phdr& p : segments) {
    if (p.p_type != PT_NOTE || p.p_filesz > kMaxNotes) continue;
    std::vector<unsigned char> notes(p.p_filesz);
    if (!ReadAt(fd, notes.data(), notes.size(), p.p_offset)) continue;
    std::string id = BuildIdInNotes(notes);
    if (!id.empty()) return id;
  }
  return "";
}

}  // namespace

bool ElfHeaderIsSane(int fd, uint64_t file_size) {
  Header h;
  if (!ReadHeader(fd, &h)) return false;
  auto within = [&](uint64_t at, uint64_t bytes) { return at <= file_size && file_size - at >= bytes; };
  return within(h.segments_at, h.segments * h.segment_bytes) && within(h.sections_at, h.sections * h.section_bytes);
}

std::string ReadBuildId(int fd) {
  Header h;
  if (!ReadHeader(fd, &h)) return "";
  return h.is64 ? BuildIdIn<Elf64_Phdr>(fd, h) : BuildIdIn<Elf32_Phdr>(fd, h);
}

std::vector<ElfSegment> ExecutableSegments(int fd) {
  Header h;
  std::vector<ElfSegment> out;
  if (!ReadHeader(fd, &h) || !h.is64) return out;
  std::vector<Elf64_Phdr> segments(h.segments);
  if (segments.empty() || !ReadAt(fd, segments.data(), segments.size() * sizeof(Elf64_Phdr), h.segments_at)) return out;
  for (const Elf64_Phdr& p : segments)
    if (p.p_type == PT_LOAD && p.p_flags & PF_X && p.p_filesz <= INT64_MAX && p.p_offset <= INT64_MAX)
      out.push_back({p.p_offset, p.p_filesz, p.p_vaddr});
  return out;
}

const ElfSegment* SegmentOf(const std::vector<ElfSegment>& segments, uint64_t offset) {
  const ElfSegment* segment = nullptr;
  for (const ElfSegment& s : segments)
    if (s.offset / kPage * kPage <= offset && offset < s.offset + s.bytes) segment = &s;
  return segment;
}

}  // namespace lowflame
