// Reading ELF symbol tables with libelf: see elf_symbols.h. Files are read, not mapped: a mapped file that is truncated
// under us would kill the process with SIGBUS.
#include "elf_symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "../core/unique_fd.h"

namespace lowflame {
namespace {

constexpr size_t kMaxSymbols = 4u << 20;
constexpr size_t kMaxNameBytes = 512u << 20;
constexpr size_t kMaxName = 16384;
constexpr size_t kMaxNotes = 65536;
constexpr off_t kMaxDebugFile = 4ll << 30;

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
    if (type == NT_GNU_BUILD_ID && name_size == 4 && !memcmp(&notes[at + 12], "GNU", 4) && desc_size <= 64)
      return Hex(&notes[desc], desc_size);
    at = desc + ((desc_size + 3) & ~3u);
  }
  return "";
}

// CRC of the whole file as .gnu_debuglink wants it (the zlib polynomial).
bool FileCrcIs(int fd, uint32_t wanted) {
  std::vector<unsigned char> buffer(1 << 20);
  uLong crc = crc32(0, nullptr, 0);
  off_t at = 0;
  ssize_t n;
  while ((n = pread(fd, buffer.data(), buffer.size(), at)) > 0) {
    crc = crc32(crc, buffer.data(), static_cast<uInt>(n));
    at += n;
    if (at > kMaxDebugFile) return false;
  }
  return crc == wanted;
}

Elf_Scn* FindSection(Elf* elf, const char* name, GElf_Shdr* header) {
  size_t strings;
  if (elf_getshdrstrndx(elf, &strings)) return nullptr;
  for (Elf_Scn* s = nullptr; (s = elf_nextscn(elf, s));) {
    if (!gelf_getshdr(s, header)) continue;
    const char* n = elf_strptr(elf, strings, header->sh_name);
    if (n && !strcmp(n, name)) return s;
  }
  return nullptr;
}

// The address is the low bits of text on x86-64 and arm64 alike; nothing to mask.
uint8_t Rank(unsigned char bind, bool sized) {
  uint8_t rank = bind == STB_GLOBAL ? 0 : bind == STB_WEAK ? 1 : 2;
  return static_cast<uint8_t>(rank + (sized ? 0 : 4));
}

}  // namespace

std::string ReadBuildId(int fd) {
  Elf64_Ehdr e;
  if (pread(fd, &e, sizeof(e), 0) != sizeof(e) || memcmp(e.e_ident, ELFMAG, SELFMAG) ||
      e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_phentsize != sizeof(Elf64_Phdr) || e.e_phnum > 512)
    return "";
  std::vector<Elf64_Phdr> headers(e.e_phnum);
  auto size = static_cast<ssize_t>(headers.size() * sizeof(Elf64_Phdr));
  if (pread(fd, headers.data(), static_cast<size_t>(size), static_cast<off_t>(e.e_phoff)) != size) return "";
  for (const Elf64_Phdr& p : headers) {
    if (p.p_type != PT_NOTE || p.p_filesz > kMaxNotes) continue;
    std::vector<unsigned char> notes(p.p_filesz);
    ssize_t n = pread(fd, notes.data(), notes.size(), static_cast<off_t>(p.p_offset));
    if (n <= 0) continue;
    notes.resize(static_cast<size_t>(n));
    std::string id = BuildIdInNotes(notes);
    if (!id.empty()) return id;
  }
  return "";
}

void ElfSymbols::ReadSegments(void* handle) {
  auto* elf = static_cast<Elf*>(handle);
  size_t count = 0;
  if (elf_getphdrnum(elf, &count) || count > 4096) return;
  for (size_t i = 0; i < count; i++) {
    GElf_Phdr p;
    if (gelf_getphdr(elf, static_cast<int>(i), &p) && p.p_type == PT_LOAD)
      segments_.push_back({p.p_offset, p.p_vaddr, p.p_filesz});
  }
}

bool ElfSymbols::ReadTable(void* handle, uint32_t section_type) {
  auto* elf = static_cast<Elf*>(handle);
  size_t before = symbols_.size();
  for (Elf_Scn* s = nullptr; (s = elf_nextscn(elf, s));) {
    GElf_Shdr header;
    if (!gelf_getshdr(s, &header) || header.sh_type != section_type || !header.sh_entsize) continue;
    Elf_Data* data = elf_getdata(s, nullptr);
    if (!data || !data->d_buf) continue;
    size_t count = std::min<size_t>(data->d_size / header.sh_entsize, kMaxSymbols);
    for (size_t i = 0; i < count && symbols_.size() < kMaxSymbols && names_.size() < kMaxNameBytes; i++) {
      GElf_Sym sym;
      if (!gelf_getsym(data, static_cast<int>(i), &sym) || sym.st_shndx == SHN_UNDEF || !sym.st_value) continue;
      unsigned char type = GELF_ST_TYPE(sym.st_info);
      if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE) continue;
      // elf_strptr checks that the string ends within its section
      const char* name = elf_strptr(elf, header.sh_link, sym.st_name);
      if (!name || !*name) continue;
      // assembler labels are no functions
      if (type == STT_NOTYPE && (name[0] == '.' || name[0] == '$' || sym.st_shndx >= SHN_LORESERVE)) continue;
      size_t length = strnlen(name, kMaxName);
      symbols_.push_back({sym.st_value, static_cast<uint32_t>(std::min<uint64_t>(sym.st_size, UINT32_MAX)),
                          static_cast<uint32_t>(names_.size()), Rank(GELF_ST_BIND(sym.st_info), sym.st_size != 0)});
      names_.append(name, length);
      names_ += '\0';
    }
  }
  return symbols_.size() > before;
}

bool ElfSymbols::ReadDebugFile(const std::string& file, const std::string& build_id, const uint32_t* crc) {
  UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat st;
  if (!fd || fstat(fd.get(), &st) || !S_ISREG(st.st_mode)) return false;
  if (crc ? !FileCrcIs(fd.get(), *crc) : ReadBuildId(fd.get()) != build_id) return false;
  Elf* elf = elf_begin(fd.get(), ELF_C_READ, nullptr);
  if (!elf) return false;
  bool found = ReadTable(elf, SHT_SYMTAB);
  elf_end(elf);
  return found;
}

ElfSymbols ElfSymbols::Load(int fd, const std::string& path, const std::string& root) {
  ElfSymbols out;
  elf_version(EV_CURRENT);
  Elf* elf = elf_begin(fd, ELF_C_READ, nullptr);
  if (!elf || elf_kind(elf) != ELF_K_ELF) {
    elf_end(elf);
    return out;
  }
  out.parsed_ = true;
  out.ReadSegments(elf);
  bool found = out.ReadTable(elf, SHT_SYMTAB);
  if (!found) {
    std::string id = ReadBuildId(fd);
    std::vector<std::string> roots{""};
    if (!root.empty()) roots.insert(roots.begin(), root);
    for (size_t i = 0; i < roots.size() && !found && id.size() > 2; i++)
      found = out.ReadDebugFile(
          roots[i] + "/usr/lib/debug/.build-id/" + id.substr(0, 2) + "/" + id.substr(2) + ".debug", id, nullptr);
    GElf_Shdr header;
    Elf_Scn* link = found ? nullptr : FindSection(elf, ".gnu_debuglink", &header);
    Elf_Data* data = link ? elf_getdata(link, nullptr) : nullptr;
    if (data && data->d_buf && data->d_size >= 8) {
      const char* name = static_cast<const char*>(data->d_buf);
      size_t length = strnlen(name, data->d_size);
      size_t at = (length + 4) & ~size_t{3};
      // a name with a slash would lead anywhere
      if (length && at + 4 <= data->d_size && !memchr(name, '/', length)) {
        uint32_t crc;
        memcpy(&crc, name + at, 4);
        std::string file(name, length), dir = path.substr(0, path.rfind('/'));
        for (size_t i = 0; i < roots.size() && !found; i++)
          for (const std::string& place :
               {dir + "/" + file, dir + "/.debug/" + file, "/usr/lib/debug" + dir + "/" + file})
            if ((found = out.ReadDebugFile(roots[i] + place, "", &crc))) break;
      }
    }
  }
  // .dynsym comes on top: what it exports is in .symtab as well, so it matters only without one
  if (!found) out.ReadTable(elf, SHT_DYNSYM);
  elf_end(elf);
  out.Sort();
  return out;
}

ElfSymbols ElfSymbols::LoadImage(char* image, size_t size) {
  ElfSymbols out;
  elf_version(EV_CURRENT);
  Elf* elf = elf_memory(image, size);
  if (!elf) return out;
  out.parsed_ = true;
  out.ReadSegments(elf);
  out.ReadTable(elf, SHT_DYNSYM);
  elf_end(elf);
  out.Sort();
  return out;
}

void ElfSymbols::Sort() {
  std::sort(symbols_.begin(), symbols_.end(), [](const Symbol& a, const Symbol& b) {
    return a.address != b.address ? a.address < b.address : a.rank < b.rank;
  });
  symbols_.erase(std::unique(symbols_.begin(), symbols_.end(),
                             [](const Symbol& a, const Symbol& b) { return a.address == b.address; }),
                 symbols_.end());
  symbols_.shrink_to_fit();
  names_.shrink_to_fit();
}

std::string ElfSymbols::NameAt(uint64_t offset) const {
  uint64_t address = offset;
  for (const Segment& s : segments_)
    if (offset >= s.offset && offset - s.offset < s.size) address = offset - s.offset + s.address;
  auto next = std::upper_bound(symbols_.begin(), symbols_.end(), address,
                               [](uint64_t a, const Symbol& s) { return a < s.address; });
  // a function may hold another symbol inside it: look a little further back for one that covers the address
  for (int back = 0; back < 8 && next != symbols_.begin(); back++) {
    --next;
    if (next->size == 0 ? back == 0 : address - next->address < next->size) return names_.c_str() + next->name;
  }
  return "";
}

}  // namespace lowflame
