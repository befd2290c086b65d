// ELF by a few reads, each compared with the file's size first: see elf_frames.h. x86-64 only, as all of unwinding is.
#include "elf_frames.h"

#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "bytes.h"
#include "cfi.h"

namespace lowflame {
namespace {

constexpr size_t kMaxSegments = 4096, kMaxSections = 65536;
constexpr uint64_t kMaxNames = 1u << 20;
constexpr uint64_t kMaxFrames = 128u << 20;  // libxul has 16 MiB, node 2.6

bool ReadHeader(const ElfBytes& elf, Elf64_Ehdr* header, std::string* why) {
  if (!elf.Read(header, sizeof(*header), 0) || memcmp(header->e_ident, ELFMAG, SELFMAG)) {
    *why = "it is not an ELF file";
    return false;
  }
  if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
      header->e_machine != EM_X86_64) {
    *why = "it is not a 64-bit file for x86-64";
    return false;
  }
  return true;
}

bool ReadSegments(const ElfBytes& elf, const Elf64_Ehdr& header, std::vector<Elf64_Phdr>* segments) {
  if (!header.e_phnum || header.e_phnum > kMaxSegments || header.e_phentsize != sizeof(Elf64_Phdr)) return false;
  segments->resize(header.e_phnum);
  return elf.Read(segments->data(), segments->size() * sizeof(Elf64_Phdr), header.e_phoff);
}

bool Within(uint64_t at, uint64_t size, uint64_t file_size) {
  return at <= file_size && size <= file_size - at;
}

// zlib data of `in`, which must come to exactly `size` bytes.
bool Inflate(const uint8_t* in, size_t in_size, uint64_t size, std::vector<uint8_t>* out) {
  z_stream stream{};
  if (size > kMaxFrames || in_size > kMaxFrames || inflateInit(&stream) != Z_OK) return false;
  stream.next_in = const_cast<uint8_t*>(in);
  stream.avail_in = static_cast<uInt>(in_size);
  // what a header claims is not allocated before there is that much
  int result = Z_OK;
  for (size_t step = 1u << 20; result == Z_OK && out->size() < size; step *= 2) {
    size_t had = out->size();
    out->resize(static_cast<size_t>(std::min<uint64_t>(size, had + step)));
    stream.next_out = out->data() + had;
    stream.avail_out = static_cast<uInt>(out->size() - had);
    while (result == Z_OK && stream.avail_out) result = inflate(&stream, Z_NO_FLUSH);
    out->resize(out->size() - stream.avail_out);
  }
  inflateEnd(&stream);
  return out->size() == size;
}

// .zdebug_frame, of older linkers: "ZLIB", the size in big-endian, zlib data.
bool InflateOld(std::vector<uint8_t>* bytes) {
  if (bytes->size() < 12 || memcmp(bytes->data(), "ZLIB", 4)) return false;
  uint64_t size = 0;
  for (size_t i = 4; i < 12; i++) size = size << 8 | (*bytes)[i];
  std::vector<uint8_t> out;
  if (!Inflate(bytes->data() + 12, bytes->size() - 12, size, &out)) return false;
  bytes->swap(out);
  return true;
}

bool InflateSection(std::vector<uint8_t>* bytes) {
  Elf64_Chdr header;
  if (bytes->size() < sizeof(header)) return false;
  memcpy(&header, bytes->data(), sizeof(header));
  std::vector<uint8_t> out;
  if (header.ch_type != ELFCOMPRESS_ZLIB ||
      !Inflate(bytes->data() + sizeof(header), bytes->size() - sizeof(header), header.ch_size, &out))
    return false;
  bytes->swap(out);
  return true;
}

bool ReadBytes(const ElfBytes& elf, uint64_t at, uint64_t size, const char* name, FrameSection* out, std::string* why) {
  if (size > kMaxFrames) {
    *why = std::string("its ") + name + " is larger than 128 MiB";
    return false;
  }
  // before memory is taken for it: a claim costs nothing
  if (!Within(at, size, elf.size())) {
    *why = std::string("its ") + name + " lies beyond its end";
    return false;
  }
  out->bytes.resize(size);
  if (elf.Read(out->bytes.data(), size, at)) return true;
  *why = std::string("its ") + name + " cannot be read";
  out->bytes.clear();
  return false;
}

bool ReadSection(const ElfBytes& elf, const Elf64_Shdr& section, const char* name, bool old_packed, FrameSection* out,
                 std::string* why) {
  if (!ReadBytes(elf, section.sh_offset, section.sh_size, name, out, why)) return false;
  out->address = section.sh_addr;
  bool packed = section.sh_flags & SHF_COMPRESSED;
  if ((packed && !InflateSection(&out->bytes)) || (old_packed && !packed && !InflateOld(&out->bytes))) {
    *why = std::string("its ") + name + " is packed in a way that is not known, or damaged";
    out->bytes.clear();
    return false;
  }
  return true;
}

// Reads the section table. False: there is none that can be read.
bool ReadSections(const ElfBytes& elf, const Elf64_Ehdr& header, std::vector<Elf64_Shdr>* sections,
                  std::string* names) {
  size_t count = header.e_shnum;
  if (!count || count > kMaxSections || header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shstrndx >= count)
    return false;
  if (!Within(header.e_shoff, count * sizeof(Elf64_Shdr), elf.size())) return false;
  sections->resize(count);
  if (!elf.Read(sections->data(), count * sizeof(Elf64_Shdr), header.e_shoff)) return false;
  const Elf64_Shdr& table = (*sections)[header.e_shstrndx];
  if (table.sh_size > kMaxNames || !Within(table.sh_offset, table.sh_size, elf.size())) return false;
  names->assign(table.sh_size, 0);
  return elf.Read(&(*names)[0], names->size(), table.sh_offset);
}

// The name of a section that has content; nullptr otherwise.
const char* NameOf(const Elf64_Shdr& section, const std::string& names) {
  if (section.sh_type == SHT_NOBITS || section.sh_type == SHT_NULL || section.sh_name >= names.size()) return nullptr;
  return section.sh_size ? names.c_str() + section.sh_name : nullptr;
}

// By the section table; `why` stays empty if there is no such section.
bool FindSection(const ElfBytes& elf, const Elf64_Ehdr& header, bool debug, FrameSection* out, std::string* why) {
  std::vector<Elf64_Shdr> sections;
  std::string names;
  if (!ReadSections(elf, header, &sections, &names)) return false;
  const char* wanted = debug ? ".debug_frame" : ".eh_frame";
  for (const Elf64_Shdr& section : sections) {
    const char* name = NameOf(section, names);
    if (!name) continue;
    bool old_packed = debug && !strcmp(name, ".zdebug_frame");
    if (!strcmp(name, wanted) || old_packed) return ReadSection(elf, section, wanted, old_packed, out, why);
  }
  return false;
}

// The segment that holds an address in the file; nullptr if none does.
const Elf64_Phdr* SegmentOf(const std::vector<Elf64_Phdr>& segments, uint64_t address) {
  for (const Elf64_Phdr& p : segments)
    if (p.p_type == PT_LOAD && address >= p.p_vaddr && address - p.p_vaddr < p.p_filesz) return &p;
  return nullptr;
}

// By .eh_frame_hdr, whose place a program header tells, and which begins with the place of .eh_frame.
bool FindByHeader(const ElfBytes& elf, const Elf64_Ehdr& header, FrameSection* out, std::string* why) {
  std::vector<Elf64_Phdr> segments;
  if (!ReadSegments(elf, header, &segments)) return false;
  for (const Elf64_Phdr& p : segments) {
    uint8_t head[16]{};
    if (p.p_type != PT_GNU_EH_FRAME || p.p_filesz < 8) continue;
    if (!elf.Read(head, static_cast<size_t>(std::min<uint64_t>(sizeof(head), p.p_filesz)), p.p_offset)) return false;
    Bytes in(head + 4, head + sizeof(head));
    uint64_t address;
    if (head[0] != 1 || !ReadEncoded(&in, head[1], p.p_vaddr + 4, &address)) return false;
    const Elf64_Phdr* segment = SegmentOf(segments, address);
    if (!segment) return false;
    uint64_t skipped = address - segment->p_vaddr;
    out->address = address;
    out->open_ended = true;
    uint64_t size = std::min(segment->p_filesz - skipped, kMaxFrames);
    return ReadBytes(elf, segment->p_offset + skipped, size, ".eh_frame", out, why);
  }
  return false;
}

}  // namespace

ElfBytes::ElfBytes(int fd) : fd_(fd) {
  struct stat st;
  if (!fstat(fd, &st) && S_ISREG(st.st_mode)) size_ = static_cast<uint64_t>(st.st_size);
}

bool ElfBytes::Read(void* to, size_t size, uint64_t at) const {
  if (!Within(at, size, size_)) return false;
  if (image_) {
    memcpy(to, image_ + at, size);
    return true;
  }
  auto* bytes = static_cast<char*>(to);
  while (size) {
    ssize_t n = pread(fd_, bytes, size, static_cast<off_t>(at));
    if (n <= 0) return false;
    bytes += n;
    at += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
  return true;
}

bool ReadText(const ElfBytes& elf, std::vector<TextRange>* text, std::string* why) {
  Elf64_Ehdr header;
  if (!ReadHeader(elf, &header, why)) return false;
  std::vector<Elf64_Phdr> segments;
  if (!ReadSegments(elf, header, &segments)) {
    *why = "its program headers cannot be read";
    return false;
  }
  for (const Elf64_Phdr& p : segments) {
    if (p.p_type != PT_LOAD || !(p.p_flags & PF_X) || !p.p_filesz || p.p_vaddr + p.p_filesz < p.p_vaddr) continue;
    text->push_back({p.p_vaddr, p.p_vaddr + p.p_filesz});
  }
  std::sort(text->begin(), text->end(), [](const TextRange& a, const TextRange& b) { return a.begin < b.begin; });
  size_t kept = 0;
  for (const TextRange& range : *text) {
    if (kept && range.begin <= (*text)[kept - 1].end)
      (*text)[kept - 1].end = std::max((*text)[kept - 1].end, range.end);
    else
      (*text)[kept++] = range;
  }
  text->resize(kept);
  if (kept) return true;
  *why = "it has no executable segment";
  return false;
}

bool ReadFrames(const ElfBytes& elf, bool debug, FrameSection* out, std::string* why) {
  Elf64_Ehdr header;
  if (!ReadHeader(elf, &header, why)) return false;
  why->clear();
  bool found =
      FindSection(elf, header, debug, out, why) || (!debug && why->empty() && FindByHeader(elf, header, out, why));
  out->debug = debug;
  if (!found && why->empty()) *why = debug ? "it has no .debug_frame" : "it has no .eh_frame";
  return found;
}

bool ReadNamed(const ElfBytes& elf, const char* name, FrameSection* out) {
  Elf64_Ehdr header;
  std::vector<Elf64_Shdr> sections;
  std::string names, why;
  if (!ReadHeader(elf, &header, &why) || !ReadSections(elf, header, &sections, &names)) return false;
  for (const Elf64_Shdr& section : sections) {
    const char* own = NameOf(section, names);
    if (own && !strcmp(own, name)) return ReadSection(elf, section, name, false, out, &why);
  }
  return false;
}

uint64_t AddressOfNamed(const ElfBytes& elf, const char* name) {
  Elf64_Ehdr header;
  std::vector<Elf64_Shdr> sections;
  std::string names, why;
  if (!ReadHeader(elf, &header, &why) || !ReadSections(elf, header, &sections, &names)) return 0;
  for (const Elf64_Shdr& section : sections) {
    const char* own = NameOf(section, names);
    if (own && !strcmp(own, name)) return section.sh_addr;
  }
  return 0;
}

}  // namespace lowflame
