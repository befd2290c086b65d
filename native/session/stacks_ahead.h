// Joins stacks that were sent ahead with the waits that follow: at switch-out (kernels without sched_exit_tp), and
// where a wait for a lock begins. A thread that resumes on another CPU sends the two through different rings, which are
// read one after the other: either may come first.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>

#include "../../bpf/events.h"
#include "../core/samples.h"

namespace lowflame {

class StacksAhead {
 public:
  // `seq` is unique among the waits in flight. Returns the whole sample once both halves have come.
  std::optional<Sample> OnStack(uint32_t tid, uint32_t seq, const Sample& stack) {
    Half* end = Find(&ends_, tid, seq);
    if (!end) {
      Keep(&stacks_, tid, seq, stack);
      return std::nullopt;
    }
    Sample whole = Join(stack, end->sample);
    ends_.erase(Key(tid, seq));
    return whole;
  }
  std::optional<Sample> OnEnd(uint32_t tid, uint32_t seq, const Sample& end) {
    Half* stack = Find(&stacks_, tid, seq);
    if (!stack) {
      Keep(&ends_, tid, seq, end);
      return std::nullopt;
    }
    Sample whole = Join(stack->sample, end);
    stacks_.erase(Key(tid, seq));
    return whole;
  }
  // After each pass over all rings: an end whose stack has not come by the pass after it has lost it.
  void PassDone() {
    pass_++;
    for (auto it = ends_.begin(); it != ends_.end();) {
      if (it->second.pass + 1 < pass_) {
        orphaned_++;
        it = ends_.erase(it);
      } else {
        ++it;
      }
    }
  }
  // Halves given up. Stacks of waits that are still going on do not count: those are charged at the end.
  uint64_t orphaned() const { return orphaned_; }

 private:
  static constexpr size_t kMaxHalves = 65536;
  struct Half {
    Sample sample;
    uint64_t pass;
  };
  using Halves = std::unordered_map<uint64_t, Half>;
  static uint64_t Key(uint32_t tid, uint32_t seq) { return static_cast<uint64_t>(tid) << 32 | seq; }
  static Half* Find(Halves* halves, uint32_t tid, uint32_t seq) {
    auto it = halves->find(Key(tid, seq));
    return it == halves->end() ? nullptr : &it->second;
  }
  void Keep(Halves* halves, uint32_t tid, uint32_t seq, const Sample& sample) {
    if (halves->size() >= kMaxHalves) {
      orphaned_++;
      return;
    }
    halves->insert_or_assign(Key(tid, seq), Half{sample, pass_});
  }
  static Sample Join(const Sample& stack, const Sample& end) {
    Sample whole = end;
    whole.thread = stack.thread;
    whole.stack = stack.stack;
    whole.syscall = stack.syscall;
    whole.flags = stack.flags | (end.flags & LF_GIVEN_UP);
    // a lock's owner comes with the stack, a futex's with the end
    if (!end.futex) {
      whole.owned = stack.owned;
      whole.owner_thread = stack.owner_thread;
      whole.owner_stack = stack.owner_stack;
    }
    return whole;
  }

  Halves stacks_, ends_;
  uint64_t pass_ = 0, orphaned_ = 0;
};

}  // namespace lowflame
