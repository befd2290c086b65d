// Which mapping of which process an address was in, and when: from /proc, and from the records of what changes. Drain
// thread only.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "../core/task_event.h"
#include "address_space.h"
#include "process_maps.h"

namespace lowflame {

// Times are CLOCK_MONOTONIC, ns; a start time is task->start_time.
class ProcessTable {
 public:
  struct Found {
    Mapping* mapping = nullptr;  // nullptr if none; valid until the next call
    uint32_t pid = 0;            // who can be asked for its file: the process, or whose copy it is
    AddressSpace* space = nullptr;
  };
  // The executable mapping that held the address then. What records have told of it is enough; a copy of its parent
  // (a fork without exec) has the parent's mappings at the time of the fork. Else reads /proc/PID/maps, at most every
  // 100 ms and less and less often in vain.
  Found Find(uint32_t pid, uint64_t start_time_ns, uint64_t address, uint64_t time_ns);
  // When an address of the process last took on another meaning, up to then.
  uint64_t ChangedAt(uint32_t pid, uint64_t start_time_ns, uint64_t time_ns);
  // What the kernel's records say, in the order of their time.
  void Record(const TaskEvent& event);
  // Some of them were lost: what is known may have changed since.
  void RecordsLost();
  // exec, as a BPF program tells of it: where no record has come, what is known is no longer true.
  void Exec(uint32_t pid, uint64_t start_time_ns, uint64_t time_ns);
  // The mappings of a process that was just started: more will come, so the next Find that misses reads them again.
  std::vector<Mapping>& Look(uint32_t pid, uint64_t start_time_ns);
  // Processes that had ended before their mappings could be read.
  uint64_t gone() const { return gone_; }
  uint64_t bytes() const { return mappings_ * (sizeof(Mapping) + 64) + count_ * 128; }

 private:
  using Key = std::pair<uint32_t, uint64_t>;  // start time 0: of a process that is not known by a sample yet
  struct Process {
    AddressSpace space;
    uint64_t read_ns = 0, reread_after_ns = 100000000, last_used = 0;
    bool gone = false;
    bool never_read = false;  // it was gone before it could be, and nobody has asked yet
    bool suspect = false;     // a record of it may be lost
    bool recorded = false;    // known by its fork's record: the start time is the record's, a little late
    uint64_t born_ns = 0;     // when its entry was made
    bool by_parent = false;   // its parent had what was asked for
    uint32_t parent = 0;      // of a fork, 0 = not known
    uint64_t forked_ns = 0;
    uint64_t first_exec_ns = ~0ull, last_exec_ns = 0, exec_seen_ns = 0;
  };
  using Processes = std::map<Key, Process>;
  Processes::iterator Get(uint32_t pid, uint64_t start_time_ns);
  Processes::iterator Make(const Key& key);
  Processes::iterator Then(uint32_t pid, uint64_t time_ns);
  Found FindIn(Processes::iterator it, uint64_t address, uint64_t time_ns, int depth);
  Found FindInParent(const Process& child, uint64_t address, int depth);
  bool Read(Processes::iterator it);
  void Erase(Processes::iterator it);
  void EraseEnded();
  void MakeRoom();
  // Changes an address space, and what is counted of it.
  template <class Change>
  auto With(AddressSpace* space, Change change) {
    mappings_ -= space->size();
    auto result = change(*space);
    mappings_ += space->size();
    return result;
  }

  Processes processes_;
  std::deque<std::pair<uint32_t, uint64_t>> ended_;  // first threads, by the time of their end
  uint64_t clock_ = 0;
  std::atomic<uint64_t> gone_{0}, mappings_{0}, count_{0};  // statistics are read by other threads
};

// Whether the process that has this pid now may be the one that started then (task->start_time, CLOCK_MONOTONIC). A
// pid comes again; the maps of its next owner must not name the frames of the last one.
bool MayBeTheSameProcess(uint32_t pid, uint64_t start_time_ns);

}  // namespace lowflame
