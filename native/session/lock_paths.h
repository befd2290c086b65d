// Whether a thread that sleeps does so for a kernel lock, and for what kind: by what lies on its stack. The kernel
// leaves the functions of scheduling and locks out of another thread's stack, so they are looked for in its words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "../kernel/kernel_functions.h"
#include "task_record.h"

namespace lowflame {

class LockPaths {
 public:
  struct Wait {
    uint32_t kind;       // lf_lock_kind
    uint64_t slow_path;  // return address in the lock's slow path; 0 = it is a frame of the stack
    uint64_t call_site;  // the first return address of the stack outside of the slow path; 0 = none
  };

  // Where the kernel's symbols are hidden no wait is known.
  void Read(const KernelFunctions& functions);
  // The kernel's code of scheduling and locks: functions marked __sched. {0, 0} = not known.
  const KernelRange& text() const { return text_; }

  // The place of the word by which the scheduler returns, counted from the saved stack pointer: every thread that
  // sleeps has it at the same one, what is left over from earlier calls lies anywhere. -1 = there is no such word.
  int ReturnPlace(const lf_task& task) const;
  // `place`: the one of most threads. Waits that the kernel's tracepoints do not tell of (semaphores, PI futexes) are
  // none.
  std::optional<Wait> WaitOf(const TaskRecord& t, int place) const;

 private:
  struct SlowPath {
    KernelRange range;
    uint32_t kind;
  };
  const SlowPath* SlowPathAt(uint64_t return_address) const;

  std::vector<SlowPath> slow_paths_;
  std::vector<KernelRange> scheduler_, between_, percpu_write_;
  KernelRange text_;
};

}  // namespace lowflame
