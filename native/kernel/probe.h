// What this kernel and this user allow, asked feature by feature; rows for `lowflame doctor`.
#pragma once

#include <string>
#include <vector>

namespace lowflame {

struct ProbeRow {
  std::string id, title, status, found, remedy;  // status: "ok", "degraded", "missing"
  std::vector<std::string> needed_by;            // sources that cannot work without it
};

// Loads, attaches and removes the real programs. Never throws for what the kernel refuses: that is a row.
std::vector<ProbeRow> ProbeKernel();

}  // namespace lowflame
