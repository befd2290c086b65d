// A dummy perf event with mmap2 and task records: see task_events.h. Layouts: perf_event_open(2).
#include "task_events.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "../core/error.h"

namespace lowflame {
namespace {

// A record is 100 to 200 bytes: a second of 60 programs started on one CPU, each with 10 mappings.
constexpr size_t kRingBytes = 128 * 1024;

// Bodies of the records; a sample_id of 8 bytes (the time) ends each.
struct CommRecord {
  uint32_t pid, tid;
};
struct TaskRecord {
  uint32_t pid, parent, tid, parent_tid;
  uint64_t time;
};
struct MapRecord {
  uint32_t pid, tid;
  uint64_t begin, length, offset;
  uint32_t major, minor;
  uint64_t inode, inode_generation;
  uint32_t protection, flags;
};

// False for what is not about a process, or no record of ours.
bool Decode(const perf_event_header* header, TaskEvent* out) {
  const auto* body = reinterpret_cast<const uint8_t*>(header + 1);
  const size_t size = header->size - sizeof(perf_event_header);
  auto holds = [&](size_t bytes) { return size >= bytes + sizeof(uint64_t); };
  if (!holds(sizeof(CommRecord))) return false;
  memcpy(&out->time_ns, body + size - sizeof(uint64_t), sizeof(uint64_t));
  switch (header->type) {
    case PERF_RECORD_COMM: {
      if (!(header->misc & PERF_RECORD_MISC_COMM_EXEC)) return false;
      CommRecord r;
      memcpy(&r, body, sizeof(r));
      out->kind = TaskEvent::Kind::kExec;
      out->pid = r.pid;
      return true;
    }
    case PERF_RECORD_FORK:
    case PERF_RECORD_EXIT: {
      TaskRecord r;
      if (!holds(sizeof(r))) return false;
      memcpy(&r, body, sizeof(r));
      out->kind = header->type == PERF_RECORD_FORK ? TaskEvent::Kind::kFork : TaskEvent::Kind::kExit;
      out->pid = r.pid;
      out->parent = r.parent;
      return r.pid == r.tid;  // else a thread
    }
    case PERF_RECORD_MMAP2: {
      MapRecord r;
      if (!holds(sizeof(r))) return false;
      memcpy(&r, body, sizeof(r));
      out->kind = TaskEvent::Kind::kMap;
      out->pid = r.pid;
      out->begin = r.begin;
      out->length = r.length;
      out->offset = r.offset;
      out->inode = r.inode;
      out->major = r.major;
      out->minor = r.minor;
      const char* path = reinterpret_cast<const char*>(body + sizeof(r));
      out->path.assign(path, strnlen(path, size - sizeof(uint64_t) - sizeof(r)));
      return true;
    }
    default:
      return false;
  }
}

}  // namespace

TaskEvents::TaskEvents(int cpu) : cpu_(cpu) {
  perf_event_attr attr{};
  attr.size = sizeof(attr);
  attr.type = PERF_TYPE_SOFTWARE;
  attr.config = PERF_COUNT_SW_DUMMY;
  attr.sample_type = PERF_SAMPLE_TIME;
  attr.sample_id_all = 1;
  attr.mmap = attr.mmap2 = attr.task = attr.comm = attr.comm_exec = 1;
  attr.use_clockid = 1;
  attr.clockid = CLOCK_MONOTONIC;
  attr.watermark = 1;
  attr.wakeup_watermark = 1;
  fd_ = UniqueFd(static_cast<int>(syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC)));
  if (!fd_ || !buffer_.Map(fd_.get(), kRingBytes))
    throw Error("EPERF_TASKS", "cannot watch for new programs on CPU " + std::to_string(cpu) + " (" + strerror(errno) +
                                   "): run as root, or give CAP_PERFMON and CAP_IPC_LOCK to lowflame");
}

void TaskEvents::Drain(std::vector<TaskEvent>* out) {
  buffer_.Drain([&](const perf_event_header* header) {
    if (header->type == PERF_RECORD_LOST) {
      uint64_t words[2];  // id, number
      if (header->size < sizeof(*header) + sizeof(words)) return;
      memcpy(words, header + 1, sizeof(words));
      lost_ += words[1];
      return;
    }
    TaskEvent event{};
    if (Decode(header, &event)) out->push_back(std::move(event));
  });
}

}  // namespace lowflame
