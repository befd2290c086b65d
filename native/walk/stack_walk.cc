// Memory and tables of the walk from a WalkSource: see stack_walk.h.
#include "stack_walk.h"

#include "../../bpf/events.h"

namespace lowflame {
namespace {

struct Walk : lf_uw_walk {
  WalkSource* source;
};

WalkSource* SourceOf(lf_uw_walk* w) {
  return static_cast<Walk*>(w)->source;
}

int lf_uw_read_user(lf_uw_walk* w, void* to, size_t bytes, uint64_t from) {
  return SourceOf(w)->ReadStack(to, bytes, from) ? 0 : 1;
}
const lf_uw_process* lf_uw_process_of(lf_uw_walk* w, const lf_uw_key* key) {
  return SourceOf(w)->Process(*key);
}
const lf_uw_file* lf_uw_file_of(lf_uw_walk* w, uint32_t table) {
  return SourceOf(w)->File(table);
}
const lf_uw_rule* lf_uw_rule_of(lf_uw_walk* w, uint32_t rule) {
  return SourceOf(w)->Rule(rule);
}
void* lf_uw_table_of(lf_uw_walk* w, uint32_t table) {
  return SourceOf(w)->Table(table);
}
const uint32_t* lf_uw_chunk_of(lf_uw_walk*, void* chunks, uint32_t index) {
  const TableWords& words = *static_cast<TableWords*>(chunks);
  return index < words.size() / LF_UW_CHUNK_WORDS ? &words[size_t{index} * LF_UW_CHUNK_WORDS] : nullptr;
}
int lf_uw_find(lf_uw_walk* w, uint64_t pc);

#include "../../bpf/unwind-step.h"

int lf_uw_find(lf_uw_walk* w, uint64_t pc) {
  WalkSource* source = SourceOf(w);
  if (!source->by_address()) return lf_uw_enter(w, pc);
  w->bytes = 0;
  w->pages = 0;
  w->without = LF_UW_STOP_MAPPING;
  if (const lf_uw_mapping* m = source->MappingAt(pc)) lf_uw_settle(w, m);
  return 1;
}

}  // namespace

StackWalk WalkStack(WalkSource* source, uint32_t tgid, uint64_t start_time_ns, const WalkRegisters& registers) {
  Walk w{};
  w.source = source;
  w.tgid = tgid;
  w.start_time_ns = start_time_ns;
  lf_uw_begin(&w, registers.ip, registers.sp, registers.bp);
  StackWalk out{{}, LF_UW_STOP_PROCESS};
  if (!lf_uw_find(&w, w.ip)) return out;
  lf_uw_near near{};
  for (;;) {
    out.frames.push_back(w.ip + w.above);
    int stop = lf_uw_up(&w, &near);
    if (stop == LF_UW_SIGNALLED) {
      if (out.frames.size() > 1) out.frames.back()++;
      stop = LF_UW_GO_ON;
    }
    if (stop == LF_UW_GO_ON && out.frames.size() == LF_MAX_FRAMES) stop = LF_UW_STOP_DEPTH;
    if (stop == LF_UW_GO_ON) continue;
    out.stop = static_cast<lf_uw_stop>(stop == LF_UW_STOP_DEPTH ? stop : lf_uw_told(&w, stop));
    return out;
  }
}

}  // namespace lowflame
