// The user stack of a thread that sleeps, walked from outside along frame pointers: where there are no unwind tables.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace lowflame {

// Addresses leaf first, at most `max`. Stops where the chain leaves the stack or cannot be read.
std::vector<uint64_t> WalkUserStack(pid_t pid, uint64_t ip, uint64_t sp, uint64_t bp, size_t max);

}  // namespace lowflame
