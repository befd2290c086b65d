// What the loader does to one process: reads it, follows its records, writes it to the kernel. See loader.h.
#include <time.h>

#include <algorithm>

#include "../kernel/machine.h"
#include "../symbols/process_maps.h"
#include "../symbols/process_table.h"
#include "../symbols/text_copy.h"
#include "loader.h"
#include "running.h"

namespace lowflame {
namespace {

// A look in vain doubles the time to the next one.
constexpr uint64_t kAskAfterNs = 50000000, kAskAtMostNs = 3200000000ull;
// A process whose first thread has ended is looked at again, for others of its threads may run, at longer and longer
// intervals.
constexpr uint64_t kEndedAgainNs = 20000000, kEndedAtMostNs = 2000000000ull;
constexpr uint64_t kRecycleNs = 1000000000ull;
// Text that a program copies is whole by then; each further record of it begins the time anew.
constexpr uint64_t kMovedNs = 100000000;
constexpr size_t kMaxMoved = 4096;
// The kernel gives the memory of an entry that was replaced to the next one at once; a walk that is reading it is done
// by then.
constexpr uint64_t kReuseNs = 50000;

}  // namespace

bool UnwindLoader::Wanted(uint32_t pid) const {
  return config_.only.empty() || std::find(config_.only.begin(), config_.only.end(), pid) != config_.only.end();
}

// Its mappings as /proc tells them; the table of the file that holds `asked_address` is wanted now. False if it has
// none.
bool UnwindLoader::ReadProcess(uint32_t pid, UnwindModules::Want want, uint64_t asked_address) {
  const uint64_t before = MonotonicNs();
  std::vector<Mapping> read;
  if (!ReadExecutableMappings(pid, &read)) return false;
  std::vector<UnwindMapping> mappings;
  RestoreText(pid, &read);
  for (const Mapping& m : read) {
    if (m.backing() == Backing::kUnnamed) continue;
    const bool asked = asked_address >= m.begin && asked_address < m.end;
    const auto placed = modules_.Place(pid, m, asked ? UnwindModules::Want::kNow : want);
    mappings.push_back({m.begin, m.end, placed.bias, placed.table});
  }
  processes_.Get(pid).read_ns = before;
  processes_.Get(pid).gone = false;
  processes_.Replace(pid, std::move(mappings));
  return true;
}

void UnwindLoader::Apply(const TaskEvent& e) {
  if (!Wanted(e.pid)) return;
  UnwindProcesses::Process* p = processes_.Find(e.pid);
  // what was read from /proc since then has it already
  const bool past = p && p->read_ns > e.time_ns;
  switch (e.kind) {
    case TaskEvent::Kind::kFork:
      if (past || !e.pid) return;
      ended_.erase(e.pid);
      // of a parent that is not known yet nothing is known of the child: a sample will ask for it
      if (!processes_.Fork(e.parent, e.pid) && p) processes_.Remove(e.pid);
      return;
    case TaskEvent::Kind::kExec: {
      if (past || !e.pid) return;
      ended_.erase(e.pid);
      UnwindProcesses::Process& fresh = processes_.Get(e.pid);
      fresh.mappings.clear();
      fresh.gone = false;
      fresh.asked_ns = 0;
      processes_.Changed(e.pid);
      return;
    }
    case TaskEvent::Kind::kExit:
      if (p && !past) ended_[e.pid] = {0, 0};
      return;
    case TaskEvent::Kind::kMap: {
      if (!p || p->gone || past) return;
      const Mapping m = MappingOf(e);
      if (m.backing() == Backing::kUnnamed) return;
      if (!m.inode && SplitsFile(e.pid, m) && moved_.size() < kMaxMoved) moved_[e.pid] = MonotonicNs() + kMovedNs;
      const auto placed = modules_.Place(e.pid, m, UnwindModules::Want::kSoon);
      processes_.Map(e.pid, {m.begin, m.end, placed.bias, placed.table});
      return;
    }
  }
}

// Memory without a file between two parts of one file: a copy of its text (symbols/text_copy.h), or soon to be one.
bool UnwindLoader::SplitsFile(uint32_t pid, const Mapping& m) const {
  const UnwindMapping *before = processes_.At(pid, m.begin - 1), *after = processes_.At(pid, m.end);
  return before && after && before->table && before->table == after->table && before->bias == after->bias;
}

// When they have been copied.
void UnwindLoader::ReadMoved() {
  const uint64_t now = MonotonicNs();
  for (auto it = moved_.begin(); it != moved_.end();) {
    if (it->second > now) {
      ++it;
      continue;
    }
    const auto* p = processes_.Find(it->first);
    if (p && !p->gone) ReadProcess(it->first, UnwindModules::Want::kFirst, 0);
    it = moved_.erase(it);
  }
}

// Whether what ended a walk so is still not there for this address.
bool UnwindLoader::Lacks(uint32_t pid, uint8_t stop, uint64_t address) const {
  const UnwindMapping* held = processes_.At(pid, address);
  return stop == LF_UW_STOP_TABLE ? held && held->table && !modules_.Loaded(held->table) : !held;
}

void UnwindLoader::Answer(uint32_t pid, const Ask& ask) {
  if (!Wanted(pid) || !MayBeTheSameProcess(pid, ask.start_time_ns)) return;
  const uint64_t now = MonotonicNs();
  // frame pointers may have led on from where something was missing
  const auto lacking = std::find_if(ask.frames.begin(), ask.frames.end(),
                                    [&](uint64_t address) { return Lacks(pid, ask.stop, address); });
  const bool news = lacking != ask.frames.end();
  const uint64_t address = news ? *lacking : ask.frames.back();
  UnwindProcesses::Process& p = processes_.Get(pid);
  p.used_ns = now;
  if (p.start_time_ns && p.start_time_ns != ask.start_time_ns) {
    // another process had the id
    p.read_ns = p.asked_ns = 0;
    processes_.Changed(pid);
  } else if (!news && p.parts) {
    return;  // it has come meanwhile
  }
  if (p.asked_ns && now - p.asked_ns < p.ask_after_ns) return;
  p.asked_ns = now;
  p.start_time_ns = ask.start_time_ns;
  reread_++;
  const bool knew = processes_.Find(pid)->parts > 0;
  ReadProcess(pid, UnwindModules::Want::kFirst, address);
  const UnwindMapping* held = processes_.At(pid, address);
  UnwindProcesses::Process* after = processes_.Find(pid);
  // an address that no mapping holds is asked for less and less often: walks by frame pointer can go astray
  const bool helped = (held || !knew) && !after->mappings.empty();
  after->ask_after_ns = helped ? kAskAfterNs : std::clamp(2 * after->ask_after_ns, kAskAfterNs, kAskAtMostNs);
  if (after->mappings.empty() && !after->parts) processes_.Erase(pid);
}

// Nobody walks the stack of a process that has ended, but its first thread may end before the others.
void UnwindLoader::CheckEnded() {
  const uint64_t now = MonotonicNs();
  for (auto it = ended_.begin(); it != ended_.end();) {
    if (it->second.at_ns > now) {
      ++it;
    } else if (processes_.Find(it->first) && IsAlive(it->first)) {
      Look& look = it->second;
      look.after_ns = std::clamp(2 * look.after_ns, kEndedAgainNs, kEndedAtMostNs);
      look.at_ns = now + look.after_ns;
      ++it;
    } else {
      processes_.Remove(it->first);
      it = ended_.erase(it);
    }
  }
}

void UnwindLoader::Write() {
  for (uint32_t table : modules_.TakeFailed()) processes_.Forget(table);
  for (uint32_t pid : processes_.TakeChanged()) WriteProcess(pid);
  mappings_left_out_ = processes_.mappings_left_out();
  known_ = processes_.all().size();
  parts_written_ = parts_;
  const uint64_t now = MonotonicNs();
  if (modules_.IdsUsedUp() && now - recycled_ns_ > kRecycleNs) {
    recycled_ns_ = now;
    std::vector<bool> held(LF_UW_TABLES);
    for (const auto& [pid, p] : processes_.all())
      for (const UnwindMapping& m : p.mappings) held[m.table] = true;
    modules_.Recycle(held);
  }
}

void UnwindLoader::Pace() {
  const uint64_t since = MonotonicNs() - freed_ns_;
  if (since >= kReuseNs) return;
  timespec t{0, static_cast<long>(kReuseNs - since)};
  nanosleep(&t, nullptr);
}

// The first part last, since a walk begins there.
void UnwindLoader::WriteProcess(uint32_t pid) {
  UnwindProcesses::Process* p = processes_.Find(pid);
  if (!p) return;
  const std::vector<lf_uw_process> parts = processes_.Encode(p);
  const auto count = static_cast<uint32_t>(parts.size());
  if (count > p->parts) {
    MakeRoomFor(pid, count - p->parts);
    p = processes_.Find(pid);
  }
  bool all = true;
  for (uint32_t i = count; i-- > 0;) {
    Pace();
    all = all && maps_.PutProcess({pid, i}, parts[i]);
    if (i < p->parts) freed_ns_ = MonotonicNs();
  }
  const uint32_t keep = all ? count : 0;
  for (uint32_t i = keep; i < std::max(p->parts, count); i++) {
    maps_.RemoveProcess({pid, i});
    freed_ns_ = MonotonicNs();
  }
  parts_ = parts_ - p->parts + keep;
  p->parts = keep;
  if (!all) left_out_++;
  if (p->gone) processes_.Erase(pid);
}

// The process whose samples came longest ago goes; it comes back when a sample asks for it.
void UnwindLoader::MakeRoomFor(uint32_t pid, size_t parts) {
  if (parts_ + parts <= maps_.max_parts()) return;
  std::vector<std::pair<uint64_t, uint32_t>> oldest;
  for (const auto& [other, p] : processes_.all())
    if (other != pid && p.parts) oldest.push_back({p.used_ns, other});
  const size_t many = std::min(oldest.size(), std::max<size_t>(64, parts));
  std::partial_sort(oldest.begin(), oldest.begin() + static_cast<long>(many), oldest.end());
  for (size_t i = 0; i < many; i++) {
    UnwindProcesses::Process* p = processes_.Find(oldest[i].second);
    for (uint32_t part = 0; part < p->parts; part++) maps_.RemoveProcess({oldest[i].second, part});
    parts_ -= p->parts;
    processes_.Erase(oldest[i].second);
    left_out_++;
  }
  freed_ns_ = MonotonicNs();
}

}  // namespace lowflame
