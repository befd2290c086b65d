// User stacks from unwind tables: starts the loader, tells it what samples say, and samples how their stacks ended.
#include <algorithm>
#include <cstring>
#include <utility>

#include "../core/error.h"
#include "session.h"
#include "task_record.h"
#include "user_walk.h"

namespace lowflame {
namespace {

constexpr const char* kMaps[] = {"lf_uw_processes", "lf_uw_files", "lf_uw_tables",
                                 "lf_uw_rules",     "lf_uw_areas", "lf_uw_rings"};
// The start of a recording waits so long at most until the busy processes are known.
constexpr int kReadyMs = 500;
// For the walks of all threads that sleep at the end: a few microseconds each, but their processes' mappings are read,
// and tables that the kernel does not have are built.
constexpr uint64_t kOutsideNs = 1000000000;

}  // namespace

// All objects have the maps of the first one.
void Session::LoadWithUnwinding(Object* object) {
  if (unwind_owner_)
    for (const char* map : kMaps) object->ShareMap(map, unwind_owner_->MapFd(map));
  object->Load();
  if (unwind_owner_ || !config_.unwind) return;
  unwind_owner_ = object;
  UnwindLoader::Config config{};
  config.maps = {object->MapFd(kMaps[0]), object->MapFd(kMaps[1]), object->MapFd(kMaps[2]), object->MapFd(kMaps[3])};
  config.cpus = OnlineCpus();
  config.only = config_.filters.pids;
  if (config_.unwind_bytes) config.table_bytes = config_.unwind_bytes;
  try {
    loader_ = std::make_unique<UnwindLoader>(config);
    young_ = std::make_unique<YoungStacks>(object->MapFd("lf_uw_areas"), object->MapFd("lf_uw_rings"));
  } catch (const Error& e) {
    start_.notes.push_back(std::string("user stacks follow frame pointers: ") + e.what());
  }
}

void Session::WaitForTables() {
  if (loader_ && !loader_->WaitUntilReady(kReadyMs))
    start_.notes.push_back(
        "the recording began before the unwind tables of all busy programs were there: the first stacks may be short");
}

// Flags of a sample: those of its record, and how its user half ended. `cut`: it goes no further than an address in
// nothing that is known, however far the walk went.
uint32_t Session::FlagsOf(const lf_record& r, bool cut) const {
  uint32_t flags = r.flags, end = r.unwind_stop;
  if (cut && flags & LF_USER_WHOLE) {
    flags &= ~LF_USER_WHOLE;
    end = LF_UW_STOP_MAPPING;
  }
  if (!loader_ || !r.user_frames || (end == LF_UW_WHOLE && !(flags & LF_USER_WHOLE))) return flags;
  return flags | (end + 1) << LF_USER_END_SHIFT;
}

// Tells the loader what a record's user half says, which begins at byte `user_at` of its `size`. Returns the record, or
// what is known better of it.
const lf_record* Session::TakeUserHalf(const lf_record* r, size_t* size, size_t user_at) {
  if (!loader_) return r;
  const auto* frames = reinterpret_cast<const uint64_t*>(reinterpret_cast<const char*>(r) + user_at);
  if (r->user_frames) {
    if (r->unwind_stop) loader_->CutShort(r->tgid, r->start_time_ns, r->unwind_stop, frames, r->user_frames);
    loader_->Used(r->tgid, frames, r->user_frames);
  }
  if (!r->copied_ns || !young_) return r;
  NoteTaskRecords();
  return young_->Complete(r, size, user_at, symbolizer_.get());
}

// Names go by who was forked and what was mapped when: before each sample all records up to it.
void Session::NoteTaskRecords() {
  if (!loader_) return;
  TaskLog::ForNames records = loader_->TakeForNames();
  const std::vector<uint32_t>& only = config_.filters.pids;
  for (const TaskEvent& e : records.events)
    if (only.empty() || std::find(only.begin(), only.end(), e.pid) != only.end()) symbolizer_->TaskRecord(e);
  if (std::exchange(task_records_lost_, records.lost) != records.lost) symbolizer_->TaskRecordsLost();
}

void Session::StopLoader() {
  if (!loader_) return;
  loader_->Stop();
  outside_walks_ = loader_->WalksFromOutside(kOutsideNs);
}

// Kernel half, then user half, of a thread that sleeps; notes in its record how the walk went.
std::vector<uint64_t> Session::BothStacks(TaskRecord* t) {
  lf_record& r = t->task.h;
  std::vector<uint64_t> frames(t->frames, t->frames + r.kernel_frames);
  const lf_task& task = t->task;
  r.user_frames = 0;
  if (!task.user_ip) return frames;
  std::vector<uint64_t> user;
  if (outside_walks_) {
    StackWalk walk = outside_walks_->Walk({r.tgid, r.tid, r.start_time_ns, {task.user_ip, task.user_sp, task.user_bp}});
    r.unwind_stop = static_cast<uint8_t>(walk.stop);
    if (walk.stop == LF_UW_WHOLE) r.flags |= LF_USER_WHOLE;
    user = std::move(walk.frames);
  }
  if (user.empty())
    user = WalkUserStack(static_cast<pid_t>(r.tid), task.user_ip, task.user_sp, task.user_bp, LF_MAX_FRAMES);
  r.user_frames = static_cast<uint16_t>(user.size());
  if (user.size() >= LF_MAX_FRAMES && !(r.flags & LF_USER_WHOLE)) r.flags |= LF_USER_TRUNCATED;
  frames.insert(frames.end(), user.begin(), user.end());
  return frames;
}

void Session::CollectUnwinding() {
  if (!loader_) return;
  const UnwindLoader::Facts facts = loader_->Now();
  final_.unwinding = UnwindingFacts{facts.processes, facts.tables,        facts.table_bytes,      facts.build_ns,
                                    facts.reread,    facts.files_without, facts.files_unreadable, facts.rows_left_out};
  final_.kernel_bytes += facts.table_bytes + facts.rings_bytes;
  if (young_)
    final_.losses.push_back({"unwind.copies_dropped", young_->copies()->dropped(),
                             "stacks of programs too young to be known that found no room to be copied: cut short"});
  for (const UnwindLoader::Loss& l : loader_->Losses()) final_.losses.push_back({l.id, l.count, l.meaning});
}

}  // namespace lowflame
