// The processes that run now, those first that have used CPU most recently.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace lowflame {

// CPU time of each process that has user space, user and system, in clock ticks.
using CpuTicks = std::unordered_map<uint32_t, uint64_t>;
CpuTicks ReadCpuTicks();

// By CPU time between the two readings, then by that since each process's start. `busy`: how many had some between.
std::vector<uint32_t> MostRecentFirst(const CpuTicks& before, const CpuTicks& now, size_t* busy);

// Whether the process is there and has a thread that has not ended.
bool IsAlive(uint32_t pid);

}  // namespace lowflame
