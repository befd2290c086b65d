// Names of kernel addresses from /proc/kallsyms: core text, modules, BPF programs and trampolines.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace lowflame {

class KernelSymbols {
 public:
  KernelSymbols() { Refresh(); }

  struct Place {
    std::string module;  // "" for core text, "bpf" for BPF programs, else the module's name
    // in core text, where it begins; else the address, since what lies there may become something else
    uint64_t function;
    bool sure;  // false: it may be of a BPF program that was loaded since the symbols were read
  };
  // Drain thread. Outside of core text it reads /proc/kallsyms again if BPF programs were loaded since; that takes
  // about 100 ms, so for a second in all and beyond that for a twentieth of the time.
  Place PlaceOf(uint64_t address);
  // Drain thread. How often BPF programs were seen to have been loaded: what lies outside of core text may be another
  // program's since.
  uint32_t Changes();
  // "" if unknown or hidden. Any thread.
  std::string NameOf(uint64_t address) const;
  // Reads /proc/kallsyms again; BPF programs that are gone keep their names. Any thread.
  void Refresh();
  uint64_t bytes() const;

 private:
  struct Symbol {
    uint64_t address;
    uint32_t name;
    uint16_t module;
    bool gone;  // of a BPF program that is there no more
  };
  // Never changed once it is in place, so that one thread reads it while another makes the next.
  struct Table {
    std::vector<Symbol> symbols;
    std::string names;
    std::vector<std::string> modules{""};
    uint64_t text_begin = 0, text_end = 0;

    const Symbol* Find(uint64_t address) const;
  };
  std::shared_ptr<const Table> Current() const;
  std::shared_ptr<const Table> Read(const Table* before) const;

  mutable std::mutex mutex_;  // guards the pointer
  std::shared_ptr<const Table> table_;
  std::mutex reading_;           // one reader of the file at a time; held before mutex_
  uint32_t newest_program_ = 0;  // when the symbols were read
  uint64_t first_ns_ = 0, reading_ns_ = 0;
  uint32_t seen_program_ = 0, changes_ = 0;  // of the drain thread
};

}  // namespace lowflame
