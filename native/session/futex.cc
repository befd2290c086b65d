// The futex source of a session: which futex a wait was for, who owned it, and the exact totals.
#include <dirent.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstdlib>

#include "../core/error.h"
#include "session.h"

namespace lowflame {
namespace {

constexpr size_t kMaxInnerThreads = 65536;
constexpr uint64_t kAskAgainNs = 1000000000;

// The last number behind "NSpid:": the thread's id in its innermost pid namespace. 0 if it is gone.
uint32_t InnermostId(const std::string& status) {
  size_t at = status.find("\nNSpid:");
  if (at == std::string::npos) return 0;
  std::string line = status.substr(at + 7, status.find('\n', at + 1) - at - 7);
  size_t last = line.find_last_of(" \t");
  return last == std::string::npos ? 0 : static_cast<uint32_t>(strtoul(line.c_str() + last, nullptr, 10));
}

// "" if the thread is gone.
std::string ThreadComm(uint32_t tgid, uint32_t tid) {
  std::string comm = ReadSmallFile("/proc/" + std::to_string(tgid) + "/task/" + std::to_string(tid) + "/comm");
  while (!comm.empty() && comm.back() == '\n') comm.pop_back();
  return comm;
}

}  // namespace

// The thread of a process that calls itself `inner_tid`, id 0 if there is none. In a container the two differ. What was
// known of a process that is gone stays: its last waits are read after its end. `as_is`: LF_OWNER_AS_IS was set, so
// where nobody is left to ask the number is the thread, and the result without a name.
const Session::InnerThread& Session::OuterThread(uint32_t tgid, uint32_t inner_tid, bool as_is) {
  uint64_t now = MonotonicNs();
  auto key = std::make_pair(tgid, inner_tid);
  auto known = inner_threads_.find(key);
  if (known != inner_threads_.end() && now - known->second.asked_ns < kAskAgainNs) return known->second;
  if (inner_threads_.size() >= kMaxInnerThreads) {
    inner_threads_.clear();
    known = inner_threads_.end();
  }
  const std::string tasks = "/proc/" + std::to_string(tgid) + "/task/";
  uint32_t found = 0;
  // in the same namespace, as nearly always, one file tells
  if (InnermostId(ReadSmallFile(tasks + std::to_string(inner_tid) + "/status")) == inner_tid) {
    found = inner_tid;
  } else if (DIR* dir = opendir(tasks.c_str())) {
    while (dirent* entry = readdir(dir)) {
      if (entry->d_name[0] == '.') continue;
      if (InnermostId(ReadSmallFile(tasks + entry->d_name + "/status")) != inner_tid) continue;
      found = static_cast<uint32_t>(strtoul(entry->d_name, nullptr, 10));
      break;
    }
    closedir(dir);
  } else if (known != inner_threads_.end()) {
    return known->second;
  }
  std::string comm = found ? ThreadComm(tgid, found) : "";
  if (comm.empty() && as_is && access(tasks.c_str(), F_OK) != 0) return inner_threads_[key] = {now, inner_tid, ""};
  return inner_threads_[key] = {now, comm.empty() ? 0 : found, comm};
}

// As lf_futex_owner in bpf/futex.bpf.h, of a thread that waits since before the recording: its process's memory tells.
uint32_t Session::OwnerInMemory(uint32_t tgid, uint64_t address, uint32_t kind) {
  struct {
    uint32_t lock, count, owner, users, kind;
  } m{};
  iovec to{&m, sizeof(m)}, from{reinterpret_cast<void*>(address), sizeof(m)};
  if (process_vm_readv(static_cast<pid_t>(tgid), &to, 1, &from, 1, 0) != sizeof(m)) return 0;
  constexpr uint32_t kTidMask = 0x3fffffff, kWaiters = 0x80000000, kKinds = 0x3ff, kRobust = 16;
  if (kind == LF_LOCK_FUTEX_PI) return m.lock & kTidMask;
  if (kind != LF_LOCK_FUTEX || !m.users || m.kind & ~kKinds || m.owner > kTidMask) return 0;
  const bool robust = m.kind & kRobust && m.lock & kWaiters && (m.lock & kTidMask) == m.owner;
  return m.lock == 2 || robust ? m.owner : 0;
}

// What people are told: the address alone says nothing.
std::string Session::FutexName(uint64_t address, uint32_t tgid, int64_t process) const {
  char text[32];
  snprintf(text, sizeof(text), "futex 0x%llx of ", static_cast<unsigned long long>(address));
  return text + NameOfProcess(tgid, process);
}

uint32_t Session::FutexId(uint64_t address, uint32_t kind, uint32_t tgid, int64_t process) {
  auto key = std::make_tuple(address, kind, uint32_t{0}, tgid);
  auto it = lock_ids_.find(key);
  if (it != lock_ids_.end()) return it->second;
  if (lock_ids_.size() >= kMaxLocks) {
    locks_dropped_++;
    return UINT32_MAX;
  }
  auto id = static_cast<uint32_t>(lock_ids_.size());
  lock_ids_.emplace(key, id);
  work_.tables.locks.push_back({id, kind, address, FutexName(address, tgid, process)});
  return id;
}

// Adds the futex and its owner to a wait that was one for a futex.
void Session::NoteFutex(const lf_record& r, uint32_t process, Sample* wait) {
  wait->futex = true;
  wait->lock = FutexId(r.syscall_arg0, r.futex_kind, r.tgid, process);
  if (wait->lock != UINT32_MAX)
    for (const auto& v : futex_words_.Look(wait->lock, r.futex_kind, r.futex_value, r.tgid, r.syscall_arg0))
      work_.tables.locks.push_back({v.id, v.kind, v.address, FutexName(v.address, r.tgid, process)});
  if (!r.futex_owner) return;
  const InnerThread& owner =
      OuterThread(r.tgid, r.futex_owner & ~uint32_t{LF_OWNER_AS_IS}, r.futex_owner & LF_OWNER_AS_IS);
  if (!owner.tid || owner.tid == r.tid) return;
  wait->owned = true;
  std::string comm = ThreadComm(r.tgid, owner.tid);
  if (comm.empty()) comm = owner.comm;
  // a thread may have no name, but here none is known
  wait->owner_thread = interner_->Thread(owner.tid, process, comm.empty() ? nullptr : comm.c_str());
  wait->owner_stack = 0;
}

void Session::ChargeFutexWaiter(const lf_record& r, int64_t process, uint32_t lock) {
  if (lock == UINT32_MAX) return;
  LockTotal& row = TotalOf(lock, process);
  row.count++;
  row.sum_ns += r.duration_ns;
  row.max_ns = std::max<uint64_t>(row.max_ns, r.duration_ns);
  row.buckets[BucketOf(r.duration_ns)]++;
}

void Session::CollectFutexes() {
  for (auto& [cpu, state] : cpus_) {
    const auto* area = off_object_->AreaOf<lf_off_area>(cpu);
    if (!area) continue;
    for (int i = 0; i < LF_FUTEX_ROWS + 2; i++) {
      const lf_lock_row& r = area->futex[i];
      if (!r.count) continue;
      const bool other = i >= LF_FUTEX_ROWS;
      auto tgid = static_cast<uint32_t>(r.key);
      // locks and conditions without a row of their own: OTHER_LOCKS and OTHER_CONDITIONS in
      // src/capture/sample-sources.ts
      int64_t lock = i == LF_FUTEX_ROWS + 1 ? -3 : -2, process = -1;
      if (!other) {
        process = ProcessOfTotals(tgid, r.start_time_ns);
        uint32_t id = FutexId(r.lock, static_cast<uint32_t>(r.key >> 32), tgid, process);
        if (id != UINT32_MAX) lock = id;
      }
      LockTotal& row = TotalOf(lock, process);
      row.count += r.count;
      row.timeouts += r.timeouts;
      row.sum_ns += r.sum_ns;
      row.max_ns = std::max<uint64_t>(row.max_ns, r.max_ns);
      for (size_t b = 0; b < LF_RUNQ_BUCKETS; b++) row.buckets[b] += r.bucket[b];
    }
  }
}

}  // namespace lowflame
