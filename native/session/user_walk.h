// The user stack of a thread that sleeps, walked from outside along frame pointers.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "task_record.h"

namespace lowflame {

// Addresses leaf first, at most `max`. Stops where the chain leaves the stack or cannot be read.
std::vector<uint64_t> WalkUserStack(pid_t pid, uint64_t ip, uint64_t sp, uint64_t bp, size_t max);

// Kernel half, then user half, of a thread that sleeps; notes the user half's length in the record.
std::vector<uint64_t> BothStacks(TaskRecord* t);

}  // namespace lowflame
