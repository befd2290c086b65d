// Walks of user stacks from outside, with the loader's tables: of threads that sleep, whose memory is read through
// process_vm_readv. Their processes' mappings are read anew, so nothing of them need be known.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "../symbols/process_maps.h"
#include "../walk/stack_walk.h"
#include "modules.h"
#include "processes.h"

namespace lowflame {

struct OutsideThread {
  uint32_t tgid, tid;
  uint64_t start_time_ns;  // of the process, as task->start_time
  WalkRegisters registers;
};

class OutsideWalks : private WalkSource {
 public:
  // Of a loader that has stopped. All walks together take `most_ns` and, at most, what one table takes to build.
  OutsideWalks(UnwindModules* modules, uint64_t most_ns) : modules_(modules), most_ns_(most_ns) {}

  // LF_UW_STOP_PROCESS, or LF_UW_STOP_TIME where the time is up: without frames.
  StackWalk Walk(const OutsideThread& thread);

 private:
  struct Known {
    std::vector<Mapping> mappings;
    std::vector<uint32_t> tables;  // of each
    std::vector<lf_uw_process> parts;
  };
  struct Loaded {
    lf_uw_file file;
    TableWords words;
  };

  bool ReadStack(void* to, size_t bytes, uint64_t from) override;
  const lf_uw_process* Process(const lf_uw_key& key) override;
  const lf_uw_file* File(uint32_t table) override;
  const lf_uw_rule* Rule(uint32_t rule) override;
  TableWords* Table(uint32_t table) override;
  void Enter(const OutsideThread& thread);
  void Encode(uint32_t tgid);
  Loaded* Load(uint32_t table);

  UnwindModules* modules_;
  const uint64_t most_ns_;
  uint64_t spent_ns_ = 0, until_ns_ = 0;
  std::unordered_map<uint32_t, Known> known_;  // by process
  std::unordered_map<uint32_t, Loaded> tables_;
  uint64_t table_bytes_ = 0;
  const Known* process_ = nullptr;  // of the walk under way
  uint32_t tid_ = 0;
  bool failed_ = false;  // a file has turned out to have no table
};

}  // namespace lowflame
