// The kernel's slow paths of locks, by name: see lock_paths.h.
#include "lock_paths.h"

#include <algorithm>
#include <string_view>

#include "../../bpf/events.h"

namespace lowflame {
namespace {

struct Named {
  std::string_view name;
  uint32_t kind;
};
// Where contention_begin is told and the thread goes to sleep: kernel/locking/. The last ones are a real-time kernel's.
constexpr Named kSlowPaths[] = {
    {"__mutex_lock", LF_LOCK_MUTEX},
    {"__mutex_lock_common", LF_LOCK_MUTEX},
    {"__ww_mutex_lock", LF_LOCK_MUTEX},
    {"rwsem_down_read_slowpath", LF_LOCK_RWSEM_READ},
    {"rwsem_down_write_slowpath", LF_LOCK_RWSEM_WRITE},
    {"percpu_rwsem_wait", LF_LOCK_PERCPU_READ},
    {"rt_mutex_slowlock", LF_LOCK_RT},
    {"__rt_mutex_slowlock", LF_LOCK_RT},
    {"__rt_mutex_slowlock_locked", LF_LOCK_RT},
    {"rtlock_slowlock", LF_LOCK_RT},
    {"rtlock_slowlock_locked", LF_LOCK_RT},
    {"__rwbase_read_lock", LF_LOCK_RT},
    {"rwbase_write_lock", LF_LOCK_RT},
};
// What calls __schedule for a thread that goes to sleep, and what may stand between that and a slow path.
constexpr std::string_view kScheduler[] = {"schedule", "schedule_rtlock"};
constexpr std::string_view kBetween[] = {"schedule_preempt_disabled", "rt_mutex_schedule", "rt_mutex_slowlock_block",
                                         "io_schedule"};
constexpr std::string_view kPercpuWrite = "percpu_down_write";
constexpr std::string_view kText = "__sched_text_start", kTextEnd = "__sched_text_end";

bool AnyContains(const std::vector<KernelRange>& ranges, uint64_t return_address) {
  // the call may be a function's last instruction
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const KernelRange& r) { return r.contains(return_address - 1); });
}

}  // namespace

void LockPaths::Read(const KernelFunctions& functions) {
  std::vector<std::string_view> names;
  for (const Named& n : kSlowPaths) names.push_back(n.name);
  for (std::string_view name : kScheduler) names.push_back(name);
  for (std::string_view name : kBetween) names.push_back(name);
  for (std::string_view name : {kPercpuWrite, kText, kTextEnd}) names.push_back(name);
  const std::vector<std::vector<KernelRange>> ranges = functions.Clones(names);
  const auto* next = ranges.data();
  for (const Named& n : kSlowPaths)
    for (const KernelRange& r : *next++) slow_paths_.push_back({r, n.kind});
  auto add = [](std::vector<KernelRange>* to, const std::vector<KernelRange>& from) {
    to->insert(to->end(), from.begin(), from.end());
  };
  for (size_t i = 0; i < std::size(kScheduler); i++) add(&scheduler_, *next++);
  for (size_t i = 0; i < std::size(kBetween); i++) add(&between_, *next++);
  add(&percpu_write_, *next++);
  if (!next[0].empty() && !next[1].empty()) text_ = {next[0][0].begin, next[1][0].begin};
}

const LockPaths::SlowPath* LockPaths::SlowPathAt(uint64_t return_address) const {
  auto path = std::find_if(slow_paths_.begin(), slow_paths_.end(),
                           [&](const SlowPath& p) { return p.range.contains(return_address - 1); });
  return path == slow_paths_.end() ? nullptr : &*path;
}

int LockPaths::ReturnPlace(const lf_task& task) const {
  for (size_t i = 0; i < LF_SCHED_WORDS && task.sched_word[i]; i++)
    if (AnyContains(scheduler_, task.sched_word[i])) return task.sched_at[i];
  return -1;
}

std::optional<LockPaths::Wait> LockPaths::WaitOf(const TaskRecord& t, int place) const {
  const lf_task& task = t.task;
  size_t i = 0;
  while (i < LF_SCHED_WORDS && task.sched_word[i] && task.sched_at[i] != place) i++;
  if (i >= LF_SCHED_WORDS || !AnyContains(scheduler_, task.sched_word[i])) return std::nullopt;
  // those frames hold a few saved registers only, so what follows is who called
  for (i++; i < LF_SCHED_WORDS && AnyContains(between_, task.sched_word[i]);) i++;
  const uint64_t caller = i < LF_SCHED_WORDS ? task.sched_word[i] : 0;
  const uint64_t* frames = t.frames;
  const size_t count = task.h.kernel_frames;
  // not every kernel counts percpu_rwsem_wait among its __sched functions; then it is in the stack
  size_t skip = 0;
  while (skip < count && text_.contains(frames[skip] - 1)) skip++;
  if (const SlowPath* path = skip < count ? SlowPathAt(frames[skip]) : nullptr) {
    const bool write = path->kind == LF_LOCK_PERCPU_READ && AnyContains(percpu_write_, caller);
    return Wait{write ? uint32_t{LF_LOCK_PERCPU_WRITE} : path->kind, 0, skip + 1 < count ? frames[skip + 1] : 0};
  }
  const SlowPath* path = SlowPathAt(caller);
  if (!path) return std::nullopt;
  uint32_t kind = path->kind;
  if (kind == LF_LOCK_PERCPU_READ)
    for (size_t k = i + 1; k < LF_SCHED_WORDS && task.sched_word[k]; k++)
      if (AnyContains(percpu_write_, task.sched_word[k])) kind = LF_LOCK_PERCPU_WRITE;
  return Wait{kind, caller, skip < count ? frames[skip] : 0};
}

}  // namespace lowflame
