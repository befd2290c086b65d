// BPF statistics in windows: see statistics.h.
#include "statistics.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <utility>

#include "machine.h"

namespace lowflame {
namespace {

// The period is no round number: what happens once a second would be in every window, or in none. To switch them on or
// off changes the text of the kernel, which all CPUs must take note of.
constexpr uint64_t kFirstWindowNs = 5000000000, kPeriodNs = 1037000000;
constexpr uint64_t kSeldomFromNs = 60000000000, kSeldomNs = 4148000000;
constexpr size_t kProgramsALook = 100;
// Within the first window so often: what a program did that is unloaded before the next look is lost.
constexpr uint64_t kLookNs = 1000000000;

uint64_t Minus(uint64_t a, uint64_t b) {
  return a > b ? a - b : 0;
}

std::map<uint32_t, OtherProgramRaw> ReadAll() {
  std::map<uint32_t, OtherProgramRaw> all;
  for (OtherProgramRaw& p : ReadOtherPrograms({})) {
    const uint32_t id = p.id;
    all.emplace(id, std::move(p));
  }
  return all;
}

}  // namespace

bool Statistics::Start(uint64_t now_ns, uint64_t tick_ns) {
  tick_ns_ = tick_ns;
  start_ns_ = now_ns;
  Open(now_ns);
  for (const auto& [id, p] : before_) missed_at_start_[id] = p.recursion_misses;
  return on_ || ReadSmallFile("/proc/sys/kernel/bpf_stats_enabled").compare(0, 1, "1") == 0;
}

void Statistics::Open(uint64_t now_ns) {
  on_ = UniqueFd(bpf_enable_stats(BPF_STATS_RUN_TIME));
  opened_ns_ = looked_ns_ = now_ns;
  before_ = ReadAll();
}

void Statistics::Look(uint64_t now_ns) {
  std::map<uint32_t, OtherProgramRaw> now = ReadAll();
  for (const auto& [id, p] : now) {
    auto before = before_.find(id);
    const OtherProgramRaw none;
    const OtherProgramRaw& from = before == before_.end() ? none : before->second;
    auto [row, fresh] = sum_.emplace(id, Sum{p, {}, {}});
    Work& work = first_ns_ ? row->second.later : row->second.first;
    work.runs += Minus(p.runs, from.runs);
    work.ns += Minus(p.ns, from.ns);
    // these are counted whether the statistics are on or off
    row->second.program.recursion_misses = Minus(p.recursion_misses, missed_at_start_[id]);
  }
  before_ = std::move(now);
  looked_ns_ = now_ns;
}

void Statistics::Close(uint64_t now_ns) {
  Look(now_ns);
  on_.reset();
  (first_ns_ ? later_ns_ : first_ns_) += std::max(Minus(now_ns, opened_ns_), uint64_t{1});
  opened_ns_ = 0;
}

void Statistics::Tick(uint64_t now_ns) {
  const uint64_t since = now_ns - start_ns_;
  // a window begins and ends with a look at every program: where there are hundreds they come less often
  const uint64_t period = (since < kSeldomFromNs ? kPeriodNs : kSeldomNs) * (1 + before_.size() / kProgramsALook);
  const bool wanted = since < kFirstWindowNs || since % period < tick_ns_;
  if (wanted && !opened_ns_) Open(now_ns);
  if (!wanted && opened_ns_) Close(now_ns);
  if (opened_ns_ && now_ns - looked_ns_ >= kLookNs) Look(now_ns);
}

std::map<uint32_t, OtherProgramRaw> Statistics::Stop(uint64_t now_ns) {
  if (!opened_ns_) opened_ns_ = now_ns, before_ = ReadAll();
  Close(now_ns);
  const auto whole = static_cast<double>(now_ns - start_ns_), first = static_cast<double>(first_ns_),
             later = static_cast<double>(later_ns_);
  // less than a period after the first window there need be none but the one above, which has no length
  const bool any = later_ns_ > 1;
  const double of_first = any ? 1 : whole / first, of_later = any ? (whole - first) / later : 0;
  auto sum = [&](uint64_t a, uint64_t b) {
    return static_cast<uint64_t>(static_cast<double>(a) * of_first + static_cast<double>(b) * of_later);
  };
  std::map<uint32_t, OtherProgramRaw> programs;
  for (auto& [id, s] : sum_) {
    s.program.runs = sum(s.first.runs, s.later.runs);
    s.program.ns = sum(s.first.ns, s.later.ns);
    programs.emplace(id, std::move(s.program));
  }
  return programs;
}

}  // namespace lowflame
