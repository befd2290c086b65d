// Interning: see interner.h.
#include "interner.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace lowflame {
namespace {

// Bounds. At the limit the tree stops growing: a new stack becomes the deepest known prefix of it, and is counted.
constexpr uint32_t kMaxNodes = 8u << 20;
constexpr uint32_t kMaxFrames = 4u << 20;
constexpr size_t kMaxCachedStacks = 1u << 16;  // these stay in the CPU's caches
constexpr uint32_t kMaxRenames = 8;            // a program that keeps changing its title must not fill the table

uint64_t Mix(uint64_t h, uint64_t v) {
  h ^= v;
  h *= 0xff51afd7ed558ccdull;
  h ^= h >> 32;
  return h;
}

// `comm` is a fixed-size field that may lack its NUL.
std::string CommString(const char* comm) {
  return std::string(comm, strnlen(comm, 16));
}

}  // namespace

uint32_t Interner::Process(uint32_t pid, uint64_t start_time_ns, const char* comm, bool kernel_thread) {
  Hash128 key{Mix(pid, start_time_ns), static_cast<uint64_t>(pid) << 32 ^ start_time_ns};
  auto [it, fresh] = process_ids_.try_emplace(key, static_cast<uint32_t>(processes_.size()));
  uint32_t id = it->second;
  if (fresh) {
    processes_.push_back({pid, start_time_ns, CommString(comm), kernel_thread, 0});
  } else {
    ProcessState& p = processes_[id];
    if (strncmp(p.comm.c_str(), comm, 16) == 0 || p.renames >= kMaxRenames) return id;
    p.renames++;
    p.comm = CommString(comm);
  }
  fresh_.processes.push_back({id, pid, start_time_ns, processes_[id].comm, kernel_thread, pid == self_pid_});
  return id;
}

int64_t Interner::FindProcess(uint32_t pid, uint64_t start_time_ns) const {
  Hash128 key{Mix(pid, start_time_ns), static_cast<uint64_t>(pid) << 32 ^ start_time_ns};
  auto it = process_ids_.find(key);
  return it == process_ids_.end() ? -1 : static_cast<int64_t>(it->second);
}

uint32_t Interner::Thread(uint32_t tid, uint32_t process, const char* comm) {
  Hash128 key{Mix(tid, process), static_cast<uint64_t>(process) << 32 | tid};
  auto [it, fresh] = thread_ids_.try_emplace(key, static_cast<uint32_t>(threads_.size()));
  uint32_t id = it->second;
  if (fresh) threads_.push_back({processes_[process].comm, 0, false});
  ThreadState& t = threads_[id];
  // the first thread of a process is there as long as the process
  if (!comm && (t.seen || tid != processes_[process].pid)) return id;
  const bool renamed = comm && strncmp(t.comm.c_str(), comm, 16) != 0;
  if (t.seen && (!renamed || t.renames >= kMaxRenames)) return id;
  t.renames += t.seen;
  t.seen = true;
  if (renamed) t.comm = CommString(comm);
  fresh_.threads.push_back({id, tid, process, threads_[id].comm});
  return id;
}

uint32_t Interner::Frame(const Location& location, uint32_t process) {
  // code made at run time belongs to its process; files are the same for all
  uint64_t owner = location.kind == FrameKind::kJit || location.kind == FrameKind::kUnknown ? process + 1ull : 0;
  // all of it is in one module
  const bool replaced = location.kind == FrameKind::kJit || location.kind == FrameKind::kBpf;
  const uint32_t within = replaced ? location.generation : location.module;
  uint64_t place = owner << 32 | static_cast<uint64_t>(location.kind) << 56 | within;
  // exact: with the offset known, the hash tells the place
  Hash128 key{Mix(Mix(1, place), location.offset), location.offset};
  auto it = frame_ids_.find(key);
  if (it != frame_ids_.end()) return it->second;
  if (next_frame_ >= kMaxFrames) return 0;
  uint32_t id = next_frame_++;
  frame_ids_.emplace(key, id);
  fresh_.frame_module.push_back(location.module);
  fresh_.frame_offset.push_back(location.offset);
  fresh_.frame_kind.push_back(static_cast<uint8_t>(location.kind));
  to_name_.push_back({id, location, owner ? processes_[process].pid : 0});
  return id;
}

uint32_t Interner::KernelFrame(uint64_t address, bool* known) {
  auto it = kernel_frames_.find(address);
  if (it != kernel_frames_.end()) return it->second;
  const Location location = symbolizer_->LocateKernel(address);
  uint32_t id = Frame(location, 0);
  if (location.sure)
    kernel_frames_.emplace(address, id);
  else
    *known = false;
  return id;
}

void Interner::LookAtKernel() {
  if (std::exchange(kernel_changes_, symbolizer_->KernelChanges()) == kernel_changes_) return;
  kernel_frames_.clear();
  stack_ids_.clear();
  kernel_paths_.fill({});
}

Location Interner::LocateUser(uint32_t process, uint64_t address, uint64_t time_ns) {
  const ProcessState& p = processes_[process];
  return symbolizer_->LocateUser(p.pid, p.start_time_ns, address, time_ns);
}

uint32_t Interner::Node(uint32_t parent, uint32_t frame) {
  uint64_t key = static_cast<uint64_t>(parent) << 32 | frame;
  auto it = node_ids_.find(key);
  if (it != node_ids_.end()) return it->second;
  if (next_node_ >= kMaxNodes || !frame) return parent;
  uint32_t id = next_node_++;
  node_ids_.emplace(key, id);
  fresh_.node_parent.push_back(parent);
  fresh_.node_frame.push_back(frame);
  return id;
}

size_t Interner::Shared(const Path& path, uint64_t under) const {
  if (path.under != under) return 0;
  const auto most = static_cast<ptrdiff_t>(std::min(path.places.size(), places_.size()));
  return static_cast<size_t>(std::mismatch(places_.begin(), places_.begin() + most, path.places.begin()).first -
                             places_.begin());
}

void Interner::Keep(Path* path, uint64_t under, size_t shared) const {
  path->under = under;
  path->places = places_;
  path->nodes.resize(shared);
  path->nodes.insert(path->nodes.end(), nodes_.begin(), nodes_.end());
}

uint32_t Interner::UserNode(uint32_t process, const RawStack& stack, uint64_t who, bool* known) {
  places_.clear();
  for (size_t i = stack.user_frames; i-- > 0;) places_.push_back(stack.user[i] << 1 | (i > 0));
  Path& path = user_paths_[process % user_paths_.size()];
  const size_t shared = Shared(path, who);
  uint32_t node = shared ? path.nodes[shared - 1] : 0;
  // All but the leaf are return addresses: one less lies in the call itself, whatever follows it. In code without frame
  // pointers the walk goes astray into data; a return address that is not in executable memory ends the stack there.
  user_frames_.clear();
  for (size_t i = 0; i + shared < stack.user_frames; i++) {
    Location location = LocateUser(process, stack.user[i] - (i > 0), stack.time_ns);
    if (location.kind == FrameKind::kUnknown) *known = false;
    if (i > 0 && location.kind == FrameKind::kUnknown) {
      node = 0;
      break;
    }
    user_frames_.push_back(Frame(location, process));
  }
  nodes_.clear();
  for (size_t i = user_frames_.size(); i-- > 0;) nodes_.push_back(node = Node(node, user_frames_[i]));
  if (*known) Keep(&path, who, shared);
  return node;
}

uint32_t Interner::KernelNode(uint32_t process, const RawStack& stack, uint32_t under, bool* known) {
  places_.clear();
  for (size_t i = stack.kernel_frames; i-- > 0;)
    places_.push_back(stack.kernel[i] << 1 | (i > 0 || stack.kernel_leaf_is_return));
  Path& path = kernel_paths_[process % kernel_paths_.size()];
  const size_t shared = Shared(path, under);
  uint32_t node = shared ? path.nodes[shared - 1] : under;
  nodes_.clear();
  for (size_t i = shared; i < places_.size(); i++) {
    const size_t frame = places_.size() - 1 - i;
    nodes_.push_back(node = Node(node, KernelFrame(stack.kernel[frame] - (places_[i] & 1), known)));
  }
  if (*known) Keep(&path, under, shared);
  return node;
}

uint32_t Interner::Stack(uint32_t process, const RawStack& stack, bool* cut) {
  if (!stack.kernel_frames && !stack.user_frames) return 0;
  auto add = [](Hash128* h, uint64_t v) {
    h->a = Mix(h->a, v);
    h->b = (h->b ^ v) * 0x9E3779B97F4A7C15ull;
    h->b ^= h->b >> 29;
  };
  Hash128 half{0, 0};
  uint64_t who = 0;
  if (stack.user_frames) {
    // between two changes the same addresses are the same code
    const ProcessState& p = processes_[process];
    who = Mix(process + 1ull, symbolizer_->ChangedAt(p.pid, p.start_time_ns, stack.time_ns));
    half = {Mix(who, stack.user_frames), who};
    for (size_t i = 0; i < stack.user_frames; i++) add(&half, stack.user[i]);
  }
  Hash128 whole{Mix(half.a, stack.kernel_frames << 1 | stack.kernel_leaf_is_return), half.b};
  for (size_t i = 0; i < stack.kernel_frames; i++) add(&whole, stack.kernel[i]);
  auto it = stack_ids_.find(whole);
  if (it != stack_ids_.end()) return it->second;

  uint32_t node = 0;
  bool known = true;
  if (stack.user_frames) {
    auto of_half = half_ids_.find(half);
    if (of_half != half_ids_.end()) {
      node = of_half->second;
    } else {
      node = UserNode(process, stack, who, &known);
      if (half_ids_.size() >= kMaxCachedStacks) half_ids_.clear();
      if (known) half_ids_.emplace(half, node);
    }
  }
  bool kernel_known = true;
  if (stack.kernel_frames) node = KernelNode(process, stack, node, &kernel_known);
  if (next_node_ >= kMaxNodes || next_frame_ >= kMaxFrames) stacks_dropped_++;
  if (!known && cut) *cut = true;
  // not kept: what is there may be known next time
  if (!known || !kernel_known) return node;
  if (stack_ids_.size() >= kMaxCachedStacks) stack_ids_.clear();  // only a cache: the tree keeps the ids
  stack_ids_.emplace(whole, node);
  return node;
}

void Interner::TakeNew(Tables* out, std::vector<FrameToName>* names) {
  for (const ModuleInfo& m : symbolizer_->TakeNewModules()) fresh_.modules.push_back({m.id, m.path, m.build_id});
  auto append = [](auto& to, auto& from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
    from.clear();
  };
  if (out->frame_module.empty()) out->first_frame = next_frame_ - static_cast<uint32_t>(fresh_.frame_module.size());
  if (out->node_parent.empty()) out->first_node = next_node_ - static_cast<uint32_t>(fresh_.node_parent.size());
  append(out->processes, fresh_.processes);
  append(out->threads, fresh_.threads);
  append(out->modules, fresh_.modules);
  append(out->frame_module, fresh_.frame_module);
  append(out->frame_offset, fresh_.frame_offset);
  append(out->frame_kind, fresh_.frame_kind);
  append(out->node_parent, fresh_.node_parent);
  append(out->node_frame, fresh_.node_frame);
  append(*names, to_name_);
}

}  // namespace lowflame
