// Names of kernel locks by address: see lock_names.h.
#include "lock_names.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "../core/error.h"
#include "../symbols/symbols.h"
#include "slab_caches.h"

namespace lowflame {
namespace {

std::vector<char> ReadAll(int fd) {
  std::vector<char> bytes;
  char buffer[16384];
  ssize_t n;
  while ((n = read(fd, buffer, sizeof(buffer))) > 0) bytes.insert(bytes.end(), buffer, buffer + n);
  return bytes;
}

}  // namespace

void LockNames::Read(Object* proc, Object* slab) {
  slab_ = slab;
  if (slab) merged_ = MergedSlabCaches();
  data_ = KernelDataSymbols();
  // a lock that every kernel has and that is no exported symbol: it is only there where all data has names
  all_data_ = std::any_of(data_.begin(), data_.end(), [](const auto& s) { return s.second == "pidmap_lock"; });
  UniqueFd fd = proc->StartIterator("lf_run_queues");
  std::vector<char> bytes = ReadAll(fd.get());
  for (size_t at = 0; at + sizeof(lf_run_queue) <= bytes.size(); at += sizeof(lf_run_queue)) {
    lf_run_queue q;
    memcpy(&q, bytes.data() + at, sizeof(q));
    if (q.address) run_queues_[q.address] = q.cpu;
  }
}

// Symbols carry no size. Where all data has names the nearest symbol below is the one; elsewhere only an exact hit is.
std::string LockNames::StaticName(uint64_t address) const {
  auto it =
      std::upper_bound(data_.begin(), data_.end(), address, [](uint64_t a, const auto& s) { return a < s.first; });
  if (it == data_.begin()) return "";
  const uint64_t next = it == data_.end() ? 0 : it->first;
  --it;
  const uint64_t offset = address - it->first;
  if (offset == 0) return it->second;
  constexpr uint64_t kLargestStruct = 1 << 20;
  if (!all_data_ || !next || offset > kLargestStruct) return "";
  char text[24];
  snprintf(text, sizeof(text), "+0x%llx", static_cast<unsigned long long>(offset));
  return it->second + text;
}

std::vector<std::string> LockNames::NamesOf(const std::vector<uint64_t>& addresses) const {
  std::vector<std::string> names(addresses.size());
  std::vector<size_t> unknown;
  for (size_t i = 0; i < addresses.size(); i++) {
    auto queue = run_queues_.find(addresses[i]);
    names[i] =
        queue != run_queues_.end() ? "run queue of CPU " + std::to_string(queue->second) : StaticName(addresses[i]);
    if (names[i].empty()) unknown.push_back(i);
  }
  if (!slab_) return names;
  int map = slab_->MapFd("lf_slab_addresses");
  for (size_t from = 0; from < unknown.size(); from += LF_SLAB_ADDRESSES) {
    for (uint32_t i = 0; i < LF_SLAB_ADDRESSES; i++) {
      uint64_t address = from + i < unknown.size() ? addresses[unknown[from + i]] : 0;
      bpf_map_update_elem(map, &i, &address, BPF_ANY);
    }
    std::vector<char> bytes;
    try {
      bytes = ReadAll(slab_->StartIterator("lf_slab_names").get());
    } catch (const Error&) {
      return names;  // no file descriptor is left: a lock without this name is still told by its callers
    }
    for (size_t k = 0; (k + 1) * sizeof(lf_slab_name) <= bytes.size() && from + k < unknown.size(); k++) {
      lf_slab_name row;
      memcpy(&row, bytes.data() + k * sizeof(row), sizeof(row));
      row.name[sizeof(row.name) - 1] = 0;
      size_t index = unknown[from + k];
      if (!row.name[0] || row.address != addresses[index]) continue;
      auto merged = merged_.find(row.name);
      names[index] = "in a " + (merged == merged_.end() ? row.name : merged->second) + " object";
    }
  }
  return names;
}

}  // namespace lowflame
