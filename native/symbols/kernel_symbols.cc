// /proc/kallsyms, parsed and kept sorted: see kernel_symbols.h.
#include "kernel_symbols.h"

#include <bpf/bpf.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "../core/kallsyms.h"
#include "symbols.h"

namespace lowflame {
namespace {

constexpr size_t kMaxSymbols = 2u << 20, kMaxModules = 60000, kMaxGonePrograms = 16384;
constexpr uint64_t kMaxReach = 1u << 20;  // of a symbol outside of core text
// reading kallsyms again may cost so much of the drain thread, and 5 % of its time
constexpr uint64_t kReadingNs = 1000000000, kReadingShare = 20;

uint64_t NowNs() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000000ull + static_cast<uint64_t>(t.tv_nsec);
}

// Highest BPF program id at or after `from`.
uint32_t NewestProgram(uint32_t from) {
  uint32_t id = from;
  for (int i = 0; i < 100000 && bpf_prog_get_next_id(id, &id) == 0; i++) {
  }
  return id;
}

}  // namespace

uint64_t KernelSymbolAddress(std::string_view name) {
  uint64_t address = 0;
  ReadKallsyms([&](const KallsymsLine& line) {
    if (line.module || name != line.name) return true;
    address = line.address;
    return false;
  });
  return address;
}

std::vector<std::pair<uint64_t, std::string>> KernelDataSymbols() {
  std::vector<std::pair<uint64_t, std::string>> symbols;
  uint64_t text_end = UINT64_MAX;
  ReadKallsyms([&](const KallsymsLine& line) {
    // below are offsets into per-CPU memory, which older kernels list as absolute
    constexpr uint64_t kFirstKernelAddress = 0xffff800000000000;
    if (line.address < kFirstKernelAddress || !strcmp(line.name, "_end")) return true;
    // the kernel's own symbols come in the order of their addresses
    if (!line.module && !strcmp(line.name, "_etext")) text_end = line.address;
    // Debian's 7.2 lists most of .data, tasklist_lock for one, as text
    const bool data = strchr("dDbBrRvV", line.type) || (!line.module && line.is_text() && line.address > text_end);
    if (data) symbols.emplace_back(line.address, line.name);
    return symbols.size() < kMaxSymbols;
  });
  std::stable_sort(symbols.begin(), symbols.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return symbols;
}

std::shared_ptr<const KernelSymbols::Table> KernelSymbols::Current() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return table_;
}

std::shared_ptr<const KernelSymbols::Table> KernelSymbols::Read(const Table* before) const {
  auto table = std::make_shared<Table>();
  std::map<std::string, uint16_t> module_ids{{"", 0}};
  std::vector<Symbol>& symbols = table->symbols;
  symbols.reserve(before ? before->symbols.size() + 1024 : 200000);
  table->names.reserve(before ? before->names.size() + 65536 : 5u << 20);
  std::string module;
  uint16_t module_id = 0;
  auto add = [&](uint64_t address, const char* name, const char* of) {
    if (module != of) {  // symbols of a module come together
      module = of;
      auto [it, fresh] = module_ids.try_emplace(module, static_cast<uint16_t>(table->modules.size()));
      if (fresh) table->modules.push_back(module);
      module_id = it->second;
    }
    symbols.push_back({address, static_cast<uint32_t>(table->names.size()), module_id, false});
    table->names.append(name, strlen(name) + 1);
  };
  ReadKallsyms([&](const KallsymsLine& line) {
    if (!line.module && !strcmp(line.name, "_stext")) table->text_begin = line.address;
    if (!line.module && !strcmp(line.name, "_etext")) table->text_end = line.address;
    // address 0: hidden by kptr_restrict
    if (line.address && line.is_text()) add(line.address, line.name, line.module ? line.module : "");
    return symbols.size() < kMaxSymbols && table->modules.size() < kMaxModules;
  });
  auto by_address = [](const Symbol& a, const Symbol& b) { return a.address < b.address; };
  std::stable_sort(symbols.begin(), symbols.end(), by_address);
  size_t now = symbols.size(), kept = 0;
  const auto end = [&] { return symbols.begin() + static_cast<long>(now); };
  // What has come lies where the others were, and has no end: what is gone and lies right behind it may be a part of
  // it.
  auto was_there = [&](const Symbol& s) {
    const auto [first, last] = std::equal_range(before->symbols.begin(), before->symbols.end(), s, by_address);
    return std::any_of(first, last, [&](const Symbol& b) {
      return !b.gone && !strcmp(before->names.c_str() + b.name, table->names.c_str() + s.name);
    });
  };
  auto is_taken = [&](const Symbol& gone) {
    auto next = std::upper_bound(symbols.begin(), end(), gone, by_address);
    return next != symbols.begin() && gone.address - (next - 1)->address < kMaxReach &&
           table->modules[(next - 1)->module] == "bpf" && !was_there(*(next - 1));
  };
  for (const Symbol& s : before ? before->symbols : std::vector<Symbol>()) {
    if (before->modules[s.module] != "bpf" || kept >= kMaxGonePrograms) continue;
    if (std::binary_search(symbols.begin(), end(), s, by_address) || is_taken(s)) continue;
    add(s.address, before->names.c_str() + s.name, "bpf");
    symbols.back().gone = true;
    kept++;
  }
  std::stable_sort(symbols.begin(), symbols.end(), by_address);
  symbols.shrink_to_fit();
  table->names.shrink_to_fit();
  return table;
}

void KernelSymbols::Refresh() {
  std::lock_guard<std::mutex> one_reader(reading_);
  uint64_t begin = NowNs();
  newest_program_ = NewestProgram(newest_program_);
  std::shared_ptr<const Table> before = Current(), after = Read(before.get());
  uint64_t end = NowNs();
  if (!first_ns_)
    first_ns_ = end;  // the first reading is for nothing
  else
    reading_ns_ += end - begin;
  std::lock_guard<std::mutex> lock(mutex_);
  table_ = std::move(after);
}

const KernelSymbols::Symbol* KernelSymbols::Table::Find(uint64_t address) const {
  auto next = std::upper_bound(symbols.begin(), symbols.end(), address,
                               [](uint64_t a, const Symbol& s) { return a < s.address; });
  if (next == symbols.begin()) return nullptr;
  const Symbol* found = &*(next - 1);
  // kallsyms tells no sizes: far behind the last symbol of a module or program lies something else
  bool core = address >= text_begin && address < text_end;
  if (!core && address - found->address > kMaxReach) return nullptr;
  // of several names at one address the first listed is the kernel's own choice
  while (found > symbols.data() && found[-1].address == found->address) found--;
  return found;
}

KernelSymbols::Place KernelSymbols::PlaceOf(uint64_t address) {
  std::shared_ptr<const Table> table = Current();
  bool sure = true, reads = false;
  const bool core = address >= table->text_begin && address < table->text_end;
  if (!core) {
    // taken by the symbol thread only while it reads: then what is known must do
    if (std::unique_lock<std::mutex> free(reading_, std::try_to_lock); free) {
      uint32_t next;
      sure = bpf_prog_get_next_id(newest_program_, &next) != 0;
      reads = !sure && reading_ns_ <= kReadingNs + (NowNs() - first_ns_) / kReadingShare;
    }
    if (reads) Refresh();
    sure |= reads;
    table = Current();
  }
  const Symbol* s = table->Find(address);
  return {s ? table->modules[s->module] : "", s && core ? s->address : address, sure};
}

uint32_t KernelSymbols::Changes() {
  uint32_t next;
  if (bpf_prog_get_next_id(seen_program_, &next) == 0) {
    seen_program_ = NewestProgram(next);
    changes_++;
  }
  return changes_;
}

std::string KernelSymbols::NameOf(uint64_t address) const {
  std::shared_ptr<const Table> table = Current();
  const Symbol* s = table->Find(address);
  return s ? table->names.c_str() + s->name : "";
}

uint64_t KernelSymbols::bytes() const {
  std::shared_ptr<const Table> table = Current();
  return table->symbols.capacity() * sizeof(Symbol) + table->names.capacity();
}

}  // namespace lowflame
