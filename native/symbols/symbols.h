// Names for addresses: what the rest of the addon sees of symbolization.
//
// A Symbolizer belongs to one session and is used by one thread at a time (the drain thread maps addresses to
// frames, the symbol thread names them; see the thread notes on each method). It never throws for bad input:
// a file that cannot be read or parsed gives frames without names.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../core/samples.h"
#include "../core/task_event.h"

namespace lowflame {

enum class FrameKind : uint8_t { kKernel = 0, kBpf = 1, kUser = 2, kJit = 3, kVdso = 4, kUnknown = 5 };

// Where an address lies: a module and an offset that stay valid after the process is gone.
struct Location {
  uint32_t module = 0;  // id from the module table; 0 = none
  uint64_t offset = 0;  // file offset for kUser and kVdso; address for kKernel, kBpf, kJit and kUnknown
  FrameKind kind = FrameKind::kUnknown;
  uint32_t generation = 0;  // kJit, kBpf: which of the codes that were at this address, one after the other
  bool sure = true;         // false: what is there may be known better next time
};

// Where a user address lies, and what of its file is mapped there.
struct MappedCode {
  uint64_t begin = 0, end = 0;  // of the mapping; none = nothing is known there
  uint64_t offset = 0;          // of `begin` in the file; 0 without one
  uint32_t module = 0;
  FrameKind kind = FrameKind::kUnknown;
};

struct ModuleInfo {
  uint32_t id = 0;
  std::string path;      // as the process sees it; "[kernel]", "[bpf]", "[vdso]", "[jit]", "[unknown]", "[ext4]"
  std::string build_id;  // hex, "" if none
};

struct SymbolStats {
  uint64_t files_opened = 0, files_failed = 0, names_found = 0, names_missing = 0;
  uint64_t tables_refused = 0;       // packed symbols and tables of Go that are damaged, or larger than is read
  uint64_t files_changed = 0;        // files that were written over after they were parsed
  uint64_t processes_gone = 0;       // processes that had exited before their mappings could be read
  uint64_t cache_bytes = 0;          // estimate of memory held
  uint64_t debug_files_refused = 0;  // files whose debug information is beyond the bounds of source_lines.h
};

class Symbolizer {
 public:
  static std::unique_ptr<Symbolizer> Create();
  virtual ~Symbolizer() = default;

  // --- drain thread -------------------------------------------------------------------------------------------
  // Kernel address (kernel text, module or BPF program). Cheap: a binary search.
  virtual Location LocateKernel(uint64_t address) = 0;
  // Another number once kernel addresses outside of core text may be other code than before. A system call.
  virtual uint32_t KernelChanges() { return 0; }
  // What a user address was at `time_ns` (CLOCK_MONOTONIC) in a process identified by (pid, start time). Goes by the
  // records of what changed, and of a fork by its parent; else reads /proc/PID/maps (at most every 100 ms a process).
  // Opens each new executable file through /proc/PID/root or map_files at once, so that it can be named after the
  // process's exit.
  virtual Location LocateUser(uint32_t pid, uint64_t start_time_ns, uint64_t address, uint64_t time_ns) = 0;
  // The same of what lies around the address.
  virtual MappedCode CodeAt(uint32_t, uint64_t, uint64_t, uint64_t) { return {}; }
  // Hands over the open file of a module (kUser), and the root directory of who mapped it (-1: ours). False if it is
  // not open, else what `use` returns.
  virtual bool WithFile(uint32_t, const std::function<bool(int file, int root)>&) { return false; }
  // When addresses of the process last took on another meaning, up to then; 0 = never. Whoever keeps what LocateUser
  // said keeps it by this.
  virtual uint64_t ChangedAt(uint32_t pid, uint64_t start_time_ns, uint64_t time_ns) = 0;
  // What the kernel has recorded, in the order of its time; all of it up to a sample before the sample.
  virtual void TaskRecord(const TaskEvent& event) = 0;
  // Some records were lost.
  virtual void TaskRecordsLost() = 0;
  // exec: what is known of the process is no longer true, unless a record has said so; with `look` its mappings are
  // read at once, and their files opened.
  virtual void ProcessExec(uint32_t pid, uint64_t start_time_ns, uint64_t time_ns, bool look) = 0;
  // Modules that are new since the last call.
  virtual std::vector<ModuleInfo> TakeNewModules() = 0;

  // --- symbol thread (runs at the same time as the drain thread) ----------------------------------------------
  // Full demangled name, or "" if none is known; "+0x1f20" where the function has none, but begins at that offset of
  // its file. pid is used only for JIT frames (perf maps).
  virtual std::string Name(const Location& location, uint32_t pid) = 0;

  // Whether there are perf maps, and reading on what they have grown by: to be called after each drain. What code they
  // name was there since the call before.
  virtual bool HasPerfMaps() const { return false; }
  virtual void ReadPerfMaps() {}

  // Files that modules were made from: equal for modules of one file, 0 for what has no debug information. Places asked
  // for in the order of files cost one reading of each.
  virtual uint64_t FileOf(const Location& location) = 0;
  // Where in source text the code at a location came from: innermost first, functions that are inlined there, then the
  // function itself. Empty if the file has no debug information. Takes up to seconds at the first location of a file;
  // `stop` ends it soon.
  virtual std::vector<SourcePlace> Places(const Location& location, const std::atomic<bool>* stop) = 0;

  virtual SymbolStats Stats() = 0;
};

// C++ and Rust (legacy and v0) names, also of PLT stubs ("_Z1fv@plt"); anything else comes back as it is.
std::string Demangle(const std::string& name);

// Address of an exact kernel symbol in /proc/kallsyms, 0 if absent or hidden (kptr_restrict).
uint64_t KernelSymbolAddress(std::string_view name);
// Names of the kernel's and its modules' data, sorted by address. Which kernels keep them: those with KALLSYMS_ALL.
std::vector<std::pair<uint64_t, std::string>> KernelDataSymbols();

}  // namespace lowflame
