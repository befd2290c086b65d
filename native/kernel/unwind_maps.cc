// bpf(2) on the unwinder's maps: see unwind_maps.h.
#include "unwind_maps.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>

#include "../core/error.h"

namespace lowflame {
namespace {

UniqueFd Copy(int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) throw Error("EMFILE", "too many open files (unwind tables): raise the limit with ulimit -n 1024");
  return copy;
}

uint32_t EntriesOf(const UniqueFd& map) {
  bpf_map_info info{};
  uint32_t size = sizeof(info);
  return bpf_obj_get_info_by_fd(map.get(), &info, &size) ? 0 : info.max_entries;
}

// `count` values of `bytes` from element `first` on: in one call where the kernel has batches for this map.
bool PutArray(int fd, uint32_t first, const void* values, size_t bytes, size_t count) {
  constexpr size_t kBatch = 1024;
  const auto* at = static_cast<const uint8_t*>(values);
  bool batches = true;
  std::vector<uint32_t> keys;
  for (size_t done = 0; done < count;) {
    const size_t n = batches ? std::min(kBatch, count - done) : 1;
    keys.resize(n);
    for (size_t i = 0; i < n; i++) keys[i] = first + static_cast<uint32_t>(done + i);
    auto wrote = static_cast<uint32_t>(n);
    if (batches && bpf_map_update_batch(fd, keys.data(), at + done * bytes, &wrote, nullptr)) {
      if (wrote && wrote < n) return false;
      batches = false;
      continue;
    }
    if (!batches && bpf_map_update_elem(fd, keys.data(), at + done * bytes, BPF_ANY)) return false;
    done += n;
  }
  return true;
}

// A table's own map, filled; empty where the kernel has no memory for it.
UniqueFd MakeTable(const std::vector<uint32_t>& words) {
  const size_t chunks = words.size() / LF_UW_CHUNK_WORDS;
  bpf_map_create_opts opts{};
  opts.sz = sizeof(opts);
  opts.map_flags = BPF_F_INNER_MAP;  // their lengths differ
  UniqueFd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "lf_uw_table", sizeof(uint32_t), LF_UW_CHUNK_WORDS * sizeof(uint32_t),
                              static_cast<uint32_t>(chunks), &opts));
  if (!map || !PutArray(map.get(), 0, words.data(), LF_UW_CHUNK_WORDS * sizeof(uint32_t), chunks)) return UniqueFd();
  return map;
}

}  // namespace

UnwindMaps::UnwindMaps(const Fds& fds)
    : processes_(Copy(fds.processes)), files_(Copy(fds.files)), tables_(Copy(fds.tables)), rules_(Copy(fds.rules)) {
  max_parts_ = EntriesOf(processes_);
  max_tables_ = std::min<uint32_t>(EntriesOf(tables_), LF_UW_TABLES);
}

bool UnwindMaps::PutRules(uint32_t first, const lf_uw_rule* rules, size_t count) {
  return PutArray(rules_.get(), first, rules, sizeof(lf_uw_rule), count);
}

std::vector<bool> UnwindMaps::PutTables(const std::vector<Table>& tables) {
  std::vector<bool> there(tables.size());
  std::vector<UniqueFd> maps;
  std::vector<uint32_t> ids;
  std::vector<int> fds;
  for (const Table& t : tables) {
    maps.push_back(MakeTable(*t.words));
    if (!maps.back()) continue;
    ids.push_back(t.id);
    fds.push_back(maps.back().get());
  }
  if (ids.empty()) return there;
  // A table without its file's facts would have no rule for anything, and the kernel waits for the programs under way
  // before it comes back from the tables: these go last.
  for (size_t i = 0; i < tables.size(); i++)
    there[i] = maps[i] && !bpf_map_update_elem(files_.get(), &tables[i].id, &tables[i].file, BPF_ANY);
  auto wrote = static_cast<uint32_t>(ids.size());
  // kernels before 5.19 have no batches for maps of maps
  if (!bpf_map_update_batch(tables_.get(), ids.data(), fds.data(), &wrote, nullptr)) return there;
  for (size_t i = 0; i < tables.size(); i++) {
    const int fd = maps[i].get();
    there[i] = there[i] && !bpf_map_update_elem(tables_.get(), &tables[i].id, &fd, BPF_ANY);
  }
  return there;
}

bool UnwindMaps::GetTable(uint32_t id, lf_uw_file* file, std::vector<uint32_t>* words) const {
  uint32_t map_id = 0;
  if (bpf_map_lookup_elem(files_.get(), &id, file) || bpf_map_lookup_elem(tables_.get(), &id, &map_id)) return false;
  const int fd = bpf_map_get_fd_by_id(map_id);
  if (fd < 0) return false;
  const UniqueFd map(fd);
  const uint32_t chunks = EntriesOf(map);
  words->resize(size_t{chunks} * LF_UW_CHUNK_WORDS);
  for (uint32_t i = 0; i < chunks; i++)
    if (bpf_map_lookup_elem(map.get(), &i, words->data() + size_t{i} * LF_UW_CHUNK_WORDS)) return false;
  return chunks > 0;
}

void UnwindMaps::RemoveTables(const std::vector<uint32_t>& ids) {
  const lf_uw_file none{};
  for (uint32_t id : ids) bpf_map_update_elem(files_.get(), &id, &none, BPF_ANY);
  if (ids.empty()) return;
  // the kernel waits for the programs under way: once, where it has batches for maps of maps
  auto count = static_cast<uint32_t>(ids.size());
  if (!bpf_map_delete_batch(tables_.get(), ids.data(), &count, nullptr)) return;
  for (uint32_t id : ids) bpf_map_delete_elem(tables_.get(), &id);
}

bool UnwindMaps::PutProcess(const lf_uw_key& key, const lf_uw_process& process) {
  return !bpf_map_update_elem(processes_.get(), &key, &process, BPF_ANY);
}

void UnwindMaps::RemoveProcess(const lf_uw_key& key) {
  bpf_map_delete_elem(processes_.get(), &key);
}

}  // namespace lowflame
