// Sorted vectors of mappings: see processes.h.
#include "processes.h"

#include <algorithm>
#include <cstddef>

#include "../core/page.h"

namespace lowflame {
namespace {

constexpr size_t kMostMappings = size_t{LF_UW_PARTS} * LF_UW_PART_MAPPINGS;

bool Joins(const UnwindMapping& a, const UnwindMapping& b) {
  return a.end == b.begin && a.table == b.table && (a.table == LF_UW_TABLE_FP || a.bias == b.bias);
}

void Join(std::vector<UnwindMapping>* mappings) {
  size_t to = 0;
  for (const UnwindMapping& m : *mappings) {
    if (to && Joins((*mappings)[to - 1], m))
      (*mappings)[to - 1].end = m.end;
    else
      (*mappings)[to++] = m;
  }
  mappings->resize(to);
}

bool Same(const UnwindMapping& a, const UnwindMapping& b) {
  return a.begin == b.begin && a.end == b.end && a.bias == b.bias && a.table == b.table;
}

// A JIT's many small pieces of code become one, with the gaps: nothing else lies in them.
std::vector<UnwindMapping> WithoutGaps(const std::vector<UnwindMapping>& mappings) {
  std::vector<UnwindMapping> out;
  for (const UnwindMapping& m : mappings) {
    if (!out.empty() && m.table == LF_UW_TABLE_FP && out.back().table == LF_UW_TABLE_FP)
      out.back().end = m.end;
    else
      out.push_back(m);
  }
  return out;
}

// Of too many, those that were mapped last: the kernel goes downwards from where the C library lies, which nearly every
// stack goes through, and the program is below them all. Returns their number.
size_t LeaveOut(std::vector<UnwindMapping>* mappings) {
  const size_t over = mappings->size() - kMostMappings;
  const auto first = mappings->begin() + LF_UW_PART_MAPPINGS;
  mappings->erase(first, first + static_cast<std::ptrdiff_t>(over));
  return over;
}

}  // namespace

UnwindProcesses::Process* UnwindProcesses::Find(uint32_t pid) {
  auto it = processes_.find(pid);
  return it == processes_.end() ? nullptr : &it->second;
}

UnwindProcesses::Process& UnwindProcesses::Get(uint32_t pid) {
  return processes_[pid];
}

bool UnwindProcesses::Fork(uint32_t parent, uint32_t child) {
  if (parent == child) return false;
  Process* from = Find(parent);
  if (!from) return false;
  std::vector<UnwindMapping> copy = from->mappings;
  Process& to = Get(child);
  // another process had this id before: nothing of it is true any more but what lies in the map
  const uint32_t generation = to.generation, parts = to.parts;
  to = Process();
  to.generation = generation;
  to.parts = parts;
  to.mappings = std::move(copy);
  changed_.insert(child);
  return true;
}

void UnwindProcesses::Replace(uint32_t pid, std::vector<UnwindMapping> mappings) {
  std::sort(mappings.begin(), mappings.end(),
            [](const UnwindMapping& a, const UnwindMapping& b) { return a.begin < b.begin; });
  Join(&mappings);
  Process& p = Get(pid);
  if (p.parts && std::equal(mappings.begin(), mappings.end(), p.mappings.begin(), p.mappings.end(), Same)) return;
  p.mappings = std::move(mappings);
  changed_.insert(pid);
}

bool UnwindProcesses::Map(uint32_t pid, const UnwindMapping& m) {
  if (m.begin >= m.end) return false;
  Process& p = Get(pid);
  const UnwindMapping* held = At(pid, m.begin);
  if (held && m.end <= held->end && held->table == m.table && (m.table == LF_UW_TABLE_FP || held->bias == m.bias))
    return false;
  std::vector<UnwindMapping> after;
  after.reserve(p.mappings.size() + 2);
  bool placed = false;
  auto place = [&] {
    if (!placed) after.push_back(m);
    placed = true;
  };
  for (const UnwindMapping& old : p.mappings) {
    if (old.begin >= m.end) place();
    if (old.end <= m.begin || old.begin >= m.end) {
      after.push_back(old);
      continue;
    }
    // what sticks out on either side stays
    if (old.begin < m.begin) after.push_back({old.begin, m.begin, old.bias, old.table});
    place();
    if (old.end > m.end) after.push_back({m.end, old.end, old.bias, old.table});
  }
  place();
  Join(&after);
  p.mappings = std::move(after);
  changed_.insert(pid);
  return true;
}

void UnwindProcesses::Remove(uint32_t pid) {
  Process* p = Find(pid);
  if (!p) return;
  p->mappings.clear();
  p->gone = true;
  changed_.insert(pid);
}

void UnwindProcesses::Forget(uint32_t table) {
  for (auto& [pid, p] : processes_)
    for (UnwindMapping& m : p.mappings)
      if (m.table == table) {
        m.table = LF_UW_TABLE_FP;
        changed_.insert(pid);
      }
}

const UnwindMapping* UnwindProcesses::At(uint32_t pid, uint64_t address) const {
  auto it = processes_.find(pid);
  if (it == processes_.end()) return nullptr;
  const std::vector<UnwindMapping>& all = it->second.mappings;
  auto next =
      std::upper_bound(all.begin(), all.end(), address, [](uint64_t a, const UnwindMapping& m) { return a < m.begin; });
  return next != all.begin() && address < (next - 1)->end ? &*(next - 1) : nullptr;
}

std::vector<uint32_t> UnwindProcesses::TakeChanged() {
  std::vector<uint32_t> out(changed_.begin(), changed_.end());
  changed_.clear();
  return out;
}

std::vector<lf_uw_process> UnwindProcesses::Encode(Process* p) {
  std::vector<UnwindMapping> dense;
  const std::vector<UnwindMapping>* mappings = &p->mappings;
  if (mappings->size() > kMostMappings) {
    dense = WithoutGaps(*mappings);
    if (dense.size() > kMostMappings) left_out_ += LeaveOut(&dense);
    mappings = &dense;
  }
  const size_t count = mappings->size();
  p->generation++;
  std::vector<lf_uw_process> parts;
  for (size_t first = 0; first < count; first += LF_UW_PART_MAPPINGS) {
    lf_uw_process part{};
    part.start_time_ns = p->start_time_ns;
    part.generation = p->generation;
    part.mappings = static_cast<uint32_t>(std::min<size_t>(LF_UW_PART_MAPPINGS, count - first));
    const size_t next = first + part.mappings;
    part.next_begin = next < count ? (*mappings)[next].begin : ~0ull;
    for (uint32_t i = 0; i < part.mappings; i++) {
      const UnwindMapping& m = (*mappings)[first + i];
      const uint64_t pages = std::min<uint64_t>((m.end - m.begin) / kPage, UINT32_MAX);
      part.mapping[i] = {m.begin, static_cast<uint32_t>(pages), m.table, m.bias};
    }
    parts.push_back(part);
  }
  return parts;
}

}  // namespace lowflame
