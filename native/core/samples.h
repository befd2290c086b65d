// Samples by column, as they go to JavaScript, and the table rows that they refer to. Shapes and units are those of
// SampleColumns and Tables in src/capture/binding.ts.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace lowflame {

enum class Source : uint8_t { kCpu = 0, kOffCpu = 1, kLocks = 2, kLockOwners = 3, kFutex = 4, kFutexOwners = 5 };
constexpr size_t kSources = 6;

struct Sample {
  double time_ns;  // since the start of the recording
  uint32_t cpu;
  uint32_t thread;
  uint32_t stack;
  double weight_ns;
  double duration_ns;
  uint8_t state;
  int32_t syscall;
  uint32_t flags;
  uint32_t lock = 0;  // of kLocks, kFutex and their owners
  // who held the lock while a wait for it went on: becomes a sample of its own
  bool owned = false, futex = false;
  uint32_t owner_thread = 0, owner_stack = 0;
  int32_t owner_syscall = -1;
  uint8_t owner_state = 0;
};

struct Samples {
  std::vector<double> time_ns, weight_ns, duration_ns;
  std::vector<uint32_t> cpu, thread, stack, flags;
  std::vector<uint32_t> lock;  // empty for sources without locks
  std::vector<uint8_t> state;
  std::vector<int32_t> syscall;

  size_t size() const { return time_ns.size(); }
  void Add(const Sample& s) {
    time_ns.push_back(s.time_ns);
    weight_ns.push_back(s.weight_ns);
    duration_ns.push_back(s.duration_ns);
    cpu.push_back(s.cpu);
    thread.push_back(s.thread);
    stack.push_back(s.stack);
    flags.push_back(s.flags);
    state.push_back(s.state);
    syscall.push_back(s.syscall);
  }
};

struct ProcessRow {
  uint32_t id, pid;
  uint64_t start_time_ns;
  std::string comm;
  bool kernel_thread, self;
};

struct ThreadRow {
  uint32_t id, tid, process;
  std::string comm;
};

struct ModuleRow {
  uint32_t id;
  std::string path, build_id;
};

struct LockRow {
  uint32_t id, kind;
  uint64_t address;
  std::string name;
};

struct NameRow {
  uint32_t frame;
  std::string name;
};

// A place in source text that code came from. In a chain of them, innermost first, each is inlined into the next one.
struct SourcePlace {
  std::string function;  // demangled, full; "" if not known
  std::string file;      // "" if not known
  uint32_t line;         // 0 if not known, or if the compiler made the code of no line
};

struct SourceRow {
  uint32_t frame;
  std::vector<SourcePlace> places;
};

// Who is at the other end of a socket. `role`: lf_endpoint_role in bpf/events.h.
struct EndpointRow {
  uint32_t id, role, family, port, protocol;
  std::string address;
  uint32_t network;  // inode of its namespace; 0 = lowflame's own, or none
};

// One slow socket call, or one that had not returned at the end (LF_IN_PROGRESS).
struct CallRow {
  double time_ns, duration_ns, busy_ns, blocked_ns, waiting_ns, result;
  uint32_t thread, stack, flags, fd;
  int32_t syscall;
  int64_t endpoint;  // -1 = unknown
};

// Sockets that a process has opened and closed since the recording began, and the descriptors that it has open now, of
// any kind; 0 where that is not known.
struct SocketCountRow {
  double time_ns;
  uint32_t process;
  uint64_t opened, closed, descriptors;
};

// New rows since the last batch. Ids of frames and stack nodes are consecutive from first_*.
struct Tables {
  std::vector<ProcessRow> processes;
  std::vector<ThreadRow> threads;
  std::vector<ModuleRow> modules;
  uint32_t first_frame = 1;
  std::vector<uint32_t> frame_module;
  std::vector<uint64_t> frame_offset;
  std::vector<uint8_t> frame_kind;
  uint32_t first_node = 1;
  std::vector<uint32_t> node_parent, node_frame;
  std::vector<NameRow> names;
  std::vector<SourceRow> sources;
  std::vector<LockRow> locks;
  std::vector<EndpointRow> endpoints;
  std::vector<CallRow> calls;
  std::vector<SocketCountRow> socket_counts;

  bool empty() const {
    return processes.empty() && threads.empty() && modules.empty() && frame_module.empty() && node_parent.empty() &&
           names.empty() && sources.empty() && locks.empty() && endpoints.empty() && calls.empty() &&
           socket_counts.empty();
  }
};

struct Batch {
  Tables tables;
  std::array<Samples, kSources> samples;

  Samples& of(Source source) { return samples[static_cast<size_t>(source)]; }
  size_t size() const {
    size_t n = 0;
    for (const Samples& s : samples) n += s.size();
    return n;
  }
};

}  // namespace lowflame
