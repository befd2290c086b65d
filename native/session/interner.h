// Gives small ids to processes, threads, frames and stacks, so that JavaScript sees ids and weights only. Used by the
// drain thread alone. Stacks are nodes of a prefix tree: outermost user frame first, kernel leaf last.
#pragma once

#include <tsl/robin_map.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "../core/samples.h"
#include "../symbols/symbols.h"

namespace lowflame {

// A stack as the kernel gave it: addresses, leaf first.
struct RawStack {
  const uint64_t* kernel = nullptr;
  size_t kernel_frames = 0;
  const uint64_t* user = nullptr;
  size_t user_frames = 0;
  // the first kernel address is a return address too (stacks taken by a BPF program; a sample's is exact)
  bool kernel_leaf_is_return = false;
  uint64_t time_ns = 0;  // when it was taken, CLOCK_MONOTONIC
};

struct FrameToName {
  uint32_t frame;
  Location location;
  uint32_t pid;
};

class Interner {
 public:
  Interner(Symbolizer* symbolizer, uint32_t self_pid) : symbolizer_(symbolizer), self_pid_(self_pid) {}

  uint32_t Process(uint32_t pid, uint64_t start_time_ns, const char* comm, bool kernel_thread);
  // `comm` nullptr: not known ("" is a name that a thread may have); then it keeps the name that it has, and a new
  // thread is called as its process is.
  uint32_t Thread(uint32_t tid, uint32_t process, const char* comm);
  // Whether anything but another thread's word says that there is such a thread: its row is in the tables.
  bool ThreadSeen(uint32_t thread) const { return threads_[thread].seen; }
  // `cut` is set where user code lies in memory that nobody is known to have mapped there: the stack ends there, or
  // begins with it, and is not whole.
  uint32_t Stack(uint32_t process, const RawStack& stack, bool* cut = nullptr);
  const std::string& ProcessComm(uint32_t process) const { return processes_[process].comm; }
  // -1 if never seen
  int64_t FindProcess(uint32_t pid, uint64_t start_time_ns) const;

  // Before the stacks of a drain: asks whether kernel addresses mean the same as in the last one.
  void LookAtKernel();
  // Moves the rows that are new since the last call into `out`, and the frames to name into `names`.
  void TakeNew(Tables* out, std::vector<FrameToName>* names);
  uint64_t stacks_dropped() const { return stacks_dropped_; }
  uint64_t nodes() const { return next_node_ - 1; }

 private:
  struct ProcessState {
    uint32_t pid;
    uint64_t start_time_ns;
    std::string comm;
    bool kernel_thread;
    uint32_t renames = 0;
  };
  struct ThreadState {
    std::string comm;
    uint32_t renames = 0;
    bool seen = false;
  };
  struct Hash128 {
    uint64_t a, b;
    bool operator==(const Hash128& o) const { return a == o.a && b == o.b; }
  };
  struct HashOf {
    size_t operator()(const Hash128& h) const { return h.a; }
  };
  // the tables have powers of two: all bits of a key must reach the lowest
  struct MixBits {
    size_t operator()(uint64_t v) const {
      v = (v ^ v >> 32) * 0xff51afd7ed558ccdull;
      return v ^ v >> 32;
    }
  };
  // One half of the last stack of a process, outermost frame first: the next one shares most of it.
  struct Path {
    uint64_t under = ~0ull;  // what its outermost frame stands for: process and exec, or the node below it
    std::vector<uint64_t> places = {};
    std::vector<uint32_t> nodes = {};
  };

  uint32_t Node(uint32_t parent, uint32_t frame);
  Location LocateUser(uint32_t process, uint64_t address, uint64_t time_ns);
  uint32_t KernelFrame(uint64_t address, bool* known);
  uint32_t Frame(const Location& location, uint32_t process);
  // The node of the user half; `known` becomes false where code of it lies in memory that nobody is known to have
  // mapped.
  uint32_t UserNode(uint32_t process, const RawStack& stack, uint64_t who, bool* known);
  uint32_t KernelNode(uint32_t process, const RawStack& stack, uint32_t under, bool* known);
  // Frames that `places_` and the path begin with alike.
  size_t Shared(const Path& path, uint64_t under) const;
  // Makes `places_` the path: its first nodes stay, `nodes_` follow.
  void Keep(Path* path, uint64_t under, size_t shared) const;

  Symbolizer* symbolizer_;
  uint32_t self_pid_;
  std::vector<ProcessState> processes_;  // index = id
  std::vector<ThreadState> threads_;
  tsl::robin_map<Hash128, uint32_t, HashOf> process_ids_, thread_ids_, frame_ids_;
  tsl::robin_map<Hash128, uint32_t, HashOf> stack_ids_, half_ids_;  // whole stacks, user halves
  tsl::robin_map<uint64_t, uint32_t, MixBits> node_ids_;            // parent and frame
  tsl::robin_map<uint64_t, uint32_t, MixBits> kernel_frames_;       // by address
  std::array<Path, 64> user_paths_, kernel_paths_;                  // by process, one for those that share a place
  uint32_t next_frame_ = 1, next_node_ = 1;
  uint64_t stacks_dropped_ = 0;
  uint32_t kernel_changes_ = 0;
  // scratch
  std::vector<uint64_t> places_;  // half a stack, outermost first: addresses, shifted by one, + 1 for a return address
  std::vector<uint32_t> user_frames_, nodes_;
  Tables fresh_;
  std::vector<FrameToName> to_name_;
};

}  // namespace lowflame
