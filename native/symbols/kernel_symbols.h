// Names of kernel addresses from /proc/kallsyms: core text, modules, BPF programs and trampolines.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace lowflame {

class KernelSymbols {
 public:
  KernelSymbols() { Refresh(); }

  // "" for core text, "bpf" for BPF programs, else the module's name.
  std::string ModuleOf(uint64_t address);
  // "" if unknown or hidden.
  std::string NameOf(uint64_t address);
  // Reads /proc/kallsyms again; BPF programs that are gone keep their names.
  void Refresh();

 private:
  struct Symbol {
    uint64_t address;
    uint32_t name;
    uint16_t module;
  };
  const Symbol* Find(uint64_t address) const;
  // BPF programs come and go: reads again if one was loaded since the last look.
  void RefreshIfProgramsCame();
  bool IsCoreText(uint64_t address) const { return address >= text_begin_ && address < text_end_; }

  std::mutex mutex_;
  std::vector<Symbol> symbols_;
  std::string names_;
  std::vector<std::string> modules_;
  uint64_t text_begin_ = 0, text_end_ = 0;
  uint32_t last_program_id_ = 0;
};

}  // namespace lowflame
