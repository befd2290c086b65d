// Cutting, joining and dating of mappings: see address_space.h.
#include "address_space.h"

#include <algorithm>
#include <utility>

namespace lowflame {
namespace {

// Of a process; the oldest go first. Samples are some 40 ms old when they are named.
constexpr size_t kMaxNow = 16384, kMaxFormer = 256, kMaxChanges = 256;

// Whether an address in both means the same.
bool SameCode(const Mapping& a, const Mapping& b) {
  const Backing backing = a.backing();
  if (backing != b.backing()) return false;
  if (backing == Backing::kJit || backing == Backing::kUnnamed) return true;
  return a.begin - a.offset == b.begin - b.offset && a.inode == b.inode && a.device == b.device && a.path == b.path;
}

// What of a mapping lies within [begin, end).
Mapping Part(const Mapping& m, uint64_t begin, uint64_t end) {
  Mapping part = m;
  part.begin = std::max(m.begin, begin);
  part.end = std::min(m.end, end);
  part.offset = m.offset + (part.begin - m.begin);
  return part;
}

bool Overlap(const Mapping& a, const Mapping& b) {
  return a.begin < b.end && b.begin < a.end;
}

}  // namespace

Mapping* AddressSpace::At(uint64_t address, uint64_t time_ns) {
  if (time_ns < last_end_ns_)
    for (auto f = former_.rbegin(); f != former_.rend(); ++f)
      if (address >= f->mapping.begin && address < f->mapping.end && time_ns >= f->mapping.since_ns &&
          time_ns < f->until_ns)
        return &f->mapping;
  auto next =
      std::upper_bound(now_.begin(), now_.end(), address, [](uint64_t a, const Mapping& m) { return a < m.begin; });
  if (next == now_.begin() || address >= (next - 1)->end || time_ns < (next - 1)->since_ns) return nullptr;
  return &*(next - 1);
}

AddressSpace::Around AddressSpace::AroundOf(uint64_t address) const {
  auto next =
      std::upper_bound(now_.begin(), now_.end(), address, [](uint64_t a, const Mapping& m) { return a < m.begin; });
  if (next == now_.begin() || address >= (next - 1)->end) return {};
  auto at = next - 1;
  return {at == now_.begin() ? nullptr : &*(at - 1), &*at, next == now_.end() ? nullptr : &*next};
}

void AddressSpace::Bury(const Mapping& mapping, uint64_t until_ns) {
  if (mapping.since_ns >= until_ns) return;
  if (former_.size() >= kMaxFormer) former_.erase(former_.begin(), former_.begin() + kMaxFormer / 4);
  former_.push_back({mapping, until_ns});
  last_end_ns_ = std::max(last_end_ns_, until_ns);
}

void AddressSpace::Change(uint64_t time_ns) {
  auto at = std::lower_bound(changes_.begin(), changes_.end(), time_ns);
  if (at != changes_.end() && *at == time_ns) return;
  changes_.insert(at, time_ns);
  if (changes_.size() > kMaxChanges) changes_.erase(changes_.begin(), changes_.begin() + kMaxChanges / 4);
}

uint64_t AddressSpace::ChangedAt(uint64_t time_ns) const {
  auto after = std::upper_bound(changes_.begin(), changes_.end(), time_ns);
  return after == changes_.begin() ? 0 : *(after - 1);
}

// A record is older than the reading of /proc that told of its outcome: now it is known since when that holds.
// nullptr: an exec, of all that was read.
void AddressSpace::Antedate(const Mapping* mapping, uint64_t time_ns) {
  bool any = !mapping;
  for (Mapping& m : now_) {
    // mapped anew, and read from /proc since: its file may be another one's contents by now
    const bool anew =
        mapping && mapping->inode && m.since_ns < time_ns && Overlap(m, *mapping) && SameCode(m, *mapping);
    if (anew) {
      Bury(m, time_ns);
      m.module = 0;
    }
    const bool meant = mapping ? m.since_ns == read_ns_ && Overlap(m, *mapping) && SameCode(m, *mapping)
                               : m.since_ns == read_ns_ || m.since_ns < time_ns;
    if (!meant && !anew) continue;
    m.since_ns = time_ns;
    any = true;
  }
  if (!any) return;
  for (Former& f : former_)
    if (f.until_ns == read_ns_ && (!mapping || Overlap(f.mapping, *mapping))) f.until_ns = time_ns;
  Change(time_ns);
}

void AddressSpace::Map(const Mapping& m, uint64_t time_ns) {
  if (m.begin >= m.end) return;
  if (time_ns < read_ns_) return Antedate(&m, time_ns);
  auto first = std::lower_bound(now_.begin(), now_.end(), m.begin,
                                [](const Mapping& held, uint64_t begin) { return held.end <= begin; });
  // made executable again, as JITs do all the time
  if (!m.inode && first != now_.end() && first->begin <= m.begin && m.end <= first->end && SameCode(*first, m)) {
    first->module = 0;  // its bytes may be others by now
    return;
  }
  if (now_.size() >= kMaxNow) return;
  Mapping added = m;
  added.since_ns = time_ns;
  // neighbours without a file are one: a JIT's thousands of pages
  const bool joins = m.backing() == Backing::kJit && !m.inode;
  if (joins && first != now_.begin() && (first - 1)->end == m.begin && SameCode(*(first - 1), m)) --first;
  std::vector<Mapping> before, after;
  auto last = first;
  for (; last != now_.end() && last->begin < m.end; ++last) {
    if (!m.inode && SameCode(*last, m)) {
      if (last->begin < added.begin) {
        added.offset -= added.begin - last->begin;
        added.begin = last->begin;
      }
      added.end = std::max(added.end, last->end);
      added.since_ns = std::min(added.since_ns, last->since_ns);
      continue;
    }
    if (last->begin < m.begin) before.push_back(Part(*last, 0, m.begin));
    if (last->end > m.end) after.push_back(Part(*last, m.end, ~0ull));
    Bury(Part(*last, m.begin, m.end), time_ns);
    Change(time_ns);
  }
  // a child whose own mappings were never read has its parent's below these
  if (!read_ns_) Change(time_ns);
  before.push_back(added);
  before.insert(before.end(), after.begin(), after.end());
  first = now_.erase(first, last);
  now_.insert(first, std::make_move_iterator(before.begin()), std::make_move_iterator(before.end()));
}

void AddressSpace::Clear(uint64_t time_ns) {
  cleared_ns_ = std::max(cleared_ns_, time_ns);
  if (time_ns < read_ns_) return Antedate(nullptr, time_ns);
  for (const Mapping& m : now_) Bury(m, time_ns);
  now_.clear();
  Change(time_ns);
}

bool AddressSpace::Replace(std::vector<Mapping> fresh, uint64_t now_ns) {
  bool news = fresh.size() != now_.size();
  read_ns_ = now_ns;
  size_t at = 0;  // sorted both: what ends before a mapping ends before the next one too
  for (Mapping& m : fresh) {
    m.since_ns = cleared_ns_;
    while (at < now_.size() && now_[at].end <= m.begin) at++;
    bool known = false;
    for (size_t i = at; i < now_.size() && now_[i].begin < m.end; i++) {
      if (SameCode(now_[i], m)) {
        // what was found out about it stays true
        if (m.inode || (m.begin == now_[i].begin && m.end == now_[i].end)) {
          m.module = now_[i].module;
          m.offset = now_[i].offset + (m.begin - now_[i].begin);
        }
        m.since_ns = now_[i].since_ns;
        known = known || now_[i].SameAs(m);
      } else {
        m.since_ns = now_ns;
        Change(now_ns);
      }
    }
    news = news || !known;
  }
  // what has gone, or changed hands, stays for the samples of before
  at = 0;
  for (const Mapping& old : now_) {
    while (at < fresh.size() && fresh[at].end <= old.begin) at++;
    if (at == fresh.size() || !Overlap(fresh[at], old) || !SameCode(fresh[at], old)) Bury(old, now_ns);
  }
  now_ = std::move(fresh);
  return news;
}

}  // namespace lowflame
