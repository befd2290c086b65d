// Threads that sleep while a recording begins and while it ends: an iterator over all tasks finds them.
#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "../core/error.h"
#include "session.h"
#include "task_record.h"

namespace lowflame {
namespace {

constexpr size_t kMaxTasks = 200000;

}  // namespace

// Path of a version 2 cgroup in its hierarchy, as /proc/PID/cgroup has it, from its directory below some mount point.
// Field by field as in proc_pid_mountinfo(5).
std::string CgroupPathOf(const std::string& directory) {
  std::istringstream mounts(ReadSmallFile("/proc/self/mountinfo"));
  std::string line, best_mount, best_root;
  while (std::getline(mounts, line)) {
    std::istringstream fields(line);
    std::string id, parent, device, root, mount;
    fields >> id >> parent >> device >> root >> mount;
    if (line.find(" - cgroup2 ") == std::string::npos || mount.size() < best_mount.size()) continue;
    if (directory != mount && directory.compare(0, mount.size() + 1, mount + "/") != 0) continue;
    best_mount = mount;
    best_root = root == "/" ? "" : root;
  }
  std::string path = best_root + directory.substr(best_mount.size());
  while (!path.empty() && path.back() == '/') path.pop_back();
  return path;
}

bool Session::InWantedCgroup(uint32_t tgid) const {
  if (wanted_cgroups_.empty()) return true;
  std::string text = ReadSmallFile("/proc/" + std::to_string(tgid) + "/cgroup");
  size_t at = text.compare(0, 3, "0::") == 0 ? 0 : text.find("\n0::");
  if (at == std::string::npos) return false;
  at = text.find("0::", at) + 3;
  std::string path = text.substr(at, text.find('\n', at) - at) + "/";
  for (const std::string& wanted : wanted_cgroups_)
    if (path.compare(0, wanted.size() + 1, wanted + "/") == 0) return true;
  return false;
}

// All that a task iterator gives, in records of `record_bytes`; of `object`, or of that of processes.
std::vector<char> Session::ReadTasks(const char* iterator, size_t record_bytes, Object* object) {
  UniqueFd fd = (object ? object : proc_object_.get())->StartIterator(iterator);
  if (!fd)
    throw Error("EBPF_ITER", "the list of sleeping threads cannot be read from the kernel; run `lowflame doctor`");
  std::vector<char> bytes;
  char buffer[65536];
  ssize_t n;
  while ((n = read(fd.get(), buffer, sizeof(buffer))) > 0 || (n < 0 && errno == EAGAIN)) {
    if (n < 0) continue;  // the kernel rests after a million objects without a record
    bytes.insert(bytes.end(), buffer, buffer + n);
    if (bytes.size() > kMaxTasks * record_bytes) {
      tasks_cut_++;
      break;
    }
  }
  return bytes;
}

// A wait that began before the recording has a state, too: it is noted in the thread's slot while no program is active
// yet, so the addon is the only one to write there. A thread for which there is none is counted as lost.
void Session::NoteSleepers() {
  std::vector<char> bytes = ReadTasks("lf_sleepers", sizeof(lf_sleeper));
  std::map<uint32_t, bool> wanted;
  int slots = off_object_->MapFd("lf_slots"), full_sets = off_object_->MapFd("lf_full_sets");
  for (size_t at = 0; at + sizeof(lf_sleeper) <= bytes.size(); at += sizeof(lf_sleeper)) {
    lf_sleeper s;
    memcpy(&s, bytes.data() + at, sizeof(s));
    auto known = wanted.find(s.tgid);
    if (known == wanted.end()) known = wanted.emplace(s.tgid, InWantedCgroup(s.tgid)).first;
    if (!known->second) continue;
    uint32_t index = s.tid & (object_config_.slot_sets - 1);
    lf_slot_set set;
    if (bpf_map_lookup_elem(slots, &index, &set)) continue;
    bool noted = false;
    for (lf_slot& slot : set.way) {
      if (slot.key) continue;
      slot = {};
      slot.key = s.slot_key;
      slot.off_ns = LF_OFF_BEFORE;
      slot.run_delay_ns = s.run_delay_ns;
      slot.state = static_cast<__u8>(s.state);
      slot.runs = s.runs;
      bpf_map_update_elem(slots, &index, &set, BPF_ANY);
      noted = true;
      break;
    }
    if (noted) continue;
    uint32_t full = 1;
    bpf_map_update_elem(full_sets, &index, &full, BPF_ANY);
    slotless_sleepers_++;
  }
}

// A wait for a CPU that is not over: no switch has accounted it yet.
void Session::ChargeRunnable(const lf_record& r, uint64_t ns) {
  bool kernel_thread = r.task_flags & 0x00200000;  // PF_KTHREAD
  uint32_t process = interner_->Process(r.tgid, r.start_time_ns, r.leader_comm, kernel_thread);
  RunQueueRow& row = in_progress_run_queue_[process];
  row.process = process;
  row.count++;
  row.sum_ns += ns;
  row.max_ns = std::max(row.max_ns, ns);
  row.buckets.resize(LF_RUNQ_BUCKETS);
  row.buckets[BucketOf(ns)]++;
}

// Threads that are off the CPU at the end have waited since they left it, or all the time.
void Session::ChargeSleepers() {
  std::vector<char> bytes = ReadTasks("lf_tasks", sizeof(TaskRecord));
  for (size_t at = 0; at + sizeof(TaskRecord) <= bytes.size(); at += sizeof(TaskRecord)) {
    TaskRecord t;
    memcpy(&t, bytes.data() + at, sizeof(t));
    lf_record& r = t.task.h;
    if (r.kernel_frames > LF_MAX_FRAMES || !InWantedCgroup(r.tgid)) continue;
    const auto& cpus = config_.filters.cpus;
    if (!cpus.empty() && std::find(cpus.begin(), cpus.end(), static_cast<int>(t.task.last_cpu)) == cpus.end()) continue;
    uint64_t end = final_.end_monotonic_ns;
    uint64_t begin =
        std::max({uint64_t{t.task.off_since_ns}, uint64_t{t.task.own_start_ns}, start_.start_monotonic_ns});
    if (begin >= end) continue;
    r.time_ns = end;
    r.duration_ns = end - begin;
    if (t.task.queued_ns || (t.task.delay_ns && r.state == LF_STATE_PREEMPTED)) {
      // it waits for a CPU, the whole time or since somebody woke it
      uint64_t queued = std::min<uint64_t>(r.duration_ns, t.task.queued_ns + t.task.delay_ns);
      if (config_.offcpu) ChargeRunnable(r, queued);
      if (r.state != LF_STATE_PREEMPTED) {
        r.duration_ns -= queued;
        r.time_ns -= queued;
      }
    }
    r.weight_ns = r.duration_ns;
    const std::vector<uint64_t> frames = BothStacks(&t);
    gone_on_ += t.task.gone_on;
    if (r.futex_kind && !r.futex_owner && !t.task.gone_on)
      r.futex_owner = OwnerInMemory(r.tgid, r.syscall_arg0, r.futex_kind);
    Sample wait = MakeWait(&r, frames.data(), LF_IN_PROGRESS);
    EmitWait(wait);
    int64_t process = interner_->FindProcess(r.tgid, r.start_time_ns);
    if (wait.futex) ChargeFutexWaiter(r, process, wait.lock);
    if (!config_.offcpu) continue;
    TotalRow& row = in_progress_totals_[{process, r.state}];
    row.process = process;
    row.state = r.state;
    row.count++;
    row.sum_ns += r.duration_ns;
    row.max_ns = std::max<uint64_t>(row.max_ns, r.duration_ns);
  }
}

}  // namespace lowflame
