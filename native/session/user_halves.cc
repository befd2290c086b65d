// Which user half belongs to which CPU sample: see docs/how-it-works.md, "CPU samples".
#include <algorithm>

#include "session.h"

namespace lowflame {
namespace {

// Two events of a group fire one after the other. What is further apart may be in another call of the same function.
constexpr uint64_t kSameMomentNs = 1000000;

}  // namespace

// Of the timer's program: written a moment before its sample, in the same interrupt, so between the sample before and
// this one. nullptr if it did not come.
const Session::UserHalf* Session::HalfOfTimer(CpuState* cpu, const PerfSample& s) {
  size_t& next = cpu->halves_done;
  while (next < cpu->halves.size() && cpu->halves[next].h.time_ns <= cpu->last_sample_ns) next++, halves_orphaned_++;
  cpu->last_sample_ns = s.time_ns;
  const UserHalf* half = nullptr;
  while (next < cpu->halves.size() && cpu->halves[next].h.time_ns <= s.time_ns) {
    if (half) halves_orphaned_++;
    half = &cpu->halves[next++];
  }
  const bool exiting = s.tid == UINT32_MAX;
  if (half && half->h.tid != s.tid && s.tid != 0 && !exiting) {
    halves_orphaned_++;
    return nullptr;
  }
  return half;
}

// Of the program on another event of the group, which fires before the sample's or after it, by a little: it is the
// sample's if the thread has not been in user space in between. Then both begin at the same user address. nullptr if
// there is none.
const Session::UserHalf* Session::HalfOfSameMoment(CpuState* cpu, const PerfDrain& drain, const PerfSample& s) {
  cpu->last_sample_ns = s.time_ns;
  const bool exiting = s.tid == UINT32_MAX, outside = s.tid == 0 && s.user_length;
  const uint64_t leaf = s.user_length ? drain.addresses[s.user_begin] : 0;
  UserHalf* nearest = nullptr;
  uint64_t least = kSameMomentNs;
  for (UserHalf& half : cpu->halves) {
    const uint64_t apart =
        std::max(uint64_t{half.h.time_ns}, s.time_ns) - std::min(uint64_t{half.h.time_ns}, s.time_ns);
    if (apart > least || half.used || (half.h.tid != s.tid && !exiting && !outside)) continue;
    if ((half.h.user_frames ? cpu->half_frames[half.begin] : 0) != leaf) continue;
    nearest = &half;
    least = apart;
  }
  if (nearest) nearest->used = true;
  return nearest;
}

// Halves whose sample is still to come stay for the next drain.
void Session::ForgetHalves(CpuState* cpu) {
  size_t done = cpu->halves_done;
  if (!user_half_by_timer_)
    for (; done < cpu->halves.size() && cpu->halves[done].h.time_ns + kSameMomentNs < cpu->last_sample_ns; done++)
      if (!cpu->halves[done].used) halves_orphaned_++;
  cpu->halves_done = 0;
  cpu->halves.erase(cpu->halves.begin(), cpu->halves.begin() + static_cast<long>(done));
  if (cpu->halves.empty()) {
    cpu->half_frames.clear();
    return;
  }
  const uint32_t first = cpu->halves.front().begin;
  cpu->half_frames.erase(cpu->half_frames.begin(), cpu->half_frames.begin() + first);
  for (UserHalf& h : cpu->halves) h.begin -= first;
}

}  // namespace lowflame
