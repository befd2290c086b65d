// Mappings and tables as they are asked for, with bounds on both: see outside_walks.h.
#include "outside_walks.h"

#include <sys/uio.h>

#include "../kernel/machine.h"
#include "../symbols/process_table.h"
#include "../symbols/text_copy.h"

namespace lowflame {
namespace {

// Threads of a process come close together.
constexpr size_t kMaxProcesses = 128;
// Copies of what the kernel has. Beyond it they are given up before the next walk; one walk has twice as much at most.
constexpr uint64_t kMaxOutsideTableBytes = 32 << 20;

}  // namespace

StackWalk OutsideWalks::Walk(const OutsideThread& thread) {
  const uint64_t begin = MonotonicNs();
  if (spent_ns_ >= most_ns_) return {{}, LF_UW_STOP_TIME};
  until_ns_ = begin + (most_ns_ - spent_ns_);
  if (table_bytes_ > kMaxOutsideTableBytes) {
    tables_.clear();
    table_bytes_ = 0;
  }
  Enter(thread);
  StackWalk walk{{}, LF_UW_STOP_PROCESS};
  do {
    failed_ = false;
    walk = WalkStack(this, thread.tgid, thread.start_time_ns, thread.registers);
    // by frame pointer through that file, as the programs in the kernel walk
    if (failed_) Encode(thread.tgid);
  } while (failed_);
  spent_ns_ += MonotonicNs() - begin;
  return walk;
}

// By thread id, since the first thread of a process may have ended.
void OutsideWalks::Enter(const OutsideThread& thread) {
  tid_ = thread.tid;
  if (auto known = known_.find(thread.tgid); known != known_.end()) {
    process_ = &known->second;
    return;
  }
  if (known_.size() >= kMaxProcesses) known_.clear();
  Known& k = known_[thread.tgid];
  process_ = &k;
  std::vector<Mapping> read;
  if (!MayBeTheSameProcess(thread.tgid, thread.start_time_ns) || !ReadExecutableMappings(thread.tid, &read)) return;
  RestoreText(thread.tid, &read);
  for (Mapping& m : read)
    if (m.backing() != Backing::kUnnamed) k.mappings.push_back(std::move(m));
  Encode(thread.tgid);
}

void OutsideWalks::Encode(uint32_t tgid) {
  Known& k = known_[tgid];
  UnwindProcesses one;
  std::vector<UnwindMapping> mappings;
  k.tables.clear();
  for (const Mapping& m : k.mappings) {
    const UnwindModules::Placed placed = modules_->Place(tid_, m, UnwindModules::Want::kLater);
    k.tables.push_back(placed.table);
    mappings.push_back({m.begin, m.end, placed.bias, placed.table});
  }
  one.Replace(tgid, std::move(mappings));
  k.parts = one.Encode(&one.Get(tgid));
}

bool OutsideWalks::ReadStack(void* to, size_t bytes, uint64_t from) {
  iovec local{to, bytes}, remote{reinterpret_cast<void*>(from), bytes};
  return process_vm_readv(static_cast<pid_t>(tid_), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

const lf_uw_process* OutsideWalks::Process(const lf_uw_key& key) {
  return key.part < process_->parts.size() ? &process_->parts[key.part] : nullptr;
}

OutsideWalks::Loaded* OutsideWalks::Load(uint32_t id) {
  if (auto known = tables_.find(id); known != tables_.end()) return &known->second;
  size_t at = 0;
  while (at < process_->tables.size() && process_->tables[at] != id) at++;
  if (at == process_->tables.size() || table_bytes_ > 2 * kMaxOutsideTableBytes || MonotonicNs() >= until_ns_)
    return nullptr;
  UnwindTable made = modules_->TableOf(id, tid_, process_->mappings[at]);
  if (made.words.empty() && modules_->Failed(id)) failed_ = true;
  // one that cannot be had is not asked for again with every frame
  Loaded& t = tables_[id];
  t.file = made.file;
  t.words = std::move(made.words);
  table_bytes_ += t.words.size() * sizeof(uint32_t);
  return &t;
}

const lf_uw_file* OutsideWalks::File(uint32_t table) {
  const Loaded* t = Load(table);
  return t && !t->words.empty() ? &t->file : nullptr;
}

const lf_uw_rule* OutsideWalks::Rule(uint32_t rule) {
  return rule < modules_->rules().size() ? &modules_->rules()[rule] : nullptr;
}

TableWords* OutsideWalks::Table(uint32_t table) {
  Loaded* t = Load(table);
  return t && !t->words.empty() ? &t->words : nullptr;
}

}  // namespace lowflame
