// Slab caches that the kernel has merged: objects of several kinds lie in one, which has the name of the first.
#pragma once

#include <map>
#include <string>

namespace lowflame {

// What may lie in a merged cache, by each of its names: "mem_cgroup_per_node or pool_workqueue", or where that would be
// more than three, "192-byte". Caches with one name are left out. Empty where the kernel does not tell. `folder`:
// /sys/kernel/slab, where merged caches are links to one of a name like ":A-0000192" (mm/slub.c: create_unique_id).
std::map<std::string, std::string> MergedSlabCaches(const std::string& folder = "/sys/kernel/slab");

}  // namespace lowflame
