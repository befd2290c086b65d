// Bounds: what the rings hold between three drains. See stack_copies.h.
#include "stack_copies.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "../../bpf/events.h"
#include "../core/error.h"

namespace lowflame {
namespace {

[[noreturn]] void ThrowMaps(int error) {
  throw Error("ENOMEM_BPF", std::string("the kernel has no memory for the stack copies of a CPU (") + strerror(error) +
                                "): free memory, or raise the locked-memory limit (ulimit -l)");
}

}  // namespace

bool StackCopy::Read(void* to, size_t bytes, uint64_t from) const {
  for (const Run& run : runs) {
    const uint64_t at = from - run.at;
    if (from < run.at || at > run.bytes.size() || bytes > run.bytes.size() - at) continue;
    memcpy(to, run.bytes.data() + at, bytes);
    return true;
  }
  return false;
}

StackCopies::~StackCopies() {
  ring_buffer__free(rings_);
  for (const auto& [cpu, area] : areas_) munmap(const_cast<lf_copy_area*>(area), sizeof(lf_copy_area));
}

std::array<UniqueFd, 2> StackCopies::AddCpu(int cpu, uint32_t ring_bytes) {
  if (areas_.count(cpu)) return {UniqueFd(), UniqueFd()};
  bpf_map_create_opts opts{};
  opts.sz = sizeof(opts);
  opts.map_flags = BPF_F_MMAPABLE;
  UniqueFd area(bpf_map_create(BPF_MAP_TYPE_ARRAY, "lf_area", 4, sizeof(lf_copy_area), 1, &opts));
  UniqueFd ring(bpf_map_create(BPF_MAP_TYPE_RINGBUF, "lf_ring", 0, 0, ring_bytes, nullptr));
  if (!area || !ring) ThrowMaps(errno);
  void* memory = mmap(nullptr, sizeof(lf_copy_area), PROT_READ, MAP_SHARED, area.get(), 0);
  if (memory == MAP_FAILED) ThrowMaps(errno);
  areas_[cpu] = static_cast<const lf_copy_area*>(memory);
  const int area_fd = area.get(), ring_fd = ring.get();
  if (bpf_map_update_elem(rings_map_, &cpu, &ring_fd, BPF_ANY) ||
      bpf_map_update_elem(areas_map_, &cpu, &area_fd, BPF_ANY))
    ThrowMaps(errno);
  if (!rings_) {
    rings_ = ring_buffer__new(ring_fd, OnCopy, this, nullptr);
    if (!rings_) ThrowMaps(errno);
  } else if (const int error = ring_buffer__add(rings_, ring_fd, OnCopy, this)) {
    ThrowMaps(-error);
  }
  return {std::move(area), std::move(ring)};
}

int StackCopies::OnCopy(void* self, void* data, size_t size) {
  auto* copies = static_cast<StackCopies*>(self);
  if (size < sizeof(lf_stack_copy)) return 0;
  const auto* c = static_cast<const lf_stack_copy*>(data);
  const auto* memory = reinterpret_cast<const uint8_t*>(c + 1);
  size_t left = size - sizeof(*c);
  StackCopy copy{c->ip, c->sp, c->bp, {}};
  uint64_t at = c->sp - LF_COPY_BELOW;
  for (uint32_t page = 0; page < LF_COPY_PAGES && at < c->end && left; page++) {
    const uint64_t next = std::min<uint64_t>(at / LF_COPY_PAGE * LF_COPY_PAGE + LF_COPY_PAGE, c->end);
    if (c->pages >> page & 1) {
      const size_t bytes = std::min<size_t>(next - at, left);
      if (copy.runs.empty() || copy.runs.back().at + copy.runs.back().bytes.size() != at) copy.runs.push_back({at, {}});
      copy.runs.back().bytes.insert(copy.runs.back().bytes.end(), memory, memory + bytes);
      memory += bytes;
      left -= bytes;
    }
    at = next;
  }
  copies->held_[{c->tid, c->taken_ns}] = {std::move(copy), copies->pass_};
  return 0;
}

std::optional<StackCopy> StackCopies::Take(uint32_t tid, uint64_t taken_ns) {
  auto it = held_.find({tid, taken_ns});
  if (it == held_.end() && rings_) {
    ring_buffer__consume(rings_);
    it = held_.find({tid, taken_ns});
  }
  if (it == held_.end()) return std::nullopt;
  StackCopy copy = std::move(it->second.copy);
  held_.erase(it);
  return copy;
}

void StackCopies::PassDone() {
  if (rings_) ring_buffer__consume(rings_);
  for (auto it = held_.begin(); it != held_.end();) it = it->second.pass < pass_ ? held_.erase(it) : std::next(it);
  pass_++;
}

uint64_t StackCopies::dropped() const {
  uint64_t sum = 0;
  for (const auto& [cpu, area] : areas_) sum += area->dropped;
  return sum;
}

}  // namespace lowflame
