// Units, functions and what is inlined in them: see source_lines.h.
#include "source_lines.h"

#include <dwarf.h>
#include <fcntl.h>
#include <gelf.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "debug_files.h"
#include "read_name.h"

namespace lowflame {
namespace {

constexpr uint64_t kMaxCpuNs = 5'000'000'000;             // of one file
constexpr uint64_t kMaxGrowthBytes = 3 * kMaxDebugBytes;  // of the process, while one file is open
constexpr size_t kMaxUnits = 65536, kMaxRanges = 1u << 20, kMaxFunctions = 1u << 20;
constexpr size_t kMaxDepth = 64;     // of namespaces, types and blocks around a function
constexpr size_t kMaxInlined = 256;  // functions and blocks within one another
constexpr int kMaxLookBack = 16;
constexpr size_t kLookEvery = 1024;  // DIEs between two looks at the clock

uint64_t ThreadCpuNs() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

uint64_t ResidentBytes() {
  char text[128];
  int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = read(fd, text, sizeof(text) - 1);
  close(fd);
  text[std::max<ssize_t>(n, 0)] = 0;
  unsigned long long pages = 0;
  if (sscanf(text, "%*u %llu", &pages) != 1) return 0;
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

const char* StringOf(Dwarf_Die* die, unsigned int attribute) {
  Dwarf_Attribute found;
  const char* text = dwarf_formstring(dwarf_attr_integrate(die, attribute, &found));
  return text ? text : "";
}

// Mangled where the language has that; "" if it has no name.
std::string NameOf(Dwarf_Die* die) {
  const char* name = "";
  for (unsigned int attribute : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name, DW_AT_name})
    if (!*name) name = StringOf(die, attribute);
  return std::string(name, strnlen(name, kMaxName));
}

uint64_t NumberOf(Dwarf_Die* die, unsigned int attribute) {
  Dwarf_Attribute found;
  Dwarf_Word value;
  return dwarf_formudata(dwarf_attr(die, attribute, &found), &value) ? 0 : value;
}

// Calls back for each range of the code of a DIE.
template <class Use>
void EachRange(Dwarf_Die* die, Use use) {
  Dwarf_Addr base, begin, end;
  for (ptrdiff_t at = 0; (at = dwarf_ranges(die, at, &base, &begin, &end)) > 0;)
    if (begin < end && !use(begin, end)) return;
}

bool IsSkeleton(Dwarf_Die* unit) {
  // its functions are in another file, whose name it tells
  return dwarf_hasattr(unit, DW_AT_dwo_name) || dwarf_hasattr(unit, DW_AT_GNU_dwo_name) ||
         dwarf_hasattr(unit, DW_AT_GNU_dwo_id);
}

}  // namespace

SourceLines::SourceLines(int fd, const std::string& path, int root, const std::atomic<bool>* stop)
    : stop_(stop), cpu_start_ns_(ThreadCpuNs()), memory_start_(ResidentBytes()) {
  if (!ReadSegments(fd)) return;
  DebugImage::Result result = image_.Read(fd);
  if (result == DebugImage::Result::kNone) {
    uint64_t size;
    ElfPtr elf = OpenElf(fd, &size);
    if (!elf) return;
    FindDebugFile(fd, root, path, ReadDebugLink(elf.get(), size), [&](int debug) {
      result = image_.Read(debug);
      return result != DebugImage::Result::kNone;
    });
  }
  refused_ = result == DebugImage::Result::kRefused;
  if (result != DebugImage::Result::kRead) return;
  elf_.reset(elf_memory(image_.bytes.get(), image_.size));
  if (elf_) dwarf_.reset(dwarf_begin_elf(elf_.get(), DWARF_C_READ, nullptr));
  if (dwarf_) ReadUnits();
  refused_ = refused_ || !dwarf_;
}

bool SourceLines::ReadSegments(int fd) {
  uint64_t size;
  ElfPtr elf = OpenElf(fd, &size);
  size_t count = 0;
  if (!elf || elf_getphdrnum(elf.get(), &count)) return false;
  for (size_t i = 0; i < count; i++) {
    GElf_Phdr p;
    if (!gelf_getphdr(elf.get(), static_cast<int>(i), &p) || p.p_type != PT_LOAD || !(p.p_flags & PF_X)) continue;
    segments_.push_back({p.p_offset, p.p_filesz, p.p_vaddr});
    code_.push_back({p.p_vaddr, p.p_vaddr + p.p_filesz});
  }
  return !segments_.empty();
}

bool SourceLines::Spent() {
  if (*stop_) return true;
  if (given_up_) return true;
  const uint64_t memory = ResidentBytes();
  given_up_ =
      ThreadCpuNs() - cpu_start_ns_ > kMaxCpuNs || (memory > memory_start_ && memory - memory_start_ > kMaxGrowthBytes);
  refused_ = refused_ || given_up_;
  return given_up_;
}

void SourceLines::ReadUnits() {
  Dwarf_Off next;
  size_t header_size, count = 0;
  // counted before libdw keeps anything of them: each costs it a kilobyte
  for (Dwarf_Off at = 0; !dwarf_nextcu(dwarf_.get(), at, &next, &header_size, nullptr, nullptr, nullptr) && next > at;
       at = next)
    if (++count > kMaxUnits) {
      refused_ = true;
      return;
    }
  for (Dwarf_Off at = 0; !dwarf_nextcu(dwarf_.get(), at, &next, &header_size, nullptr, nullptr, nullptr) && next > at;
       at = next) {
    if (units_.size() % 64 == 0 && Spent()) return;
    Dwarf_Die die;
    if (!dwarf_offdie(dwarf_.get(), at + header_size, &die) || dwarf_tag(&die) != DW_TAG_compile_unit) continue;
    if (IsSkeleton(&die)) continue;
    const auto id = static_cast<uint32_t>(units_.size());
    units_.push_back({at + header_size, false, {}, {}, ""});
    EachRange(&die, [&](uint64_t begin, uint64_t end) {
      if (ranges_.size() >= kMaxRanges) return false;
      ranges_.push_back({begin, end, id});
      return true;
    });
  }
  std::sort(ranges_.begin(), ranges_.end(), [](const UnitRange& a, const UnitRange& b) { return a.begin < b.begin; });
}

// Functions, in whatever namespace or type they stand; those within functions too.
void SourceLines::ReadFunctions(Unit* unit, Dwarf_Die die) {
  std::vector<Dwarf_Die> open{die};
  size_t seen = 0;
  bool more = !dwarf_child(&open.back(), &die);
  while (!open.empty()) {
    if (!more) {
      die = open.back();
      open.pop_back();
      more = !open.empty() && !dwarf_siblingof(&die, &die);
      continue;
    }
    if (++seen % kLookEvery == 0 && Spent()) break;
    bool enter = false;
    switch (dwarf_tag(&die)) {
      case DW_TAG_subprogram:
        EachRange(&die, [&](uint64_t begin, uint64_t end) {
          if (unit->functions.size() >= kMaxFunctions) return false;
          unit->functions.push_back({begin, end, dwarf_dieoffset(&die)});
          return true;
        });
        [[fallthrough]];
      case DW_TAG_namespace:
      case DW_TAG_module:
      case DW_TAG_structure_type:
      case DW_TAG_class_type:
      case DW_TAG_union_type:
      case DW_TAG_enumeration_type:
      case DW_TAG_interface_type:
      case DW_TAG_lexical_block:
        enter = dwarf_haschildren(&die) && open.size() < kMaxDepth;
        break;
      default:
        break;
    }
    Dwarf_Die child;
    if (enter && !dwarf_child(&die, &child)) {
      open.push_back(die);
      die = child;
    } else {
      more = !dwarf_siblingof(&die, &die);
    }
  }
  std::sort(unit->functions.begin(), unit->functions.end(),
            [](const Function& a, const Function& b) { return a.begin < b.begin; });
}

void SourceLines::ReadUnit(Unit* unit) {
  unit->read = true;
  Dwarf_Die die;
  if (Spent() || !dwarf_offdie(dwarf_.get(), unit->die, &die)) return;
  ReadFunctions(unit, die);
  const char* directory = StringOf(&die, DW_AT_comp_dir);
  unit->directory.assign(directory, strnlen(directory, 4096));
  Dwarf_Attribute found;
  Dwarf_Word at;
  if (dwarf_formudata(dwarf_attr(&die, DW_AT_stmt_list, &found), &at)) return;
  unit->lines = LineTable::Read(image_, at, code_);
}

SourceLines::Unit* SourceLines::UnitAt(uint64_t address) {
  auto next = std::upper_bound(ranges_.begin(), ranges_.end(), address,
                               [](uint64_t a, const UnitRange& r) { return a < r.begin; });
  for (int back = 0; back < kMaxLookBack && next != ranges_.begin(); back++) {
    --next;
    if (address < next->end) return &units_[next->unit];
  }
  return nullptr;
}

std::vector<SourcePlace> SourceLines::At(uint64_t offset) {
  if (!dwarf_ || given_up_) return {};
  auto segment = std::find_if(segments_.begin(), segments_.end(),
                              [&](const Segment& s) { return offset >= s.offset && offset - s.offset < s.size; });
  if (segment == segments_.end()) return {};
  const uint64_t address = offset - segment->offset + segment->address;
  Unit* unit = UnitAt(address);
  if (!unit) return {};
  if (!unit->read) ReadUnit(unit);

  std::vector<Dwarf_Die> chain;  // outermost first
  auto next = std::upper_bound(unit->functions.begin(), unit->functions.end(), address,
                               [](uint64_t a, const Function& f) { return a < f.begin; });
  const Function* best = nullptr;
  for (int back = 0; back < kMaxLookBack && next != unit->functions.begin(); back++) {
    --next;
    if (address < next->end && (!best || next->end - next->begin < best->end - best->begin)) best = &*next;
  }
  Dwarf_Die die;
  if (best && dwarf_offdie(dwarf_.get(), best->die, &die)) {
    chain.push_back(die);
    size_t seen = 0, depth = 0;
    for (bool more = !dwarf_child(&die, &die); more && depth < kMaxInlined;) {
      if (++seen % kLookEvery == 0 && Spent()) return {};
      const int tag = dwarf_tag(&die);
      const bool inlined = tag == DW_TAG_inlined_subroutine;
      const bool block = tag == DW_TAG_lexical_block || tag == DW_TAG_try_block || tag == DW_TAG_catch_block;
      if ((inlined || block) && dwarf_haspc(&die, address) > 0) {
        if (inlined) chain.push_back(die);
        depth++;
        more = !dwarf_child(&die, &die);
      } else {
        more = !dwarf_siblingof(&die, &die);
      }
    }
  }

  std::vector<SourcePlace> places;
  uint32_t file = 0, line = 0;
  const bool found = unit->lines.Find(address, &file, &line);
  std::string path = found ? unit->lines.File(file, unit->directory) : "";
  if (!found) line = 0;
  if (chain.empty()) {
    if (!path.empty()) places.push_back({"", std::move(path), line});
    return places;
  }
  for (size_t i = chain.size(); i-- > 0;) {
    places.push_back({NameOf(&chain[i]), std::move(path), line});
    path = unit->lines.File(NumberOf(&chain[i], DW_AT_call_file), unit->directory);
    line = static_cast<uint32_t>(std::min<uint64_t>(NumberOf(&chain[i], DW_AT_call_line), UINT32_MAX));
  }
  return places;
}

}  // namespace lowflame
