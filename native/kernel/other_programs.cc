// BPF programs of others: see other_programs.h.
#include "other_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#include "../core/unique_fd.h"
#include "machine.h"

namespace lowflame {
namespace {

constexpr size_t kMaxPrograms = 4096;

// Program ids that the descriptors of one process hold: directly, or through a link (perf events name theirs too).
void HeldPrograms(const std::string& pid, std::vector<uint32_t>* ids) {
  std::string dir = "/proc/" + pid + "/fdinfo";
  DIR* d = opendir(dir.c_str());
  if (!d) return;
  while (dirent* e = readdir(d)) {
    if (e->d_name[0] == '.') continue;
    std::string text = ReadSmallFile(dir + "/" + e->d_name);
    const char* at = strstr(text.c_str(), "prog_id:");
    if (at) ids->push_back(static_cast<uint32_t>(strtoul(at + 8, nullptr, 10)));
  }
  closedir(d);
}

}  // namespace

std::vector<OtherProgramRaw> ReadOtherPrograms(const std::vector<uint32_t>& own_ids) {
  std::vector<OtherProgramRaw> rows;
  uint32_t id = 0;
  while (rows.size() < kMaxPrograms && bpf_prog_get_next_id(id, &id) == 0) {
    if (std::find(own_ids.begin(), own_ids.end(), id) != own_ids.end()) continue;
    UniqueFd fd(bpf_prog_get_fd_by_id(id));
    if (!fd) continue;
    bpf_prog_info info{};
    uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size)) continue;
    OtherProgramRaw row;
    row.id = id;
    row.name = info.name;
    char tag[17];
    for (int i = 0; i < 8; i++) snprintf(tag + 2 * i, 3, "%02x", info.tag[i]);
    row.tag = tag;
    const char* type = libbpf_bpf_prog_type_str(static_cast<bpf_prog_type>(info.type));
    row.type = type ? type : std::to_string(info.type);
    row.runs = info.run_cnt;
    row.ns = info.run_time_ns;
    row.recursion_misses = info.recursion_misses;
    rows.push_back(row);
  }
  return rows;
}

std::vector<OtherProgram> WithOwners(const std::vector<OtherProgramRaw>& programs) {
  std::vector<OtherProgram> rows;
  for (const OtherProgramRaw& p : programs) rows.push_back({p, {}});
  if (rows.empty()) return rows;
  std::map<uint32_t, OtherProgram*> by_id;
  for (OtherProgram& r : rows) by_id[r.program.id] = &r;
  DIR* proc = opendir("/proc");
  if (!proc) return rows;
  while (dirent* e = readdir(proc)) {
    int pid = atoi(e->d_name);
    if (pid <= 0) continue;
    std::vector<uint32_t> ids;
    HeldPrograms(e->d_name, &ids);
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    for (uint32_t id : ids) {
      auto it = by_id.find(id);
      if (it == by_id.end()) continue;
      std::string comm = ReadSmallFile(std::string("/proc/") + e->d_name + "/comm");
      if (!comm.empty() && comm.back() == '\n') comm.pop_back();
      it->second->owners.push_back({pid, comm});
    }
  }
  closedir(proc);
  return rows;
}

}  // namespace lowflame
