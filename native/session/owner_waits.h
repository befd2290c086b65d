// Who held a futex while another thread waited for it may have slept meanwhile: finds the owner's own wait that
// covers most of the waiter's, and so the stack that the owner slept in. Rings are read CPU by CPU, so the owner's wait
// may be read before or after the waiter's: a waiter is held back until the second pass after its own.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <unordered_set>

#include "../core/samples.h"

namespace lowflame {

class OwnerWaits {
 public:
  // The owner of a lock, and who waits for it and may own it next: their waits say what others waited for.
  void Watch(const Sample& wait) {
    if (watched_.size() + 2 > kMaxThreads) return;
    watched_.insert(wait.thread);
    watched_.insert(wait.owner_thread);
  }
  bool Watched(uint32_t thread) const { return watched_.count(thread) != 0; }
  // Any wait of any thread: it may be that of an owner.
  void Note(const Sample& wait) {
    const Wait w{wait.time_ns - wait.duration_ns, wait.time_ns, wait.stack, wait.syscall, wait.state};
    if (waits_.size() >= kMaxThreads && !waits_.count(wait.thread)) waits_.clear();
    Thread& t = waits_[wait.thread];
    t.last[t.next++ % kKept] = w;
    auto held = by_owner_.find(wait.thread);
    if (held == by_owner_.end()) return;
    for (uint64_t serial : held->second) Offer(w, &held_[serial - first_serial_]);
  }
  // A wait whose owner is known. False: too many are held, take it as it is.
  bool Hold(const Sample& wait) {
    if (held_.size() >= kMaxHeld) return false;
    by_owner_[wait.owner_thread].push_back(first_serial_ + held_.size());
    held_.push_back({wait, pass_, 0});
    auto owner = waits_.find(wait.owner_thread);
    if (owner != waits_.end())
      for (const Wait& w : owner->second.last) Offer(w, &held_.back());
    return true;
  }
  // After each pass over all rings; `all` at the end. Calls `emit` with each wait that has been held long enough.
  template <typename Emit>
  void PassDone(bool all, Emit emit) {
    pass_++;
    while (!held_.empty() && (all || held_.front().pass + 1 < pass_)) {
      const Held& first = held_.front();
      auto owner = by_owner_.find(first.sample.owner_thread);
      owner->second.pop_front();
      if (owner->second.empty()) by_owner_.erase(owner);
      emit(first.sample);
      held_.pop_front();
      first_serial_++;
    }
  }

 private:
  static constexpr size_t kKept = 4, kMaxThreads = 16384, kMaxHeld = 16384;
  struct Wait {
    double begin_ns = 0, end_ns = 0;
    uint32_t stack = 0;
    int32_t syscall = -1;
    uint8_t state = 0;
  };
  struct Thread {
    std::array<Wait, kKept> last;
    uint32_t next = 0;
  };
  struct Held {
    Sample sample;
    uint64_t pass;
    double common_ns;
  };

  static void Offer(const Wait& w, Held* held) {
    Sample& s = held->sample;
    double common = std::min(w.end_ns, s.time_ns) - std::max(w.begin_ns, s.time_ns - s.duration_ns);
    if (common <= held->common_ns) return;
    held->common_ns = common;
    s.owner_stack = w.stack;
    s.owner_syscall = w.syscall;
    s.owner_state = w.state;
  }

  std::unordered_set<uint32_t> watched_;
  std::unordered_map<uint32_t, Thread> waits_;
  std::deque<Held> held_;
  uint64_t first_serial_ = 0;  // of held_.front(); they count up
  std::unordered_map<uint32_t, std::deque<uint64_t>> by_owner_;
  uint64_t pass_ = 0;
};

}  // namespace lowflame
