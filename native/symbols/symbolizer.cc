// Puts kernel symbols, ELF files, the vdso and perf maps behind the interface of symbols.h.
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "elf_symbols.h"
#include "file_cache.h"
#include "kernel_symbols.h"
#include "mapped_file.h"
#include "perf_maps.h"
#include "process_table.h"
#include "symbols.h"
#include "text_copy.h"

namespace lowflame {
namespace {

enum FixedModule : uint32_t { kNone, kKernelModule, kBpfModule, kVdsoModule, kJitModule, kUnknownModule, kFirstFree };

// The vdso of this process is everybody's: the kernel has one for all 64-bit programs.
ElfSymbols ReadVdso() {
  uint64_t at = getauxval(AT_SYSINFO_EHDR);
  std::vector<Mapping> mappings;
  if (!at || !ReadExecutableMappings(static_cast<uint32_t>(getpid()), &mappings)) return ElfSymbols();
  for (const Mapping& m : mappings)
    if (m.begin == at) return ElfSymbols::LoadImage(reinterpret_cast<const char*>(at), m.end - m.begin);
  return ElfSymbols();
}

bool IsThere(uint32_t pid) {
  return access(("/proc/" + std::to_string(pid) + "/maps").c_str(), F_OK) == 0;
}

class SymbolizerImpl final : public Symbolizer {
 public:
  SymbolizerImpl() : vdso_(ReadVdso()) {
    for (const char* path : {"[kernel]", "[bpf]", "[vdso]", "[jit]", "[unknown]"}) AddModule(path, "");
  }

  Location LocateKernel(uint64_t address) override {
    // nothing tells the lines of core text, so a frame is a function: a fifth less to keep than one for each address
    const auto [module, function, sure] = kernel_.PlaceOf(address);
    if (!sure) return {kBpfModule, function, FrameKind::kBpf, kUnsure, false};
    if (module.empty()) return {kKernelModule, function, FrameKind::kKernel};
    if (module == "bpf") return {kBpfModule, function, FrameKind::kBpf, kernel_changes_};
    auto [it, fresh] = kernel_modules_.try_emplace(module, 0);
    if (fresh) it->second = AddModule("[" + module + "]", "");
    return {it->second, function, FrameKind::kKernel};
  }

  uint32_t KernelChanges() override { return kernel_changes_ = kernel_.Changes(); }

  Location LocateUser(uint32_t pid, uint64_t start_time_ns, uint64_t address, uint64_t time_ns) override {
    const MappedCode code = CodeAt(pid, start_time_ns, address, time_ns);
    switch (code.kind) {
      case FrameKind::kJit:
        perf_maps_.Open(pid, start_time_ns);
        return {kJitModule, address, FrameKind::kJit, perf_maps_.GenerationOf(pid, address, time_ns)};
      case FrameKind::kUser:
      case FrameKind::kVdso:
        return {code.module, address - code.begin + code.offset, code.kind};
      default:
        return {kUnknownModule, address, FrameKind::kUnknown};
    }
  }

  MappedCode CodeAt(uint32_t pid, uint64_t start_time_ns, uint64_t address, uint64_t time_ns) override {
    const ProcessTable::Found found = processes_.Find(pid, start_time_ns, address, time_ns);
    Mapping* m = found.mapping;
    if (!m) return {};
    switch (m->backing()) {
      case Backing::kVdso:
        return {m->begin, m->end, m->offset, kVdsoModule, FrameKind::kVdso};
      case Backing::kUnnamed:
        return {};
      case Backing::kJit:
        if (!m->module) m->module = ModuleOfMemory(found, address);
        break;
      case Backing::kFile:
      case Backing::kMemory:
        break;
    }
    if (!m->module) m->module = ModuleOf(found.pid == pid || IsThere(found.pid) ? found.pid : pid, *m);
    return {m->begin, m->end, m->offset, m->module, m->module == kJitModule ? FrameKind::kJit : FrameKind::kUser};
  }

  bool WithFile(uint32_t module, const std::function<bool(int file, int root)>& use) override {
    return files_.With(module, use);
  }

  uint64_t ChangedAt(uint32_t pid, uint64_t start_time_ns, uint64_t time_ns) override {
    return std::max(processes_.ChangedAt(pid, start_time_ns, time_ns),
                    perf_maps_.ChangedAt(pid, start_time_ns, time_ns));
  }
  void TaskRecord(const TaskEvent& event) override { processes_.Record(event); }
  void TaskRecordsLost() override { processes_.RecordsLost(); }
  void ProcessExec(uint32_t pid, uint64_t start_time_ns, uint64_t time_ns, bool look) override {
    processes_.Exec(pid, start_time_ns, time_ns);
    perf_maps_.Replaced(pid, time_ns);
    if (!look) return;
    for (Mapping& m : processes_.Look(pid, start_time_ns))
      if (m.backing() == Backing::kFile || m.backing() == Backing::kMemory) m.module = ModuleOf(pid, m);
  }
  // The perf map stays: frames of the process may still wait for their names.

  std::vector<ModuleInfo> TakeNewModules() override { return std::exchange(new_modules_, {}); }

  std::string Name(const Location& location, uint32_t pid) override {
    std::string raw = RawName(location, pid);
    (raw.empty() ? names_missing_ : names_found_)++;
    return raw.empty() ? BeginOf(location) : Demangle(raw);
  }

  bool HasPerfMaps() const override { return perf_maps_.any(); }
  void ReadPerfMaps() override { perf_maps_.ReadOn(); }

  uint64_t FileOf(const Location& l) override { return l.kind == FrameKind::kUser ? files_.FileOf(l.module) : 0; }

  std::vector<SourcePlace> Places(const Location& l, const std::atomic<bool>* stop) override {
    if (l.kind != FrameKind::kUser) return {};
    std::vector<SourcePlace> places = files_.PlacesAt(l.module, l.offset, stop);
    for (SourcePlace& place : places) place.function = Demangle(place.function);
    return places;
  }

  SymbolStats Stats() override {
    SymbolStats s;
    s.names_found = names_found_;
    s.names_missing = names_missing_;
    s.processes_gone = processes_.gone();
    s.cache_bytes = kernel_.bytes() + processes_.bytes() + perf_maps_.bytes() + vdso_.bytes();
    files_.AddTo(&s);
    return s;
  }

 private:
  uint32_t AddModule(const std::string& path, const std::string& build_id) {
    uint32_t id = next_module_++;
    new_modules_.push_back({id, path, build_id});
    return id;
  }

  uint32_t ModuleOf(uint32_t pid, const Mapping& m) {
    if (m.backing() == Backing::kMemory && !IsProgram(pid, m)) return kJitModule;
    FileCache::Opened opened = files_.Open(pid, m);
    if (opened.key.empty()) return kUnknownModule;
    auto [it, fresh] = file_modules_.try_emplace(opened.key, 0);
    if (fresh) {
      it->second = AddModule(m.path, opened.build_id);
      files_.Attach(it->second, opened.key);
    }
    return it->second;
  }

  // Of memory without a file: code made at run time, or a file's that was copied there.
  uint32_t ModuleOfMemory(const ProcessTable::Found& found, uint64_t address) {
    const AddressSpace::Around around = found.space->AroundOf(address);
    Mapping as_file{};
    if (around.mapping != found.mapping ||
        !IsTextCopy(found.pid, *found.mapping, around.before, around.after, &as_file))
      return kJitModule;
    const uint32_t module = ModuleOf(found.pid, as_file);
    if (module == kUnknownModule) return kJitModule;
    found.mapping->offset = as_file.offset;
    return module;
  }

  std::string RawName(const Location& l, uint32_t pid) {
    switch (l.kind) {
      case FrameKind::kBpf:
        if (l.generation == kUnsure) return "";
        return kernel_.NameOf(l.offset);
      case FrameKind::kKernel:
        return kernel_.NameOf(l.offset);
      case FrameKind::kVdso:
        return vdso_.NameAt(l.offset);
      case FrameKind::kJit:
        return perf_maps_.NameAt(pid, l.offset, l.generation);
      case FrameKind::kUser:
        return files_.NameAt(l.module, l.offset);
      default:
        return "";
    }
  }

  // "+0x1f20" of a function without a name.
  std::string BeginOf(const Location& l) {
    const std::optional<uint64_t> begin =
        l.kind == FrameKind::kUser ? files_.BeginAt(l.module, l.offset) : std::nullopt;
    if (!begin) return "";
    char text[2 + 2 + 16];
    snprintf(text, sizeof(text), "+0x%" PRIx64, *begin);
    return text;
  }

  KernelSymbols kernel_;
  FileCache files_;
  PerfMaps perf_maps_;
  const ElfSymbols vdso_;
  std::atomic<uint64_t> names_found_{0}, names_missing_{0};

  // drain thread (the counters of processes_ may be read by all)
  static constexpr uint32_t kUnsure = ~0u;  // generation of code that nothing tells yet
  uint32_t kernel_changes_ = 0;
  ProcessTable processes_;
  std::unordered_map<std::string, uint32_t> file_modules_, kernel_modules_;
  std::vector<ModuleInfo> new_modules_;
  uint32_t next_module_ = 1;
};

}  // namespace

std::unique_ptr<Symbolizer> Symbolizer::Create() {
  return std::make_unique<SymbolizerImpl>();
}

}  // namespace lowflame
