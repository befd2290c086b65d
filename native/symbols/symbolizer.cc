// Puts kernel symbols, ELF files, the vdso and perf maps behind the interface of symbols.h.
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <unordered_map>

#include "../core/unique_fd.h"
#include "elf_symbols.h"
#include "kernel_symbols.h"
#include "perf_map.h"
#include "process_maps.h"
#include "symbols.h"

namespace lowflame {
namespace {

constexpr uint64_t kRereadIntervalNs = 100000000ull;
constexpr size_t kMaxProcesses = 16384;
constexpr size_t kMaxPerfMaps = 256;
constexpr size_t kMaxOpenFiles = 512;               // opened, not yet parsed
constexpr uint64_t kMaxSymbolBytes = 128ull << 20;  // of parsed tables; the least recently used go first

uint64_t NowNs() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000000ull + static_cast<uint64_t>(t.tv_nsec);
}

enum FixedModule : uint32_t { kNone, kKernelModule, kBpfModule, kVdsoModule, kJitModule, kUnknownModule, kFirstFree };

// A file that some process has mapped. `symbols` belongs to the symbol thread.
struct File {
  uint32_t module = 0;
  std::string path, root;
  UniqueFd fd;
  std::unique_ptr<ElfSymbols> symbols;
  uint64_t last_used = 0;
  bool given_up = false;
};

struct Process {
  std::vector<Mapping> mappings;
  uint64_t read_ns = 0;
  bool gone = false;
};

class SymbolizerImpl final : public Symbolizer {
 public:
  SymbolizerImpl() {
    AddModule("[kernel]", "");
    AddModule("[bpf]", "");
    AddModule("[vdso]", "");
    AddModule("[jit]", "");
    AddModule("[unknown]", "");
  }

  Location LocateKernel(uint64_t address) override {
    std::string module = kernel_.ModuleOf(address);
    if (module.empty()) return {kKernelModule, address, FrameKind::kKernel};
    if (module == "bpf") return {kBpfModule, address, FrameKind::kBpf};
    auto it = kernel_modules_.find(module);
    if (it == kernel_modules_.end()) it = kernel_modules_.emplace(module, AddModule("[" + module + "]", "")).first;
    return {it->second, address, FrameKind::kKernel};
  }

  Location LocateUser(uint32_t pid, uint64_t start_time_ns, uint64_t address) override {
    if (processes_.size() >= kMaxProcesses) processes_.clear();
    Process& p = processes_[{pid, start_time_ns}];
    Mapping* m = Find(&p, address);
    if (!m && !p.gone) {
      uint64_t now = NowNs();
      if (!p.read_ns || now - p.read_ns >= kRereadIntervalNs) {
        bool first = !p.read_ns;
        p.read_ns = now;
        std::vector<Mapping> fresh;
        if (ReadExecutableMappings(pid, &fresh)) {
          p.mappings = std::move(fresh);
        } else {
          // what was known stays good for the samples that are still to come
          p.gone = true;
          if (first) Count(&SymbolStats::processes_gone);
        }
        m = Find(&p, address);
      }
    }
    if (!m) return {kUnknownModule, address, FrameKind::kUnknown};
    if (m->path == "[vdso]") return {kVdsoModule, address - m->begin, FrameKind::kVdso};
    bool has_file = m->inode != 0 && !m->path.empty() && m->path[0] == '/' && m->path.compare(0, 7, "/memfd:") != 0 &&
                    m->path != "/dev/zero";
    if (!has_file) {
      if (m->path == "[vsyscall]" || m->path == "[uprobes]") return {kUnknownModule, address, FrameKind::kUnknown};
      OpenPerfMap(pid);
      return {kJitModule, address, FrameKind::kJit};
    }
    if (m->file == UINT32_MAX) m->file = OpenFile(pid, *m);
    return {m->file, address - m->begin + m->offset, FrameKind::kUser};
  }

  void ProcessExec(uint32_t pid, uint64_t start_time_ns) override {
    processes_.erase({pid, start_time_ns});
    std::lock_guard<std::mutex> lock(mutex_);
    perf_maps_.erase(pid);
  }
  void ProcessGone(uint32_t pid, uint64_t start_time_ns) override { processes_.erase({pid, start_time_ns}); }

  std::vector<ModuleInfo> TakeNewModules() override { return std::exchange(new_modules_, {}); }

  std::string Name(const Location& location, uint32_t pid) override {
    std::string raw = RawName(location, pid);
    Count(raw.empty() ? &SymbolStats::names_missing : &SymbolStats::names_found);
    return raw.empty() ? raw : Demangle(raw);
  }

  void RefreshKernel() override { kernel_.Refresh(); }

  SymbolStats Stats() override {
    std::lock_guard<std::mutex> lock(mutex_);
    SymbolStats s = stats_;
    s.cache_bytes = symbol_bytes_;
    return s;
  }

 private:
  uint32_t AddModule(const std::string& path, const std::string& build_id) {
    uint32_t id = next_module_++;
    new_modules_.push_back({id, path, build_id});
    return id;
  }

  void Count(uint64_t SymbolStats::*field) {
    std::lock_guard<std::mutex> lock(mutex_);
    stats_.*field += 1;
  }

  static Mapping* Find(Process* p, uint64_t address) {
    auto next = std::upper_bound(p->mappings.begin(), p->mappings.end(), address,
                                 [](uint64_t a, const Mapping& m) { return a < m.begin; });
    if (next == p->mappings.begin()) return nullptr;
    --next;
    return address < next->end ? &*next : nullptr;
  }

  // Opened at once, so that the file can be read after the process's exit.
  uint32_t OpenFile(uint32_t pid, const Mapping& m) {
    std::string key = std::to_string(m.device) + ":" + std::to_string(m.inode) + ":" + m.path;
    auto known = file_ids_.find(key);
    if (known != file_ids_.end()) return known->second;
    std::string proc = "/proc/" + std::to_string(pid), root = proc + "/root";
    char range[64];
    snprintf(range, sizeof(range), "/map_files/%llx-%llx", static_cast<unsigned long long>(m.begin),
             static_cast<unsigned long long>(m.end));
    // the mapping itself first: the path may by now lead to another file
    UniqueFd fd(open((proc + range).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd && !m.deleted) fd = UniqueFd(open((root + m.path).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat st;
    if (fd && (fstat(fd.get(), &st) || !S_ISREG(st.st_mode))) fd.reset();
    uint32_t id = AddModule(m.path, fd ? ReadBuildId(fd.get()) : "");
    file_ids_.emplace(key, id);
    std::lock_guard<std::mutex> lock(mutex_);
    auto file = std::make_shared<File>();
    file->module = id;
    file->path = m.path;
    // a container's debug files lie in its own root; ours need no detour through a process that may end
    struct stat theirs, ours;
    if (!stat((root + "/").c_str(), &theirs) && !stat("/", &ours) &&
        (theirs.st_dev != ours.st_dev || theirs.st_ino != ours.st_ino))
      file->root = root;
    if (!fd) {
      stats_.files_failed++;
      file->given_up = true;
    } else if (open_files_ >= kMaxOpenFiles) {
      stats_.files_failed++;
      file->given_up = true;
    } else {
      stats_.files_opened++;
      open_files_++;
      file->fd = std::move(fd);
    }
    files_[id] = file;
    return id;
  }

  void OpenPerfMap(uint32_t pid) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto it = perf_maps_.find(pid);
    if (it != perf_maps_.end() && it->second->found()) return;
    if (it == perf_maps_.end() && perf_maps_.size() >= kMaxPerfMaps) return;
    perf_maps_[pid] = std::make_shared<PerfMap>(pid);
  }

  std::string RawName(const Location& l, uint32_t pid) {
    switch (l.kind) {
      case FrameKind::kKernel:
      case FrameKind::kBpf:
        return kernel_.NameOf(l.offset);
      case FrameKind::kVdso:
        return Vdso().NameAt(l.offset);
      case FrameKind::kJit: {
        std::shared_ptr<PerfMap> map;
        {
          std::lock_guard<std::mutex> lock(mutex_);
          auto it = perf_maps_.find(pid);
          if (it != perf_maps_.end()) map = it->second;
        }
        return map ? map->NameAt(l.offset) : "";
      }
      case FrameKind::kUser:
        return NameInFile(l);
      default:
        return "";
    }
  }

  std::string NameInFile(const Location& l) {
    std::shared_ptr<File> file;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      auto it = files_.find(l.module);
      if (it == files_.end()) return "";
      file = it->second;
    }
    if (file->given_up) return "";
    if (!file->symbols) {
      file->symbols = std::make_unique<ElfSymbols>(ElfSymbols::Load(file->fd.get(), file->path, file->root));
      std::lock_guard<std::mutex> lock(mutex_);
      symbol_bytes_ += file->symbols->bytes();
      if (!file->symbols->parsed()) {
        stats_.files_failed++;
        file->given_up = true;
      }
    }
    file->last_used = ++clock_;
    std::string name = file->symbols->NameAt(l.offset);
    Evict(file.get());
    return name;
  }

  // The descriptor stays open: an evicted table can be read again.
  void Evict(const File* keep) {
    std::lock_guard<std::mutex> lock(mutex_);
    while (symbol_bytes_ > kMaxSymbolBytes) {
      File* oldest = nullptr;
      for (auto& [id, f] : files_)
        if (f->symbols && f.get() != keep && (!oldest || f->last_used < oldest->last_used)) oldest = f.get();
      if (!oldest) return;
      symbol_bytes_ -= oldest->symbols->bytes();
      oldest->symbols.reset();
    }
  }

  // Ours is everybody's: one kernel, one vdso (of 64-bit programs).
  const ElfSymbols& Vdso() {
    if (!vdso_) {
      auto* image = reinterpret_cast<char*>(getauxval(AT_SYSINFO_EHDR));
      vdso_ = std::make_unique<ElfSymbols>(image ? ElfSymbols::LoadImage(image, 8192) : ElfSymbols());
    }
    return *vdso_;
  }

  KernelSymbols kernel_;

  // drain thread
  std::map<std::pair<uint32_t, uint64_t>, Process> processes_;
  std::unordered_map<std::string, uint32_t> file_ids_, kernel_modules_;
  std::vector<ModuleInfo> new_modules_;
  uint32_t next_module_ = 1;

  // symbol thread
  std::unique_ptr<ElfSymbols> vdso_;
  uint64_t clock_ = 0;

  // both
  std::mutex mutex_;
  std::unordered_map<uint32_t, std::shared_ptr<File>> files_;
  std::unordered_map<uint32_t, std::shared_ptr<PerfMap>> perf_maps_;
  size_t open_files_ = 0;
  uint64_t symbol_bytes_ = 0;
  SymbolStats stats_;
};

}  // namespace

std::unique_ptr<Symbolizer> Symbolizer::Create() {
  return std::make_unique<SymbolizerImpl>();
}

}  // namespace lowflame
