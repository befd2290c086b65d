// Executable mappings of all processes as the BPF unwinder is to have them. No input or output: what changed is asked
// for and written by the loader.
#pragma once

#include <cstdint>
#include <set>
#include <unordered_map>
#include <vector>

#include "../../bpf/unwind.h"

namespace lowflame {

struct UnwindMapping {
  uint64_t begin, end;
  uint64_t bias;   // file address = address - bias
  uint32_t table;  // LF_UW_TABLE_FP = none
};

class UnwindProcesses {
 public:
  struct Process {
    std::vector<UnwindMapping> mappings;  // ascending, none overlap
    uint64_t start_time_ns = 0;           // as task->start_time; 0 = not known exactly
    uint64_t read_ns = 0;                 // when /proc/PID/maps was read: what happened before is in it
    uint64_t used_ns = 0;                 // when a sample of it came last
    uint64_t asked_ns = 0,
             ask_after_ns = 0;           // when it was read again for a stack cut short, and the least time to the next
    uint32_t generation = 0, parts = 0;  // as last written
    bool gone = false;                   // it has ended
  };

  // nullptr if it is not known. Valid until the next call that is not const.
  Process* Find(uint32_t pid);
  Process& Get(uint32_t pid);
  // `child` gets the mappings of `parent`; false if that one is not known.
  bool Fork(uint32_t parent, uint32_t child);
  void Replace(uint32_t pid, std::vector<UnwindMapping> mappings);
  // A new mapping takes the place of what it covers. False if nothing changed.
  bool Map(uint32_t pid, const UnwindMapping& mapping);
  void Remove(uint32_t pid);
  // Forgets it altogether, once it is in the map no more.
  void Erase(uint32_t pid) { processes_.erase(pid); }
  // Mappings of `table` are walked by frame pointer from now on.
  void Forget(uint32_t table);
  // The mapping that holds an address; nullptr if none.
  const UnwindMapping* At(uint32_t pid, uint64_t address) const;

  // Processes that differ from what was last written, each once; those that are gone too.
  std::vector<uint32_t> TakeChanged();
  void Changed(uint32_t pid) { changed_.insert(pid); }
  // The process as the map holds it, in parts. Sets generation; a process without mappings has no parts.
  std::vector<lf_uw_process> Encode(Process* process);

  const std::unordered_map<uint32_t, Process>& all() const { return processes_; }
  // Mappings that did not fit into a process's parts, summed over what was written.
  uint64_t mappings_left_out() const { return left_out_; }

 private:
  std::unordered_map<uint32_t, Process> processes_;
  std::set<uint32_t> changed_;
  uint64_t left_out_ = 0;
};

}  // namespace lowflame
