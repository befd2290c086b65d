// Reading ELF symbol tables with libelf: see elf_symbols.h.
#include "elf_symbols.h"

#include <elf.h>
#include <gelf.h>
#include <libelf.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "debug_files.h"
#include "elf_file.h"
#include "elf_sections.h"
#include "mini_debug.h"
#include "read_at.h"
#include "read_name.h"

namespace lowflame {
namespace {

constexpr uint64_t kMaxTableBytes = 96u << 20;         // 4 million symbols; Chromium has one million
constexpr uint64_t kMaxSize = (1u << 26) - 1;          // of one function
constexpr uint64_t kMaxUnsized = 4096;                 // how far a symbol without a size may reach
constexpr const char* kSignalReturn = "__restore_rt";  // in glibc, musl and bionic
constexpr int kMaxLookBack = 32;
constexpr uint32_t kUnsized = 8, kLabel = 4;  // bits of Symbol::rank; the lower two are the binding

// "xdr_int@GLIBC_2.2.5", "memcpy@@GLIBC_2.14": linkers write versions into the names of .symtab.
void StripVersion(std::string* name) {
  size_t at = name->find('@');
  if (at == 0 || at == std::string::npos) return;
  size_t version = name->find_first_not_of('@', at);
  bool plain = version != std::string::npos && version - at <= 2 &&
               name->find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-", version) ==
                   std::string::npos;
  if (plain) name->resize(at);
}

}  // namespace

void ElfSymbols::ReadSegments(void* handle) {
  auto* elf = static_cast<Elf*>(handle);
  size_t count = 0;
  if (elf_getphdrnum(elf, &count)) return;
  for (size_t i = 0; i < count; i++) {
    GElf_Phdr p;
    // only code is asked for; a data segment may share its file offsets
    if (gelf_getphdr(elf, static_cast<int>(i), &p) && p.p_type == PT_LOAD && (p.p_flags & PF_X))
      segments_.push_back({p.p_offset, p.p_vaddr, p.p_filesz});
  }
}

void ElfSymbols::ReadCode(void* handle) {
  auto* elf = static_cast<Elf*>(handle);
  code_.clear();
  for (Elf_Scn* s = nullptr; (s = elf_nextscn(elf, s));) {
    GElf_Shdr header;
    if (!gelf_getshdr(s, &header) || !(header.sh_flags & SHF_EXECINSTR) || !(header.sh_flags & SHF_ALLOC)) continue;
    if (header.sh_addr + header.sh_size > header.sh_addr)
      code_.push_back({header.sh_addr, header.sh_addr + header.sh_size});
  }
  size_t sections;
  if (!elf_getshdrnum(elf, &sections) && !sections)  // they can be stripped as well
    for (const Segment& s : segments_)
      if (s.address + s.size > s.address) code_.push_back({s.address, s.address + s.size});
  std::sort(code_.begin(), code_.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
}

bool ElfSymbols::IsCode(uint64_t address) const {
  auto next =
      std::upper_bound(code_.begin(), code_.end(), address, [](uint64_t a, const Range& r) { return a < r.begin; });
  return next != code_.begin() && address < (next - 1)->end;
}

bool ElfSymbols::ReadTable(void* handle, uint32_t section_type, uint64_t file_size, int fd, Source source) {
  auto* elf = static_cast<Elf*>(handle);
  size_t before = symbols_.size();
  for (Elf_Scn* s = nullptr; (s = elf_nextscn(elf, s));) {
    GElf_Shdr header, strings;
    if (!gelf_getshdr(s, &header) || header.sh_type != section_type) continue;
    Elf_Scn* linked = elf_getscn(elf, header.sh_link);
    if (!linked || !gelf_getshdr(linked, &strings) || strings.sh_type != SHT_STRTAB) continue;
    // libelf allocates what a header claims, so claims are checked first
    if (header.sh_size > kMaxTableBytes || !Within(header.sh_offset, header.sh_size, file_size) ||
        !Within(strings.sh_offset, strings.sh_size, file_size) ||
        ((header.sh_flags | strings.sh_flags) & SHF_COMPRESSED))
      continue;
    Elf_Data* data = elf_getdata(s, nullptr);
    if (!data || !data->d_buf) continue;
    size_t count = data->d_size / gelf_fsize(elf, ELF_T_SYM, 1, EV_CURRENT);
    symbols_.reserve(before + count);
    for (size_t i = 0; i < count; i++) {
      GElf_Sym sym;
      if (!gelf_getsym(data, static_cast<int>(i), &sym) || sym.st_shndx == SHN_UNDEF || !sym.st_value) continue;
      unsigned char type = GELF_ST_TYPE(sym.st_info), bind = GELF_ST_BIND(sym.st_info);
      bool function = type == STT_FUNC || type == STT_GNU_IFUNC;
      if (!function && (type != STT_NOTYPE || sym.st_shndx >= SHN_LORESERVE)) continue;
      if (!sym.st_name || sym.st_name >= strings.sh_size || !IsCode(sym.st_value)) continue;
      uint32_t rank = bind == STB_GLOBAL ? 0 : bind == STB_WEAK ? 1 : 2;
      rank |= (function ? 0 : kLabel) | (sym.st_size ? 0 : kUnsized);
      auto bytes = static_cast<uint32_t>(std::min<uint64_t>(sym.st_size, kMaxSize));
      symbols_.push_back({sym.st_value, bytes, source, rank, sym.st_name});
    }
    strings_[source] = {fd, strings.sh_offset, strings.sh_size};
    break;  // a file has one table of each kind
  }
  return symbols_.size() > before;
}

bool ElfSymbols::ReadDebugFile(int fd) {
  uint64_t size;
  ElfPtr elf = OpenElf(fd, &size);
  if (!elf) return false;
  std::vector<Range> own = code_;
  ReadCode(elf.get());
  if (code_.empty()) code_ = std::move(own);
  return ReadTable(elf.get(), SHT_SYMTAB, size, fd, kTable);
}

// What it has of code is not asked: the file's own sections are the ones that are mapped.
void ElfSymbols::ReadMini(void* handle, uint64_t file_size) {
  GElf_Shdr packed;
  if (!FindSection(static_cast<Elf*>(handle), file_size, ".gnu_debugdata", &packed)) return;
  mini_ = UnpackMiniDebugInfo(fd_, packed.sh_offset, packed.sh_size);
  uint64_t size;
  ElfPtr elf = mini_ ? OpenElf(mini_.get(), &size) : nullptr;
  if (!elf) refused_++;
  if (elf && ReadTable(elf.get(), SHT_SYMTAB, size, mini_.get(), kMini))
    KeepOnly(mini_.get(), strings_[kMini].at, strings_[kMini].size);
  else
    mini_.reset();
}

void ElfSymbols::ReadGo(void* handle, uint64_t file_size) {
  std::vector<GoFunctions::Function> functions;
  auto is_code = [this](uint64_t address) { return IsCode(address); };
  if (go_.Read(handle, fd_, file_size, is_code, &functions) == GoFunctions::Found::kRefused) refused_++;
  for (const GoFunctions::Function& f : functions)
    if (f.end > f.begin && IsCode(f.begin))
      symbols_.push_back({f.begin, static_cast<uint32_t>(std::min(f.end - f.begin, kMaxSize)), kGo, 0, f.record});
}

ElfSymbols ElfSymbols::Load(int fd, const std::string& path, int root) {
  ElfSymbols out;
  uint64_t size;
  ElfPtr elf = OpenElf(fd, &size);
  if (!elf) return out;
  out.parsed_ = true;
  out.fd_ = out.names_fd_ = fd;
  out.ReadSegments(elf.get());
  out.plt_.Read(elf.get(), fd, size);
  out.starts_.Read(elf.get(), fd, size);
  out.ReadCode(elf.get());
  const std::vector<Range> own_code = out.code_;
  if (!out.ReadTable(elf.get(), SHT_SYMTAB, size, fd, kTable)) {
    out.debug_file_ = FindDebugFile(fd, root, path, ReadDebugLink(elf.get(), size),
                                    [&](int debug) { return out.ReadDebugFile(debug); });
    if (out.debug_file_) {
      out.names_fd_ = out.debug_file_.get();
    } else {
      out.code_ = own_code;
      out.ReadTable(elf.get(), SHT_DYNSYM, size, fd, kTable);
      out.ReadMini(elf.get(), size);
      out.ReadGo(elf.get(), size);
    }
  }
  out.stamp_ = FileStamp(fd);
  if (out.debug_file_) out.debug_stamp_ = FileStamp(out.debug_file_.get());
  out.Finish();
  return out;
}

ElfSymbols ElfSymbols::LoadImage(const char* image, size_t size) {
  ElfSymbols out;
  elf_version(EV_CURRENT);
  out.image_.assign(image, size);
  ElfPtr elf(elf_memory(out.image_.data(), size));
  if (!elf) return out;
  out.parsed_ = true;
  out.ReadSegments(elf.get());
  out.ReadCode(elf.get());
  out.ReadTable(elf.get(), SHT_DYNSYM, size, -1, kTable);
  out.Finish();
  return out;
}

void ElfSymbols::Finish() {
  std::sort(symbols_.begin(), symbols_.end(), [](const Symbol& a, const Symbol& b) {
    if (a.address != b.address) return a.address < b.address;
    if (a.rank != b.rank) return a.rank < b.rank;
    return a.source != b.source ? a.source < b.source : a.name < b.name;
  });
  // a symbol without a size reaches to the next one, within its section and within reason: in a stripped file the
  // next one may be far behind hundreds of functions without names
  uint64_t next = UINT64_MAX;
  for (size_t i = symbols_.size(); i-- > 0;) {
    Symbol& s = symbols_[i];
    if (i + 1 < symbols_.size() && symbols_[i + 1].address != s.address) next = symbols_[i + 1].address;
    if (!(s.rank & kUnsized)) continue;
    auto section =
        std::upper_bound(code_.begin(), code_.end(), s.address, [](uint64_t a, const Range& r) { return a < r.begin; });
    uint64_t end = std::min(next, (section - 1)->end);
    s.size = static_cast<uint32_t>(std::min(end - s.address, kMaxUnsized));
  }
  symbols_.shrink_to_fit();
}

std::string ElfSymbols::NameOf(const Symbol& symbol) const {
  if (symbol.source == kGo) return go_.NameOf(symbol.name, fd_);
  const Strings& strings = strings_[symbol.source];
  uint64_t room = strings.size - symbol.name;
  if (strings.fd >= 0) return ReadName(strings.fd, strings.at + symbol.name, room);
  if (!Within(strings.at + symbol.name, room, image_.size())) return "";
  const char* text = image_.data() + strings.at + symbol.name;
  return std::string(text, strnlen(text, room));
}

std::string ElfSymbols::BestName(size_t i) const {
  while (i > 0 && symbols_[i - 1].address == symbols_[i].address) i--;
  std::string best;
  size_t best_underscores = 0;
  uint32_t rank = symbols_[i].rank;
  // of aliases that are equal otherwise the one meant for people: malloc, not __libc_malloc
  for (size_t n = 0; n < 8 && i + n < symbols_.size(); n++) {
    const Symbol& s = symbols_[i + n];
    if (s.address != symbols_[i].address || (!best.empty() && s.rank != rank)) break;
    std::string name = NameOf(s);
    if (s.source != kGo) StripVersion(&name);
    // labels of assemblers and mapping symbols ($x) are no functions
    if (name.empty() || ((s.rank & kLabel) && (name[0] == '.' || name[0] == '$'))) continue;
    size_t underscores = name.compare(0, 2, "_Z") && name.compare(0, 2, "_R") ? name.find_first_not_of('_') : 0;
    if (!best.empty() && underscores >= best_underscores) continue;
    best = std::move(name);
    best_underscores = underscores;
    rank = s.rank;
  }
  return best;
}

const ElfSymbols::Segment* ElfSymbols::SegmentOf(uint64_t offset) const {
  const Segment* segment = nullptr;
  for (const Segment& s : segments_)
    if (offset >= s.offset && offset - s.offset < s.size) segment = &s;
  return segment;
}

std::optional<uint64_t> ElfSymbols::BeginAt(uint64_t offset) const {
  const Segment* segment = SegmentOf(offset);
  if (!segment || fd_ < 0 || !stamp_.Holds(fd_)) return {};
  const std::optional<uint64_t> begin = starts_.At(offset - segment->offset + segment->address, fd_);
  if (!begin || *begin < segment->address || *begin - segment->address >= segment->size) return {};
  return *begin - segment->address + segment->offset;
}

std::string ElfSymbols::NameAt(uint64_t offset) const {
  const Segment* segment = SegmentOf(offset);
  if (!segment) return "";
  // written over since it was parsed: whatever would be read now is not its name
  if (names_fd_ >= 0 && !NamesHold()) return "";
  uint64_t address = offset - segment->offset + segment->address;
  std::string name = NameOfAddress(address);
  if (name.empty()) name = NameInPlt(address);
  return name.empty() && IsSignalReturn(offset) ? kSignalReturn : name;
}

// What the kernel lets a signal handler return to: C libraries export no symbol for it. gdb knows it by its code too.
bool ElfSymbols::IsSignalReturn(uint64_t offset) const {
  static constexpr unsigned char kLong[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};  // mov $15,%rax; syscall
  static constexpr unsigned char kShort[] = {0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05};             // mov $15,%eax; syscall
  unsigned char code[sizeof(kLong)];
  if (fd_ < 0 || !ReadAt(fd_, code, sizeof(code), offset) || !stamp_.Holds(fd_)) return false;
  return !memcmp(code, kLong, sizeof(kLong)) || !memcmp(code, kShort, sizeof(kShort));
}

bool ElfSymbols::NamesHold() const {
  return debug_file_ ? debug_stamp_.Holds(debug_file_.get()) : stamp_.Holds(fd_);
}

std::string ElfSymbols::NameInPlt(uint64_t address) const {
  if (fd_ < 0) return "";
  Plt::Target target = plt_.At(address, fd_);
  if (!target.in_plt || !stamp_.Holds(fd_)) return "";
  // the C library calls its own memcpy through a stub that only knows which function picks the implementation
  if (target.resolver) target.name = NameOfAddress(target.resolver);
  return target.name.empty() ? "[plt]" : target.name + "@plt";
}

std::string ElfSymbols::NameOfAddress(uint64_t address) const {
  auto next = std::upper_bound(symbols_.begin(), symbols_.end(), address,
                               [](uint64_t a, const Symbol& s) { return a < s.address; });
  // a function may hold other symbols: look a little further back for one that covers the address, and prefer one
  // with a size to a label within it
  const Symbol* label = nullptr;
  for (int back = 0; back < kMaxLookBack && next != symbols_.begin(); back++) {
    --next;
    if (address - next->address >= next->size) continue;
    if (!(next->rank & kUnsized)) {
      std::string name = BestName(static_cast<size_t>(next - symbols_.begin()));
      if (!name.empty()) return name;
    } else if (!label) {
      label = &*next;
    }
  }
  return label ? BestName(static_cast<size_t>(label - symbols_.data())) : "";
}

}  // namespace lowflame
