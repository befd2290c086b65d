// Waits for kernel locks that began before the recording. The thread's stack tells them and the kind of the lock; the
// lock's address is only told by the end of the wait. They count from the recording's start.
#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "../core/error.h"
#include "session.h"

namespace lowflame {
namespace {

// lf_lock_key in bpf/locks.bpf.h
uint64_t LockKey(const lf_task& task) {
  return (task.own_start_ns >> 8) << 32 | task.h.tid | 1ull << 63;
}

// A hash map, since its programs only look up and write what is their thread's: it has all it will ever hold.
UniqueFd MakeMap(int outer, uint32_t entries) {
  UniqueFd map(
      bpf_map_create(BPF_MAP_TYPE_HASH, "lf_earlier_lock", sizeof(uint64_t), sizeof(lf_lock_wait), entries, nullptr));
  const uint32_t first = 0;
  const int fd = map.get();
  if (!map || bpf_map_update_elem(outer, &first, &fd, BPF_ANY))
    throw Error("EBPF_LOAD", std::string("the kernel refused the map of waits for locks (") + strerror(errno) +
                                 "); run `lowflame doctor`");
  return map;
}

}  // namespace

// The threads that sleep for a kernel lock now.
std::map<uint64_t, Session::EarlierLockWait> Session::LockWaitsByStack() {
  std::map<uint64_t, EarlierLockWait> waits;
  std::vector<size_t> asleep;  // where they are in `bytes`
  std::map<int, size_t> places;
  std::vector<char> bytes = ReadTasks("lf_tasks", sizeof(TaskRecord));
  for (size_t at = 0; at + sizeof(TaskRecord) <= bytes.size(); at += sizeof(TaskRecord)) {
    TaskRecord t;
    memcpy(&t, bytes.data() + at, sizeof(t));
    const lf_record& r = t.task.h;
    // one that runs again, or could, has the lock or will be told of by its end
    if (r.state != LF_STATE_INTERRUPTIBLE && r.state != LF_STATE_UNINTERRUPTIBLE) continue;
    if (r.kernel_frames > LF_MAX_FRAMES || t.task.gone_on) continue;
    const int place = lock_paths_.ReturnPlace(t.task);
    if (place < 0) continue;
    places[place]++;
    asleep.push_back(at);
  }
  if (places.empty()) return waits;
  const int place =
      std::max_element(places.begin(), places.end(), [](auto& x, auto& y) { return x.second < y.second; })->first;
  for (size_t at : asleep) {
    TaskRecord t;
    memcpy(&t, bytes.data() + at, sizeof(t));
    if (auto wait = lock_paths_.WaitOf(t, place); wait && InWantedCgroup(t.task.h.tgid))
      waits.emplace(LockKey(t.task), EarlierLockWait{t, *wait});
  }
  return waits;
}

// Before the activation: who waits by now.
void Session::NoteEarlierLockWaits() {
  earlier_lock_waits_ = LockWaitsByStack();
  if (earlier_lock_waits_.empty()) return;
  UniqueFd map = MakeMap(lock_object_->MapFd("lf_earlier"), static_cast<uint32_t>(earlier_lock_waits_.size()));
  earlier_locks_ = map.get();
  lock_object_->Adopt("lf_earlier[0]", std::move(map));
  for (const auto& [key, earlier] : earlier_lock_waits_) {
    lf_lock_wait w{};
    w.key = key;
    w.kind = earlier.wait.kind;
    w.tgid = earlier.task.task.h.tgid;
    w.start_time_ns = earlier.task.task.h.start_time_ns;
    bpf_map_update_elem(earlier_locks_, &key, &w, BPF_ANY);
  }
}

// Right after the activation. Between the look and the activation a wait could end unseen; from then on its end is
// seen, so who waits for a lock now and is noted does so since before. What was noted of the others would be taken for
// a wait that they begin later.
void Session::DropEndedLockWaits() {
  if (earlier_lock_waits_.empty()) return;
  const auto now = LockWaitsByStack();
  for (auto it = earlier_lock_waits_.begin(); it != earlier_lock_waits_.end();) {
    if (now.count(it->first)) {
      ++it;
      continue;
    }
    bpf_map_delete_elem(earlier_locks_, &it->first);
    it = earlier_lock_waits_.erase(it);
  }
}

// Nobody knows which lock it is: one row for each place that waits for one.
uint32_t Session::LockIdByCallSite(const LockPaths::Wait& wait) {
  constexpr uint32_t kByCallSite = UINT32_MAX;  // beside the kinds of lf_lock_object
  const auto key = std::make_tuple(wait.call_site, wait.kind, kByCallSite, uint32_t{0});
  if (auto known = lock_ids_.find(key); known != lock_ids_.end()) return known->second;
  if (lock_ids_.size() >= kMaxLocks) {
    locks_dropped_++;
    return UINT32_MAX;
  }
  const auto id = static_cast<uint32_t>(lock_ids_.size());
  lock_ids_.emplace(key, id);
  work_.tables.locks.push_back({id, wait.kind, 0, "address not known"});
  return id;
}

// At the end: those that are not over were waits for the whole of the recording.
void Session::ChargeEarlierLockWaits() {
  if (earlier_lock_waits_.empty()) return;
  auto now = LockWaitsByStack();
  const uint64_t end = final_.end_monotonic_ns, ns = end - start_.start_monotonic_ns;
  const auto& cpus = config_.filters.cpus;
  for (auto& [key, earlier] : earlier_lock_waits_) {
    lf_lock_wait w;
    if (bpf_map_lookup_elem(earlier_locks_, &key, &w) || !w.key) continue;
    // one that has the lock by now had its kernel stack at the start, and nobody knows its user stack
    auto still = now.find(key);
    EarlierLockWait& known = still == now.end() ? earlier : still->second;
    TaskRecord& t = known.task;
    if (still == now.end()) t.task.user_ip = 0;
    if (!cpus.empty() && std::find(cpus.begin(), cpus.end(), static_cast<int>(t.task.last_cpu)) == cpus.end()) continue;
    lf_record& r = t.task.h;
    r.time_ns = end;
    r.duration_ns = r.weight_ns = ns;
    r.futex_kind = 0;
    std::vector<uint64_t> frames = BothStacks(&t);
    if (known.wait.slow_path) {
      frames.insert(frames.begin(), known.wait.slow_path);
      r.kernel_frames++;
    }
    Sample sample = MakeWait(&r, frames.data(), LF_IN_PROGRESS);
    sample.state = 0;
    sample.lock = w.lock ? LockId(w.lock, w.kind, LF_LOCK_PLAIN, w.tgid, -1) : LockIdByCallSite(earlier.wait);
    EmitLock(sample);
    if (sample.lock == UINT32_MAX) continue;
    LockTotal& row = TotalOf(sample.lock, interner_->FindProcess(w.tgid, w.start_time_ns));
    row.count++;
    row.sum_ns += ns;
    row.max_ns = std::max(row.max_ns, ns);
    row.buckets[BucketOf(ns)]++;
  }
  NameLocks();
}

}  // namespace lowflame
