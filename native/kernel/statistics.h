// The kernel's BPF statistics over a recording: runs and time of every program, ours and others'.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "../core/unique_fd.h"
#include "other_programs.h"

namespace lowflame {

// While they are on, the kernel reads its clock twice a run: about 60 ns for every program on the machine, and at the
// end of a wait with the lock held. So they are on for the first five seconds and between two calls of Tick in each
// second after that, after a minute in every fourth. What the later windows counted is scaled to all the time after the
// first.
class Statistics {
 public:
  // Switches them on. Returns false where they are off and cannot be switched on (CAP_SYS_ADMIN).
  bool Start(uint64_t now_ns, uint64_t tick_ns);
  // Opens and closes windows; to be called every tick_ns, and then a window is of one of these.
  void Tick(uint64_t now_ns);
  // What every program did, by id, from Start to now. Switches them off.
  std::map<uint32_t, OtherProgramRaw> Stop(uint64_t now_ns);

 private:
  struct Work {
    uint64_t runs = 0, ns = 0;
  };
  struct Sum {
    OtherProgramRaw program;
    Work first, later;  // in the first window, and in those after it
  };
  void Open(uint64_t now_ns);
  void Look(uint64_t now_ns);
  void Close(uint64_t now_ns);

  UniqueFd on_;
  uint64_t tick_ns_ = 0, start_ns_ = 0, opened_ns_ = 0, looked_ns_ = 0;
  uint64_t first_ns_ = 0, later_ns_ = 0;  // how long the first window was, and all others together
  std::map<uint32_t, OtherProgramRaw> before_;
  std::map<uint32_t, Sum> sum_;
  std::map<uint32_t, uint64_t> missed_at_start_;
};

}  // namespace lowflame
