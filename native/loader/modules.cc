// Bounds: kernel memory for tables, ids, files remembered. See modules.h.
#include "modules.h"

#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>

#include "../core/page.h"
#include "../kernel/machine.h"
#include "../symbols/file_owner.h"
#include "../symbols/mapped_file.h"
#include "../symbols/rooted_open.h"

namespace lowflame {
namespace {

constexpr size_t kMaxIdentities = 65536;
// A table in use is not thrown out for another one, and one that found no room is not built again and again.
constexpr uint64_t kInUseNs = 1000000000ull, kRefusedNs = 5000000000ull;
// Tables wait together for the kernel, but not too many: they are copies.
constexpr uint64_t kMaxWaiting = 8 << 20;

uint64_t BytesOf(const UnwindTable& t) {
  return (t.words.size() * sizeof(uint32_t) + kPage - 1) / kPage * kPage;
}

}  // namespace

UnwindTable BuildVdsoTable(UnwindRules* rules) {
  const uint64_t at = getauxval(AT_SYSINFO_EHDR);
  std::vector<Mapping> own;
  ReadExecutableMappings(static_cast<uint32_t>(getpid()), &own);
  for (const Mapping& m : own)
    if (at && m.begin == at)
      return BuildUnwindTableFromImage(reinterpret_cast<const char*>(at), m.end - m.begin, rules);
  return UnwindTable();
}

UnwindModules::UnwindModules(UnwindMaps* maps, uint64_t budget_bytes) : maps_(maps), budget_(budget_bytes) {
  by_id_.resize(maps->max_tables());
  // id 0 means none; small ids first
  for (uint32_t id = maps->max_tables(); id-- > 1;) free_ids_.push_back(id);
  no_module_.failed = true;
}

UnwindModules::Module* UnwindModules::NewModule() {
  if (free_ids_.empty()) {
    counts_.no_id++;
    return nullptr;
  }
  modules_.push_back(std::make_unique<Module>());
  Module* m = modules_.back().get();
  m->id = free_ids_.back();
  free_ids_.pop_back();
  by_id_[m->id] = m;
  return m;
}

// The file of a mapping, opened if it is seen for the first time. nullptr: it may have better luck next time.
UnwindModules::Module* UnwindModules::ModuleOf(uint32_t pid, const Mapping& mapping) {
  const std::string identity = IdentityOf(pid, mapping);
  if (auto known = by_identity_.find(identity); known != by_identity_.end()) return known->second;
  const UniqueFd fd = OpenMapped(pid, mapping);
  if (!fd) {
    counts_.unreadable++;
    return nullptr;
  }
  if (by_identity_.size() >= kMaxIdentities) by_identity_.clear();  // a short cut only: contents stay
  std::vector<ElfSegment> segments = ExecutableSegments(fd.get());
  if (segments.empty()) {
    counts_.without++;
    return by_identity_[identity] = &no_module_;
  }
  // the same library in another container
  const std::string content = ContentOf(fd.get(), ReadBuildId(fd.get()));
  if (!content.empty())
    if (auto known = by_content_.find(content);
        known != by_content_.end() && !HasChanged(known->second->identity, identity))
      return by_identity_[identity] = known->second;
  Module* module = NewModule();
  if (!module) return nullptr;
  module->segments = std::move(segments);
  module->identity = identity;
  if (!content.empty()) by_content_[content] = module;
  return by_identity_[identity] = module;
}

UnwindModules::Placed UnwindModules::Place(uint32_t pid, const Mapping& mapping, Want want) {
  const Backing backing = mapping.backing();
  if (backing == Backing::kVdso) {
    if (!vdso_) {
      vdso_ = NewModule();
      if (!vdso_) vdso_ = &no_module_;
    }
    Queue(vdso_, pid, mapping, want);
    return {vdso_->id, mapping.begin};
  }
  if (backing != Backing::kFile && backing != Backing::kMemory) return {};
  Module* module = ModuleOf(pid, mapping);
  if (!module || module->failed) return {};
  const ElfSegment* segment = SegmentOf(module->segments, mapping.offset);
  if (!segment) return {};
  Queue(module, pid, mapping, want);
  return {module->id, mapping.begin - mapping.offset + segment->offset - segment->address};
}

void UnwindModules::Queue(Module* module, uint32_t pid, const Mapping& mapping, Want want) {
  if (module->failed || module->bytes || (module->want && *module->want >= want)) return;
  // what was built in vain before is not built again for nothing
  if (module->refused_ns && MonotonicNs() - module->refused_ns < kRefusedNs) return;
  if (want != Want::kNow && bytes_ + module->would_take > budget_ && module->would_take) return;
  module->want = want;
  module->pid = pid;
  module->mapping = mapping;
  queues_[static_cast<size_t>(want)].push_back(module);
}

std::optional<UnwindModules::Want> UnwindModules::Build(uint64_t until_ns, bool with_later) {
  for (Want want : {Want::kNow, Want::kFirst, Want::kSoon, Want::kLater}) {
    std::deque<Module*>& queue = queues_[static_cast<size_t>(want)];
    if (want == Want::kLater && !with_later) break;
    while (!queue.empty()) {
      if (MonotonicNs() >= until_ns || waiting_bytes_ > kMaxWaiting) {
        Flush();
        return want;
      }
      Module* module = queue.front();
      queue.pop_front();
      if (module->want == want) BuildOne(module, want);
    }
  }
  Flush();
  return std::nullopt;
}

// Nothing where the file cannot be opened.
std::optional<UnwindTable> UnwindModules::Make(const Module* module, uint32_t pid, const Mapping& mapping) {
  const uint64_t begin = MonotonicNs();
  UnwindTable built;
  if (module == vdso_) {
    built = BuildVdsoTable(&rules_);
  } else {
    const UniqueFd fd = OpenMapped(pid, mapping);
    if (!fd) {
      counts_.unreadable++;
      return std::nullopt;
    }
    const UniqueFd root = OpenRoot(pid);
    built = BuildUnwindTable(fd.get(), &rules_, root.get());
  }
  counts_.built++;
  counts_.build_ns += MonotonicNs() - begin;
  return built;
}

UnwindTable UnwindModules::TableOf(uint32_t id, uint32_t pid, const Mapping& mapping) {
  UnwindTable table;
  if (Failed(id)) return table;
  Module* module = by_id_[id];
  if (module->bytes && !module->waiting && maps_->GetTable(id, &table.file, &table.words)) return table;
  std::optional<UnwindTable> built = Make(module, pid, mapping);
  if (!built) return UnwindTable();
  if (built->words.empty()) Fail(module);
  return std::move(*built);
}

void UnwindModules::BuildOne(Module* module, Want want) {
  module->want.reset();
  if (module->bytes || module->failed) return;
  std::optional<UnwindTable> made = Make(module, module->pid, module->mapping);
  if (!made) return;
  UnwindTable& built = *made;
  if (built.words.empty()) return Fail(module);
  const uint64_t bytes = BytesOf(built);
  module->would_take = bytes;
  if (!MakeRoom(bytes, want)) {
    if (want == Want::kNow) {
      module->refused_ns = MonotonicNs();
      counts_.over_budget++;
    } else if (!module->counted) {
      counts_.left_out++;
      module->counted = true;
    }
    return;
  }
  module->bytes = bytes;
  module->waiting = true;
  if (want == Want::kNow) module->used_ns = MonotonicNs();
  bytes_ += bytes;
  waiting_bytes_ += bytes;
  counts_.rows_left_out += built.rows_left_out;
  waiting_.push_back({module, std::move(built)});
}

// Throws out what was used longest ago, but nothing that is in use.
bool UnwindModules::MakeRoom(uint64_t bytes, Want want) {
  if (bytes_ + bytes <= budget_) return true;
  if (want != Want::kNow || bytes > budget_) return false;
  const uint64_t now = MonotonicNs();
  std::vector<Module*> oldest;
  for (Module* m : by_id_)
    if (m && m->bytes && !m->waiting && (!m->used_ns || now - m->used_ns >= kInUseNs)) oldest.push_back(m);
  std::sort(oldest.begin(), oldest.end(), [](const Module* a, const Module* b) { return a->used_ns < b->used_ns; });
  uint64_t freed = 0;
  size_t count = 0;
  while (count < oldest.size() && bytes_ + bytes > budget_ + freed) freed += oldest[count++]->bytes;
  if (bytes_ + bytes > budget_ + freed) return false;
  std::vector<uint32_t> ids;
  for (size_t i = 0; i < count; i++) {
    ids.push_back(oldest[i]->id);
    oldest[i]->bytes = 0;
  }
  maps_->RemoveTables(ids);
  bytes_ -= freed;
  counts_.evicted += count;
  counts_.tables -= count;
  counts_.bytes = bytes_ - waiting_bytes_;
  return true;
}

// Its id stays, without a table, until nobody has it any more.
void UnwindModules::Fail(Module* module) {
  module->failed = true;
  counts_.without++;
  failed_ids_.push_back(module->id);
}

void UnwindModules::Flush() {
  if (waiting_.empty()) return;
  const std::vector<lf_uw_rule>& rules = rules_.rules();
  counts_.rules_dropped = rules_.dropped();
  bool there = true;
  if (rules.size() > rules_written_) {
    there = maps_->PutRules(static_cast<uint32_t>(rules_written_), rules.data() + rules_written_,
                            rules.size() - rules_written_);
    if (there) rules_written_ = rules.size();
  }
  std::vector<UnwindMaps::Table> tables;
  for (const Waiting& w : waiting_) tables.push_back({w.module->id, w.table.file, &w.table.words});
  const std::vector<bool> put = there ? maps_->PutTables(tables) : std::vector<bool>(tables.size());
  for (size_t i = 0; i < waiting_.size(); i++) {
    Module* m = waiting_[i].module;
    m->waiting = false;
    if (put[i]) {
      counts_.tables++;
      continue;
    }
    bytes_ -= m->bytes;
    m->bytes = 0;
    m->refused_ns = MonotonicNs();
    counts_.refused++;
  }
  waiting_.clear();
  waiting_bytes_ = 0;
  counts_.bytes = bytes_;
}

void UnwindModules::Used(uint32_t table, uint64_t now_ns) {
  if (table < by_id_.size() && by_id_[table]) by_id_[table]->used_ns = now_ns;
}

std::vector<uint32_t> UnwindModules::TakeFailed() {
  return std::exchange(failed_ids_, {});
}

void UnwindModules::Recycle(const std::vector<bool>& held) {
  std::vector<uint32_t> ids;
  for (Module* m : by_id_)
    if (m && m != vdso_ && !m->waiting && !held[m->id]) ids.push_back(m->id);
  std::vector<uint32_t> loaded;
  std::vector<bool> gone(by_id_.size());
  for (uint32_t id : ids) {
    gone[id] = true;
    if (by_id_[id]->bytes) {
      loaded.push_back(id);
      bytes_ -= by_id_[id]->bytes;
    }
  }
  maps_->RemoveTables(loaded);
  counts_.tables -= loaded.size();
  counts_.bytes = bytes_ - waiting_bytes_;
  auto forget = [&](auto& index) {
    for (auto it = index.begin(); it != index.end();)
      it = it->second->id && gone[it->second->id] ? index.erase(it) : std::next(it);
  };
  forget(by_identity_);
  forget(by_content_);
  for (std::deque<Module*>& queue : queues_)
    queue.erase(std::remove_if(queue.begin(), queue.end(), [&](const Module* m) { return gone[m->id]; }), queue.end());
  for (uint32_t id : ids) {
    by_id_[id] = nullptr;
    free_ids_.push_back(id);
  }
  modules_.erase(
      std::remove_if(modules_.begin(), modules_.end(), [&](const std::unique_ptr<Module>& m) { return gone[m->id]; }),
      modules_.end());
}

}  // namespace lowflame
