// The lock source of a session: loads its programs, joins stacks and ends of waits, gives locks ids and names, charges
// who still waits at the end.
#include <bpf/bpf.h>

#include <algorithm>
#include <cstring>

#include "../core/error.h"
#include "session.h"
#include "task_record.h"

namespace lowflame {
size_t Session::BucketOf(uint64_t ns) {
  if (ns < 1024) return 0;
  unsigned octave = 63 - static_cast<unsigned>(__builtin_clzll(ns));
  return std::min<size_t>(1 + 2 * (octave - 10) + (ns >> (octave - 1) & 1), LF_RUNQ_BUCKETS - 1);
}

LockTotal& Session::TotalOf(int64_t lock, int64_t process) {
  LockTotal& row = lock_totals_[{lock, process}];
  row.lock = lock;
  row.process = process;
  row.buckets.resize(LF_RUNQ_BUCKETS);
  return row;
}

void Session::LoadLocks() {
  if (!features_.contention)
    throw Error("EKERNEL_LOCKS",
                "this kernel has no tracepoints contention_begin and contention_end (Linux 5.19 brought them): record "
                "without locks");
  lock_object_ = std::make_unique<Object>(features_.task_from_pid ? Object::Kind::kLocksOwners : Object::Kind::kLocks);
  if (!features_.task_from_pid)
    start_.notes.push_back(
        "this kernel cannot give a lock owner's stack (no bpf_task_from_pid): owners are named only");
  object_config_.ring_bytes = lock_ring_bytes_;
  lock_object_->Configure(object_config_, {"lf_lock_begin", "lf_lock_end"});
  lock_object_->SetReceiver([this](const lf_record* r, size_t n) {
    if (n >= offsetof(lf_record_lock, frames)) OnLockRecord(reinterpret_cast<const lf_record_lock*>(r), n);
  });
  LoadWithUnwinding(lock_object_.get());
  lock_object_->FillFilters(object_config_);
  if (features_.kmem_cache) {
    slab_object_ = std::make_unique<Object>(Object::Kind::kSlab);
    slab_object_->Configure(object_config_, {"lf_slab_names"});
    slab_object_->Load();
  }
  tracing_ranges_ =
      kernel_functions_->Ranges({"bpf_trace_run2", "__bpf_trace_contention_begin", "__traceiter_contention_begin",
                                 "__bpf_trace_contention_end", "__traceiter_contention_end"});
}

void Session::AttachLocks() {
  lock_names_.Read(proc_object_.get(), slab_object_.get());
  lock_object_->Attach();
}

void Session::DrainLocks() {
  lock_object_->Drain();
  lock_ahead_.PassDone();
  NameLocks();
}

std::string Session::NameOfProcess(uint32_t tgid, int64_t process) const {
  // waits are read after the end of their process, too: what came with them names it
  std::string comm = process >= 0 ? interner_->ProcessComm(static_cast<uint32_t>(process)) : "";
  if (comm == "?") comm.clear();
  if (comm.empty()) comm = ReadSmallFile("/proc/" + std::to_string(tgid) + "/comm");
  while (!comm.empty() && comm.back() == '\n') comm.pop_back();
  return (comm.empty() ? "a process" : comm) + " (pid " + std::to_string(tgid) + ")";
}

uint32_t Session::LockId(uint64_t address, uint32_t kind, uint32_t object, uint32_t tgid, int64_t process) {
  // addresses come again: a lock of one's own is the process's, too
  auto key = std::make_tuple(address, kind, object, object ? tgid : 0);
  auto it = lock_ids_.find(key);
  if (it != lock_ids_.end()) return it->second;
  if (lock_ids_.size() >= kMaxLocks) {
    locks_dropped_++;
    return UINT32_MAX;
  }
  auto id = static_cast<uint32_t>(lock_ids_.size());
  lock_ids_.emplace(key, id);
  LockRow row{id, kind, address, ""};
  if (object) {
    // lf_lock_object
    static constexpr const char* kObjects[] = {"", "mmap_lock", "siglock", "file table (file_lock)"};
    const char* what = object < std::size(kObjects) ? kObjects[object] : "lock";
    row.name = std::string(what) + " of " + NameOfProcess(tgid, process);
  }
  locks_to_name_.push_back(std::move(row));
  return id;
}

// Names of the locks that are new since the last call.
void Session::NameLocks() {
  if (locks_to_name_.empty()) return;
  std::vector<uint64_t> addresses;
  for (const LockRow& row : locks_to_name_)
    if (row.name.empty()) addresses.push_back(row.address);
  std::vector<std::string> names = lock_names_.NamesOf(addresses);
  size_t next = 0;
  for (LockRow& row : locks_to_name_) {
    if (row.name.empty()) row.name = names[next++];
    work_.tables.locks.push_back(std::move(row));
  }
  locks_to_name_.clear();
}

// Thread, lock and stack of a wait; its weight and length come with its end.
Sample Session::MakeLockWait(const lf_record_lock* r) {
  const lf_record& h = r->h;
  const auto* frames = reinterpret_cast<const uint64_t*>(r->frames);
  size_t skip = 0;
  constexpr size_t kDeepestTracing = 8;
  for (size_t i = 0; i < h.kernel_frames && i < kDeepestTracing; i++)
    for (const KernelRange& range : tracing_ranges_)
      if (range.contains(frames[i] - 1)) skip = i + 1;
  bool kernel_thread = h.task_flags & 0x00200000;  // PF_KTHREAD
  uint32_t process = h.tgid ? interner_->Process(h.tgid, h.start_time_ns, h.leader_comm, kernel_thread)
                            : interner_->Process(0, 0, "idle/softirq", true);
  Sample out{};
  out.time_ns = static_cast<double>(h.time_ns - std::min<uint64_t>(h.time_ns, start_.start_monotonic_ns));
  out.cpu = h.cpu;
  out.thread = h.tid ? interner_->Thread(h.tid, process, h.comm) : interner_->Thread(0, process, "idle/softirq");
  out.duration_ns = static_cast<double>(h.duration_ns);
  out.weight_ns = static_cast<double>(h.weight_ns);
  out.syscall = h.syscall;
  out.lock = LockId(r->lock, h.state, r->object, h.tgid, process);
  bool cut = false;
  if (h.kind != LF_RECORD_LOCK_END) {
    RawStack raw;
    raw.kernel = frames + skip;
    raw.kernel_frames = h.kernel_frames - skip;
    raw.user = frames + h.kernel_frames;
    raw.user_frames = h.user_frames;
    raw.time_ns = h.time_ns;
    raw.kernel_leaf_is_return = true;
    out.stack = interner_->Stack(process, raw, &cut);
  }
  out.flags = FlagsOf(h, cut);
  if (r->owner_tid) {
    uint32_t owner = interner_->Process(r->owner_tgid, r->owner_start_ns, r->owner_leader_comm, false);
    out.owned = true;
    out.owner_thread = interner_->Thread(r->owner_tid, owner, r->owner_comm);
    RawStack raw;
    raw.kernel = frames + h.kernel_frames + h.user_frames;
    raw.kernel_frames = r->owner_frames;
    size_t scheduler = SchedulerFrames(raw.kernel, raw.kernel_frames);
    raw.kernel += scheduler;
    raw.kernel_frames -= scheduler;
    raw.kernel_leaf_is_return = true;
    out.owner_stack = interner_->Stack(owner, raw);
  }
  return out;
}

void Session::EmitLock(const Sample& sample) {
  // UINT32_MAX: counted when it found no id
  if (sample.lock != UINT32_MAX) EmitWithOwner(Source::kLocks, Source::kLockOwners, sample);
}

void Session::EmitWithOwner(Source waits, Source owners, const Sample& sample) {
  Emit(waits, sample);
  // a number in a lock's memory may be anything: nobody owns it whom nothing else speaks of
  if (!sample.owned || !interner_->ThreadSeen(sample.owner_thread)) return;
  Sample owner = sample;
  owner.thread = sample.owner_thread;
  owner.stack = sample.owner_stack;
  owner.syscall = sample.owner_syscall;
  owner.state = sample.owner_state;
  owner.flags = 0;
  Emit(owners, owner);
}

void Session::OnLockRecord(const lf_record_lock* r, size_t size) {
  size_t frames = size_t{r->h.kernel_frames} + r->h.user_frames + r->owner_frames;
  if (size < offsetof(lf_record_lock, frames) + frames * sizeof(uint64_t)) return;
  const size_t user_at = offsetof(lf_record_lock, frames) + r->h.kernel_frames * sizeof(uint64_t);
  r = reinterpret_cast<const lf_record_lock*>(TakeUserHalf(&r->h, &size, user_at));
  const lf_record& h = r->h;
  auto seq = static_cast<uint32_t>(r->seq);
  switch (h.kind) {
    case LF_RECORD_LOCK_WAIT:
      EmitLock(MakeLockWait(r));
      return;
    case LF_RECORD_LOCK_STACK:
      if (auto whole = lock_ahead_.OnStack(h.tid, seq, MakeLockWait(r))) EmitLock(*whole);
      return;
    case LF_RECORD_LOCK_END:
      if (auto whole = lock_ahead_.OnEnd(h.tid, seq, MakeLockWait(r))) EmitLock(*whole);
      return;
    default:
      return;
  }
}

// Threads that sleep for a lock at the end have waited since they began.
void Session::ChargeLockWaiters() {
  std::vector<lf_lock_wait> waits;
  int slots = lock_object_->MapFd("lf_lock_slots");
  for (uint32_t i = 0; i < object_config_.lock_sets; i++) {
    lf_lock_set set;
    if (bpf_map_lookup_elem(slots, &i, &set)) continue;
    for (const lf_lock_wait& w : set.way)
      if (w.key && w.lock) waits.push_back(w);
  }
  if (waits.empty()) return;
  // stacks of those whose stack was not taken at the beginning, and what all of them are called
  std::vector<char> bytes = ReadTasks("lf_tasks", sizeof(TaskRecord));
  std::map<uint32_t, TaskRecord> tasks;
  for (size_t at = 0; at + sizeof(TaskRecord) <= bytes.size(); at += sizeof(TaskRecord)) {
    TaskRecord t;
    memcpy(&t, bytes.data() + at, sizeof(t));
    if (t.task.h.kernel_frames <= LF_MAX_FRAMES) tasks.emplace(t.task.h.tid, t);
  }
  for (const lf_lock_wait& w : waits) {
    auto task = tasks.find(static_cast<uint32_t>(w.key));
    if (task == tasks.end()) continue;  // it has the lock by now
    uint64_t end = final_.end_monotonic_ns;
    if (w.begin_ns >= end) continue;
    TaskRecord& t = task->second;
    t.task.h.time_ns = end;
    t.task.h.duration_ns = t.task.h.weight_ns = end - w.begin_ns;
    Sample sample = MakeWait(&t.task.h, t.frames, LF_IN_PROGRESS);
    sample.state = 0;
    int64_t process = interner_->FindProcess(w.tgid, w.start_time_ns);
    sample.lock = LockId(w.lock, w.kind, w.object, w.tgid, process);
    if (w.seq) {
      if (auto whole = lock_ahead_.OnEnd(t.task.h.tid, static_cast<uint32_t>(w.seq), sample)) {
        sample = *whole;
        sample.flags |= LF_IN_PROGRESS;
      }
    }
    EmitLock(sample);
    if (sample.lock == UINT32_MAX) continue;
    LockTotal& row = TotalOf(sample.lock, process);
    row.count++;
    row.sum_ns += end - w.begin_ns;
    row.max_ns = std::max<uint64_t>(row.max_ns, end - w.begin_ns);
    row.buckets[BucketOf(end - w.begin_ns)]++;
  }
  NameLocks();
}

void Session::CollectLocks() {
  uint64_t sum[LF_LOCKS_COUNTERS] = {};
  for (auto& [cpu, state] : cpus_) {
    const auto* area = lock_object_->AreaOf<lf_lock_area>(cpu);
    if (!area) continue;
    for (int i = 0; i < LF_LOCKS_COUNTERS; i++) sum[i] += area->counter[i] + area->begin_counter[i];
    for (uint64_t i = area->ended_tail; i < area->ended_head; i++) {
      const lf_lock_ended& e = area->ended[i % LF_LOCK_ENDED];
      auto tgid = static_cast<uint32_t>(e.key);
      int64_t process = ProcessOfTotals(tgid, e.start_time_ns);
      uint32_t lock = LockId(e.lock, static_cast<uint32_t>(e.key >> 32 & 0xff),
                             static_cast<uint32_t>(e.key >> 40 & 0xff), tgid, process);
      LockTotal& row = TotalOf(lock == UINT32_MAX ? -1 : static_cast<int64_t>(lock), process);
      row.count++;
      row.sum_ns += e.ns;
      row.max_ns = std::max<uint64_t>(row.max_ns, e.ns);
      row.buckets[BucketOf(e.ns)]++;
    }
    for (int i = 0; i <= LF_LOCK_ROWS + LF_LOCK_REST; i++) {
      const lf_lock_row& r = area->row[i];
      if (!r.count) continue;
      const bool other = i == LF_LOCK_ROWS;
      auto tgid = static_cast<uint32_t>(r.key);
      int64_t process = i >= LF_LOCK_ROWS ? -1 : ProcessOfTotals(tgid, r.start_time_ns);
      uint32_t lock = other ? UINT32_MAX
                            : LockId(r.lock, static_cast<uint32_t>(r.key >> 32 & 0xff),
                                     static_cast<uint32_t>(r.key >> 40 & 0xff), tgid, process);
      LockTotal& row = TotalOf(lock == UINT32_MAX ? -1 : static_cast<int64_t>(lock), process);
      row.count += r.count;
      row.sum_ns += r.sum_ns;
      row.max_ns = std::max<uint64_t>(row.max_ns, r.max_ns);
      for (size_t b = 0; b < LF_RUNQ_BUCKETS; b++) row.buckets[b] += r.bucket[b];
    }
  }
  NameLocks();
  auto loss = [&](const char* id, uint64_t count, const char* meaning) {
    final_.losses.push_back({id, count, meaning});
  };
  loss("locks.ring_full", sum[LF_LOCKS_RING_FULL] + sum[LF_LOCKS_NO_RING],
       "stacks or ends of sampled lock waits that did not fit into their ring; totals by lock still count these waits");
  loss("locks.slot_collision", sum[LF_LOCKS_SLOT_COLLISION],
       "lock waits of threads that found no slot in the table of waiters; not counted anywhere");
  loss("locks.nested", sum[LF_LOCKS_NESTED], "lock waits whose end was not seen");
  loss("locks.orphan_end", sum[LF_LOCKS_ORPHAN_END],
       "ends of lock waits whose beginning was not seen (a few where the recording begins are usual)");
  loss("locks.table_full", sum[LF_LOCKS_TABLE_FULL],
       "lock waits that found no row, or lost theirs to a lock that was waited for longer; their time is in the total "
       "of "
       "their lock without their process, or in the row \"other\"");
  loss("locks.kernel_truncated", sum[LF_LOCKS_KERNEL_TRUNCATED],
       "lock waits with a kernel stack deeper than 127 frames");
  loss("locks.user_truncated", sum[LF_LOCKS_USER_TRUNCATED],
       "lock waits whose user stack filled all 127 frames: deeper, or astray without frame pointers");
  loss("locks.user_unreadable", sum[LF_LOCKS_USER_UNREADABLE], "lock waits whose user stack could not be read");
  loss("locks.stack_ahead_orphaned", lock_ahead_.orphaned(), "stacks of lock waits whose end was lost, or the reverse");
}

}  // namespace lowflame
