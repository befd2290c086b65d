// BPF statistics in windows: see statistics.h.
#include "statistics.h"

#include <bpf/bpf.h>

#include <utility>

#include "machine.h"

namespace lowflame {
namespace {

// the period is no round number: what happens once a second would be in every window, or in none
constexpr uint64_t kFirstWindowNs = 5000000000, kPeriodNs = 1037000000;
constexpr size_t kProgramsALook = 100;

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
  opened_ns_ = now_ns;
  before_ = ReadAll();
}

void Statistics::Close(uint64_t now_ns) {
  for (auto& [id, p] : ReadAll()) {
    auto before = before_.find(id);
    const OtherProgramRaw none;
    const OtherProgramRaw& from = before == before_.end() ? none : before->second;
    auto [row, fresh] = sum_.emplace(id, p);
    if (fresh) row->second.runs = row->second.ns = 0;
    row->second.runs += Minus(p.runs, from.runs);
    row->second.ns += Minus(p.ns, from.ns);
    // these are counted whether the statistics are on or off
    row->second.recursion_misses = Minus(p.recursion_misses, missed_at_start_[id]);
  }
  on_.reset();
  on_ns_ += Minus(now_ns, opened_ns_);
  opened_ns_ = 0;
}

void Statistics::Tick(uint64_t now_ns) {
  const uint64_t since = now_ns - start_ns_;
  // a window begins and ends with a look at every program: where there are hundreds they come less often
  const uint64_t period = kPeriodNs * (1 + before_.size() / kProgramsALook);
  const bool wanted = since < kFirstWindowNs || since % period < tick_ns_;
  if (wanted && !opened_ns_) Open(now_ns);
  if (!wanted && opened_ns_) Close(now_ns);
}

std::map<uint32_t, OtherProgramRaw> Statistics::Stop(uint64_t now_ns) {
  if (!opened_ns_) opened_ns_ = now_ns, before_ = ReadAll();
  Close(now_ns);
  const double scale = on_ns_ ? static_cast<double>(now_ns - start_ns_) / static_cast<double>(on_ns_) : 1;
  for (auto& [id, p] : sum_) {
    p.runs = static_cast<uint64_t>(static_cast<double>(p.runs) * scale);
    p.ns = static_cast<uint64_t>(static_cast<double>(p.ns) * scale);
  }
  return std::move(sum_);
}

}  // namespace lowflame
