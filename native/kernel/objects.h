// The BPF objects as the session uses them: open -> configure -> load -> fill -> attach -> activate, one method a step.
// Everything dies with its file descriptors.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../../bpf/events.h"
#include "../core/unique_fd.h"

struct bpf_object;
struct bpf_program;
struct bpf_link;
struct bpf_map;
struct ring_buffer;

namespace lowflame {

struct Filters {
  std::vector<uint32_t> pids;
  std::vector<std::string> comms, cgroups;
  std::vector<int> cpus;
};

struct ObjectConfig {
  Filters filters;
  uint64_t swevent_function = 0;
  bool user_stack_in_chain = false;
  uint64_t threshold_ns = 0;
  uint32_t slot_sets = 0;
  bool want_offcpu = true, want_futex = false;
  uint64_t wall_offset_ns = 0;
  uint64_t tick_ns = 0;
  uint32_t lock_sets = 0;
  bool want_calls = false;
  uint32_t call_sets = 0;
  uint64_t call_busy_limit_ns = 0, call_blocked_limit_ns = 0;
  uint64_t lock_limit_ns = 0;
  lf_text sched_text{};
  uint32_t table_rows = 0;  // a power of two; 0 = all
  uint32_t ring_bytes = 0;
  int possible_cpus = 1;
  bool unwind = false;  // user stacks from unwind tables (bpf/unwind.h)
  uint32_t unwind_processes = 16384;
};

struct ProgramInfo {
  std::string name, tag, type, attached_to;
  uint32_t id = 0;
};
struct MapInfo {
  std::string name, type;
  uint64_t bytes = 0;
  bool written = false;
};

// What BTF says of this kernel: asked, never guessed from its version.
struct KernelFeatures {
  bool btf = false;
  bool sched_exit = false;      // tracepoint sched_exit_tp
  bool switch_state = false;    // sched_switch hands over prev_state (v5.18)
  bool hrtimer_expire = false;  // tracepoint hrtimer_expire_entry
  bool sched_info = false;      // task_struct.sched_info
  bool contention = false;      // tracepoints contention_begin and contention_end (v5.19)
  bool task_from_pid = false;   // kfunc bpf_task_from_pid (v6.2)
  bool kmem_cache = false;      // kfunc bpf_get_kmem_cache (v6.12)
  bool rdonly_cast = false;     // kfunc bpf_rdonly_cast (v6.2)
  bool uring = false;           // tracepoint io_uring_submit_req
  bool tcp = false;             // the tracepoints of the life of connections
};
KernelFeatures AskKernel();

// One object with its per-CPU areas (memory that one CPU writes) and rings.
class Object {
 public:
  enum class Kind { kCpu, kOffCpu, kProc, kLocks, kLocksOwners, kSlab, kSockets, kSocketsCast };

  explicit Object(Kind kind);
  ~Object();
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  // Before load. `programs`: those to load.
  void Configure(const ObjectConfig& config, const std::vector<std::string>& programs);
  void ShareMap(const char* name, int fd);
  void Load();
  void FillFilters(const ObjectConfig& config);
  // Creates area and ring of a CPU.
  void AddCpu(int cpu, uint32_t ring_bytes);
  // A map made elsewhere that programs reach by one of this object's: it counts as the object's, and lives as long.
  void Adopt(std::string name, UniqueFd map) { adopted_.emplace_back(std::move(name), std::move(map)); }
  void Attach();
  void AttachToPerfEvent(const char* program, int perf_fd);
  void Activate(uint64_t since_ns);  // 0 = off
  void Detach();

  using Receiver = std::function<void(const lf_record*, size_t)>;
  void SetReceiver(Receiver receiver) { receiver_ = std::move(receiver); }
  // Readable when a program has woken the rings' reader; -1 without rings.
  int WakeFd() const;
  // Hands all records in the rings to the receiver. Returns how many.
  int Drain();
  // The area of a CPU, nullptr if it has none. Shared with the kernel: counters only grow.
  template <class Area>
  Area* AreaOf(int cpu) const {
    return static_cast<Area*>(AreaAt(cpu));
  }
  int MapFd(const char* name) const;
  // fd of a started iterator over `program`; throws.
  UniqueFd StartIterator(const char* program);
  std::vector<ProgramInfo> Programs() const;
  std::vector<MapInfo> Maps() const;
  uint64_t MemoryBytes() const;
  struct Cost {
    std::string name;
    uint64_t runs, ns, recursion_misses;
    uint32_t id;
  };
  std::vector<Cost> Costs() const;

 private:
  struct CpuPart {
    int cpu;
    UniqueFd area, ring;
    void* memory;
  };
  void* AreaAt(int cpu) const;
  static int OnRecord(void* self, void* data, size_t size);

  Kind kind_;
  bpf_object* object_ = nullptr;
  const char *areas_map_, *rings_map_;
  size_t area_bytes_;
  std::vector<CpuPart> cpus_;
  std::vector<std::pair<std::string, UniqueFd>> adopted_;
  std::vector<bpf_link*> links_;
  ring_buffer* rings_ = nullptr;
  Receiver receiver_;
};

// Sends libbpf's messages to a buffer of this thread instead of stderr; the last lines go into errors.
void QuietLibbpf();
std::string TakeLibbpfLog();

}  // namespace lowflame
