// Tables are built from the files that the symbolizer holds open, and kept within a bound. See copied_walks.h.
#include "copied_walks.h"

#include <sys/stat.h>

#include "../core/page.h"
#include "modules.h"

namespace lowflame {
namespace {

// Beyond it all tables go before the next walk.
constexpr uint64_t kMaxCopiedTableBytes = 32 << 20;
// The drain waits while a table is built, and node's of 90 MB takes 20 ms.
constexpr off_t kMostFileBytes = 256 << 20;

}  // namespace

std::optional<StackWalk> CopiedWalks::Walk(uint32_t pid, uint64_t start_time_ns, uint64_t time_ns,
                                           const StackCopy& copy) {
  if (table_bytes_ > kMaxCopiedTableBytes) {
    tables_.clear();
    table_bytes_ = 0;
  }
  pid_ = pid;
  start_time_ns_ = start_time_ns;
  time_ns_ = time_ns;
  copy_ = &copy;
  StackWalk walk = WalkStack(this, pid, start_time_ns, {copy.ip, copy.sp, copy.bp});
  if (walk.stop == LF_UW_STOP_PROCESS || walk.stop == LF_UW_STOP_MAPPING || walk.stop == LF_UW_STOP_TABLE)
    return std::nullopt;
  return walk;
}

bool CopiedWalks::ReadStack(void* to, size_t bytes, uint64_t from) {
  return copy_->Read(to, bytes, from);
}

const lf_uw_mapping* CopiedWalks::MappingAt(uint64_t address) {
  const MappedCode code = symbolizer_->CodeAt(pid_, start_time_ns_, address, time_ns_);
  if (code.begin >= code.end) return nullptr;
  mapping_ = {code.begin, static_cast<uint32_t>((code.end - code.begin) / kPage), LF_UW_TABLE_FP, 0};
  if (code.kind == FrameKind::kJit) return &mapping_;
  if (code.kind != FrameKind::kUser && code.kind != FrameKind::kVdso) return nullptr;
  const Loaded* loaded = Load(code);
  mapping_.table = code.module;
  if (!loaded) return &mapping_;
  if (loaded->table.words.empty()) {
    mapping_.table = LF_UW_TABLE_FP;
  } else if (code.kind == FrameKind::kVdso) {
    mapping_.bias = code.begin;
  } else {
    const ElfSegment* segment = SegmentOf(loaded->segments, code.offset);
    if (!segment) return nullptr;
    mapping_.bias = code.begin - code.offset + segment->offset - segment->address;
  }
  return &mapping_;
}

// nullptr: it cannot be had now.
CopiedWalks::Loaded* CopiedWalks::Load(const MappedCode& code) {
  if (auto known = tables_.find(code.module); known != tables_.end()) return known->second.get();
  auto loaded = std::make_unique<Loaded>();
  if (code.kind == FrameKind::kVdso) {
    loaded->table = BuildVdsoTable(&rules_);
  } else {
    const bool read = symbolizer_->WithFile(code.module, [&](int fd, int root) {
      struct stat st;
      if (fstat(fd, &st) || st.st_size > kMostFileBytes) return false;
      loaded->segments = ExecutableSegments(fd);
      loaded->table = BuildUnwindTable(fd, &rules_, root);
      return true;
    });
    if (!read) return nullptr;
  }
  table_bytes_ += loaded->table.words.size() * sizeof(uint32_t);
  return tables_.emplace(code.module, std::move(loaded)).first->second.get();
}

const lf_uw_file* CopiedWalks::File(uint32_t table) {
  auto it = tables_.find(table);
  return it == tables_.end() ? nullptr : &it->second->table.file;
}

const lf_uw_rule* CopiedWalks::Rule(uint32_t rule) {
  return rule < rules_.rules().size() ? &rules_.rules()[rule] : nullptr;
}

TableWords* CopiedWalks::Table(uint32_t table) {
  auto it = tables_.find(table);
  return it == tables_.end() ? nullptr : &it->second->table.words;
}

}  // namespace lowflame
