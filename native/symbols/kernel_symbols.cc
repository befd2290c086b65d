// /proc/kallsyms, parsed and kept sorted: see kernel_symbols.h.
#include "kernel_symbols.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "symbols.h"

namespace lowflame {
namespace {

bool IsText(char type) {
  return type == 't' || type == 'T' || type == 'w' || type == 'W';
}

// Highest BPF program id at or after `from`.
uint32_t NewestProgram(uint32_t from) {
  uint32_t id = from;
  for (int i = 0; i < 100000 && bpf_prog_get_next_id(id, &id) == 0; i++) {
  }
  return id;
}

struct Line {
  uint64_t address;
  char type;
  const char* name;
  const char* module;  // nullptr for the kernel proper
};

template <class Each>
void ReadKallsyms(Each each) {
  FILE* f = fopen("/proc/kallsyms", "re");
  if (!f) return;
  char text[1024];
  while (fgets(text, sizeof(text), f)) {
    char* end;
    Line line{};
    line.address = strtoull(text, &end, 16);
    if (*end != ' ' || !end[1] || end[2] != ' ') continue;
    line.type = end[1];
    char* name = end + 3;
    char* stop = name + strcspn(name, "\t\n ");
    char after = *stop;
    *stop = 0;
    line.name = name;
    if (after == '\t' || after == ' ') {
      char* open = strchr(stop + 1, '[');
      char* close = open ? strchr(open, ']') : nullptr;
      if (close) {
        *close = 0;
        line.module = open + 1;
      }
    }
    if (!each(line)) break;
  }
  fclose(f);
}

}  // namespace

uint64_t KernelSymbolAddress(std::string_view name) {
  uint64_t address = 0;
  ReadKallsyms([&](const Line& line) {
    if (line.module || name != line.name) return true;
    address = line.address;
    return false;
  });
  return address;
}

void KernelSymbols::Refresh() {
  std::vector<Symbol> symbols;
  std::string names;
  std::vector<std::string> modules{""};
  std::map<std::string, uint16_t> module_ids{{"", 0}};
  uint64_t begin = 0, end = 0;
  uint32_t newest = NewestProgram(last_program_id_);
  symbols.reserve(220000);
  auto add = [&](uint64_t address, const char* name, const std::string& module) {
    auto [it, fresh] = module_ids.try_emplace(module, static_cast<uint16_t>(modules.size()));
    if (fresh) modules.push_back(module);
    symbols.push_back({address, static_cast<uint32_t>(names.size()), it->second});
    names.append(name, strlen(name) + 1);
  };
  ReadKallsyms([&](const Line& line) {
    if (!line.module && !strcmp(line.name, "_stext")) begin = line.address;
    if (!line.module && !strcmp(line.name, "_etext")) end = line.address;
    // address 0: hidden by kptr_restrict
    if (line.address && IsText(line.type)) add(line.address, line.name, line.module ? line.module : "");
    return true;
  });
  std::lock_guard<std::mutex> lock(mutex_);
  auto by_address = [](const Symbol& a, const Symbol& b) { return a.address < b.address; };
  std::stable_sort(symbols.begin(), symbols.end(), by_address);
  size_t now = symbols.size();
  for (const Symbol& s : symbols_) {
    if (modules_[s.module] != "bpf") continue;
    if (!std::binary_search(symbols.begin(), symbols.begin() + static_cast<long>(now), s, by_address))
      add(s.address, names_.c_str() + s.name, "bpf");
  }
  std::stable_sort(symbols.begin(), symbols.end(), by_address);
  symbols.shrink_to_fit();
  symbols_.swap(symbols);
  names_.swap(names);
  modules_.swap(modules);
  text_begin_ = begin;
  text_end_ = end;
  last_program_id_ = newest;
}

void KernelSymbols::RefreshIfProgramsCame() {
  uint32_t next;
  uint32_t last;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    last = last_program_id_;
  }
  if (bpf_prog_get_next_id(last, &next) == 0) Refresh();
}

const KernelSymbols::Symbol* KernelSymbols::Find(uint64_t address) const {
  auto next = std::upper_bound(symbols_.begin(), symbols_.end(), address,
                               [](uint64_t a, const Symbol& s) { return a < s.address; });
  if (next == symbols_.begin()) return nullptr;
  const Symbol* found = &*(next - 1);
  // of several names at one address the first listed is the kernel's own choice
  while (found > symbols_.data() && found[-1].address == found->address) found--;
  return found;
}

std::string KernelSymbols::ModuleOf(uint64_t address) {
  if (!IsCoreText(address)) RefreshIfProgramsCame();
  std::lock_guard<std::mutex> lock(mutex_);
  const Symbol* s = Find(address);
  return s ? modules_[s->module] : "";
}

std::string KernelSymbols::NameOf(uint64_t address) {
  std::lock_guard<std::mutex> lock(mutex_);
  const Symbol* s = Find(address);
  return s ? names_.c_str() + s->name : "";
}

}  // namespace lowflame
