// A thread as the iterator lf_tasks gives it.
#pragma once
#include <cstdint>

#include "../../bpf/events.h"

namespace lowflame {

struct TaskRecord {
  lf_task task;
  uint64_t frames[LF_MAX_FRAMES + 1];
};

}  // namespace lowflame
