// Threads that sleep while a recording begins and while it ends: an iterator over all tasks finds them.
#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "../core/error.h"
#include "session.h"
#include "user_walk.h"

namespace lowflame {
namespace {

constexpr size_t kMaxTasks = 200000;

struct TaskRecord {
  lf_task task;
  uint64_t frames[LF_MAX_FRAMES + 1];
};

}  // namespace

bool Session::InWantedCgroup(uint32_t tgid) const {
  if (config_.filters.cgroups.empty()) return true;
  std::string text = ReadSmallFile("/proc/" + std::to_string(tgid) + "/cgroup");
  size_t at = text.find("0::");
  if (at == std::string::npos) return false;
  std::string path = text.substr(at + 3, text.find('\n', at) - at - 3) + "/";
  for (std::string wanted : config_.filters.cgroups) {
    // the filter is a directory below some mount point of the hierarchy: compare the part behind it
    while (!wanted.empty() && wanted.back() == '/') wanted.pop_back();
    for (size_t i = wanted.find('/'); i != std::string::npos; i = wanted.find('/', i + 1)) {
      std::string tail = wanted.substr(i) + "/";
      if (tail.size() > 1 && path.compare(0, tail.size(), tail) == 0) return true;
    }
  }
  return false;
}

// All that a task iterator gives, in records of `record_bytes`.
std::vector<char> Session::ReadTasks(const char* iterator, size_t record_bytes) {
  UniqueFd fd = proc_object_->StartIterator(iterator);
  if (!fd)
    throw Error("EBPF_ITER", "the list of sleeping threads cannot be read from the kernel; run `lowflame doctor`");
  std::vector<char> bytes;
  char buffer[65536];
  ssize_t n;
  while ((n = read(fd.get(), buffer, sizeof(buffer))) > 0) {
    bytes.insert(bytes.end(), buffer, buffer + n);
    if (bytes.size() > kMaxTasks * record_bytes) {
      tasks_cut_++;
      break;
    }
  }
  return bytes;
}

// A wait that began before the recording has a state, too: it is noted in the thread's slot while no program is active
// yet, so the addon is the only one to write there. A set that is full is left alone: the thread's next switch counts
// it.
void Session::NoteSleepers() {
  std::vector<char> bytes = ReadTasks("lf_sleepers", sizeof(lf_sleeper));
  std::map<uint32_t, bool> wanted;
  int slots = off_object_->MapFd("lf_slots");
  for (size_t at = 0; at + sizeof(lf_sleeper) <= bytes.size(); at += sizeof(lf_sleeper)) {
    lf_sleeper s;
    memcpy(&s, bytes.data() + at, sizeof(s));
    auto known = wanted.find(s.tgid);
    if (known == wanted.end()) known = wanted.emplace(s.tgid, InWantedCgroup(s.tgid)).first;
    if (!known->second) continue;
    uint32_t index = s.tid & (object_config_.slot_sets - 1);
    lf_slot_set set;
    if (bpf_map_lookup_elem(slots, &index, &set)) continue;
    for (lf_slot& slot : set.way) {
      if (slot.key) continue;
      slot = {};
      slot.key = s.slot_key;
      slot.off_ns = LF_OFF_BEFORE;
      slot.run_delay_ns = s.run_delay_ns;
      slot.state = s.state;
      bpf_map_update_elem(slots, &index, &set, BPF_ANY);
      break;
    }
  }
}

// Threads that are off the CPU at the end have waited since they left it, or all the time.
void Session::ChargeSleepers() {
  std::vector<char> bytes = ReadTasks("lf_tasks", sizeof(TaskRecord));
  for (size_t at = 0; at + sizeof(TaskRecord) <= bytes.size(); at += sizeof(TaskRecord)) {
    TaskRecord t;
    memcpy(&t, bytes.data() + at, sizeof(t));
    lf_record& r = t.task.h;
    if (r.kernel_frames > LF_MAX_FRAMES || !InWantedCgroup(r.tgid)) continue;
    // with a CPU filter only threads that were seen to leave one of those CPUs are ours
    if (!config_.filters.cpus.empty() && t.task.off_since_ns <= LF_OFF_BEFORE) continue;
    uint64_t begin = std::max<uint64_t>(t.task.off_since_ns, start_.start_monotonic_ns);
    uint64_t end = final_.end_monotonic_ns;
    if (begin >= end) continue;
    r.time_ns = end;
    r.duration_ns = r.weight_ns = end - begin;
    std::vector<uint64_t> frames(t.frames, t.frames + r.kernel_frames);
    if (t.task.user_ip) {
      std::vector<uint64_t> user =
          WalkUserStack(static_cast<pid_t>(r.tgid), t.task.user_ip, t.task.user_sp, t.task.user_bp, LF_MAX_FRAMES);
      r.user_frames = static_cast<uint16_t>(user.size());
      if (user.size() >= LF_MAX_FRAMES) r.flags |= LF_USER_TRUNCATED;
      frames.insert(frames.end(), user.begin(), user.end());
    }
    Emit(Source::kOffCpu, MakeWait(&r, frames.data(), LF_IN_PROGRESS));
    int64_t process = interner_->FindProcess(r.tgid, r.start_time_ns);
    TotalRow& row = in_progress_totals_[{process, r.state}];
    row.process = process;
    row.state = r.state;
    row.count++;
    row.sum_ns += r.duration_ns;
    row.max_ns = std::max<uint64_t>(row.max_ns, r.duration_ns);
  }
}

}  // namespace lowflame
