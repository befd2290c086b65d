// Waits off the CPU: from the records of their programs to samples.
#include <algorithm>

#include "session.h"

namespace lowflame {

// How many frames at the leaf are ours (the program and its trampoline) or the scheduler's own.
size_t Session::SchedulerFrames(const uint64_t* frames, size_t count) const {
  auto scheduler = [this](uint64_t address) {
    for (const KernelRange& r : schedule_ranges_)
      if (r.contains(address - 1)) return true;
    return false;
  };
  constexpr size_t kDeepestTrampoline = 8;
  for (size_t i = 0; i < count && i < kDeepestTrampoline; i++) {
    if (!scheduler(frames[i])) continue;
    while (i < count && scheduler(frames[i])) i++;
    return i;
  }
  return 0;
}

// A wait whose stacks are in `frames`: kernel half, then user half.
Sample Session::MakeWait(const lf_record* r, const uint64_t* frames, uint32_t flags) {
  bool kernel_thread = r->task_flags & 0x00200000;  // PF_KTHREAD
  uint32_t process = interner_->Process(r->tgid, r->start_time_ns, r->leader_comm, kernel_thread);
  Sample out{};
  out.time_ns = static_cast<double>(r->time_ns - std::min<uint64_t>(r->time_ns, start_.start_monotonic_ns));
  out.cpu = r->cpu;
  out.thread = interner_->Thread(r->tid, process, r->comm);
  out.weight_ns = static_cast<double>(r->weight_ns);
  out.duration_ns = static_cast<double>(r->duration_ns);
  out.state = static_cast<uint8_t>(r->state);
  out.syscall = r->syscall;
  RawStack raw;
  size_t skip = SchedulerFrames(frames, r->kernel_frames);
  raw.kernel = frames + skip;
  raw.kernel_frames = r->kernel_frames - skip;
  raw.user = frames + r->kernel_frames;
  raw.user_frames = r->user_frames;
  raw.time_ns = r->time_ns;
  raw.kernel_leaf_is_return = true;
  bool cut = false;
  out.stack = interner_->Stack(process, raw, &cut);
  out.flags = FlagsOf(*r, cut) | flags;
  if (r->futex_kind) NoteFutex(*r, process, &out);
  return out;
}

void Session::EmitWait(const Sample& sample) {
  if (sample.owned) owner_waits_.Watch(sample);
  // without the source offcpu what the owners of locks were off the CPU for, which stands in no other sample
  if (config_.offcpu || owner_waits_.Watched(sample.thread)) Emit(Source::kOffCpu, sample);
  if (!config_.futex) return;
  owner_waits_.Note(sample);
  if (!sample.futex || sample.lock == UINT32_MAX) return;
  if (!sample.owned || !owner_waits_.Hold(sample)) EmitWithOwner(Source::kFutex, Source::kFutexOwners, sample);
}

void Session::EmitHeldWaits(bool all) {
  owner_waits_.PassDone(all,
                        [this](const Sample& sample) { EmitWithOwner(Source::kFutex, Source::kFutexOwners, sample); });
}

void Session::OnOffCpuRecord(const lf_record* r, size_t size) {
  if (size < sizeof(lf_record) + (r->kernel_frames + r->user_frames) * sizeof(uint64_t)) return;
  r = TakeUserHalf(r, &size, sizeof(lf_record) + r->kernel_frames * sizeof(uint64_t));
  const auto* frames = reinterpret_cast<const uint64_t*>(r + 1);
  switch (r->kind) {
    case LF_RECORD_WAIT:
      EmitWait(MakeWait(r, frames, 0));
      return;
    case LF_RECORD_WAIT_STACK:
      if (auto whole = ahead_.OnStack(r->tid, static_cast<uint32_t>(r->seq), MakeWait(r, frames, 0))) EmitWait(*whole);
      return;
    case LF_RECORD_WAIT_END:
      if (auto whole = ahead_.OnEnd(r->tid, static_cast<uint32_t>(r->seq), MakeWait(r, frames, 0))) EmitWait(*whole);
      return;
    default:
      return;
  }
}

}  // namespace lowflame
