// Puts a walk in the place of a record's user half: see young_stacks.h.
#include "young_stacks.h"

#include <cstring>

namespace lowflame {

const lf_record* YoungStacks::Complete(const lf_record* r, size_t* size, size_t user_at, Symbolizer* symbolizer) {
  const std::optional<StackCopy> copy = copies_.Take(r->tid, r->copied_ns);
  if (!copy) return r;
  if (!walks_) walks_.emplace(symbolizer);
  const std::optional<StackWalk> walk = walks_->Walk(r->tgid, r->start_time_ns, r->copied_ns, *copy);
  if (!walk) return r;
  const auto* bytes = reinterpret_cast<const char*>(r);
  const size_t before = r->user_frames * sizeof(uint64_t), now = walk->frames.size() * sizeof(uint64_t);
  const size_t behind = *size - user_at - before;
  completed_.resize((user_at + now + behind + sizeof(uint64_t) - 1) / sizeof(uint64_t));
  auto* to = reinterpret_cast<char*>(completed_.data());
  memcpy(to, bytes, user_at);
  memcpy(to + user_at, walk->frames.data(), now);
  memcpy(to + user_at + now, bytes + user_at + before, behind);
  *size = user_at + now + behind;
  auto* out = reinterpret_cast<lf_record*>(to);
  out->user_frames = static_cast<uint16_t>(walk->frames.size());
  out->unwind_stop = static_cast<uint8_t>(walk->stop);
  constexpr uint16_t kEnds = LF_USER_TRUNCATED | LF_USER_UNREADABLE | LF_USER_WHOLE;
  out->flags = static_cast<uint16_t>(out->flags & ~kEnds);
  if (walk->stop == LF_UW_STOP_DEPTH) out->flags |= LF_USER_TRUNCATED;
  if (walk->stop == LF_UW_WHOLE) out->flags |= LF_USER_WHOLE;
  return out;
}

}  // namespace lowflame
