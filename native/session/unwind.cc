// User stacks from unwind tables: starts the loader, tells it what samples say, counts how stacks ended.
#include <array>

#include "../core/error.h"
#include "session.h"

namespace lowflame {
namespace {

constexpr const char* kMaps[] = {"lf_uw_processes", "lf_uw_files", "lf_uw_tables", "lf_uw_rules"};
// The start of a recording waits so long at most until the busy processes are known.
constexpr int kReadyMs = 500;

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
  } catch (const Error& e) {
    start_.notes.push_back(std::string("user stacks follow frame pointers: ") + e.what());
  }
}

void Session::WaitForTables() {
  if (loader_ && !loader_->WaitUntilReady(kReadyMs))
    start_.notes.push_back(
        "the recording began before the unwind tables of all busy programs were there: the first stacks may be short");
}

void Session::NoteUserHalf(const lf_record& r, const uint64_t* frames) {
  if (!loader_ || !r.user_frames) return;
  if (r.unwind_stop) loader_->CutShort(r.tgid, r.start_time_ns, r.unwind_stop, frames[r.user_frames - 1]);
  loader_->Used(r.tgid, frames, r.user_frames);
}

void Session::CollectUnwinding() {
  if (!loader_) return;
  using Ends = std::array<uint64_t, LF_UW_STOPS>;
  std::map<std::string, Ends> sources;
  auto add = [&](const char* source, const lf_uw_walks& walks) {
    Ends& ends = sources[source];
    for (size_t i = 0; i < ends.size(); i++) ends[i] += walks.stop[i];
  };
  for (auto& [cpu, state] : cpus_) {
    if (cpu_object_ && user_half_by_timer_)
      if (const auto* a = cpu_object_->AreaOf<lf_cpu_area>(cpu)) add("cpu", a->unwind);
    if (off_object_)
      if (const auto* a = off_object_->AreaOf<lf_off_area>(cpu)) add("offcpu", a->unwind);
    if (call_object_)
      if (const auto* a = call_object_->AreaOf<lf_call_area>(cpu)) add("sockets", a->unwind);
    if (!lock_object_) continue;
    if (const auto* a = lock_object_->AreaOf<lf_lock_area>(cpu)) {
      add("locks", a->begin_unwind);
      add("locks", a->end_unwind);
    }
  }
  for (const auto& [source, ends] : sources)
    for (uint32_t end = 0; end < LF_UW_STOPS; end++)
      if (ends[end]) final_.user_stack_ends.push_back({source, end, ends[end]});
  const UnwindLoader::Facts facts = loader_->Now();
  final_.unwinding = UnwindingFacts{facts.processes, facts.tables,        facts.table_bytes,      facts.build_ns,
                                    facts.reread,    facts.files_without, facts.files_unreadable, facts.rows_left_out};
  final_.kernel_bytes += facts.table_bytes + facts.rings_bytes;
  for (const UnwindLoader::Loss& l : loader_->Losses()) final_.losses.push_back({l.id, l.count, l.meaning});
}

}  // namespace lowflame
