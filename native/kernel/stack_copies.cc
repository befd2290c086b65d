// Bounds: what the rings hold between three drains. See stack_copies.h.
#include "stack_copies.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "../../bpf/events.h"
#include "../core/error.h"

namespace lowflame {
namespace {

[[noreturn]] void ThrowRing(int error) {
  throw Error("ENOMEM_BPF", std::string("the kernel has no memory for the stack copies of a CPU (") + strerror(error) +
                                "): free memory, or raise the locked-memory limit (ulimit -l)");
}

}  // namespace

StackCopies::~StackCopies() {
  ring_buffer__free(rings_);
}

UniqueFd StackCopies::AddCpu(int cpu, uint32_t bytes) {
  if (cpus_.count(cpu)) return UniqueFd();
  UniqueFd ring(bpf_map_create(BPF_MAP_TYPE_RINGBUF, "lf_copies", 0, 0, bytes, nullptr));
  const int fd = ring.get();
  if (!ring || bpf_map_update_elem(map_, &cpu, &fd, BPF_ANY)) ThrowRing(errno);
  if (!rings_) {
    rings_ = ring_buffer__new(fd, OnCopy, this, nullptr);
    if (!rings_) ThrowRing(errno);
  } else if (const int error = ring_buffer__add(rings_, fd, OnCopy, this)) {
    ThrowRing(-error);
  }
  cpus_.insert(cpu);
  return ring;
}

int StackCopies::OnCopy(void* self, void* data, size_t size) {
  auto* copies = static_cast<StackCopies*>(self);
  const auto* c = static_cast<const lf_stack_copy*>(data);
  if (size < sizeof(*c) || size - sizeof(*c) < c->bytes) return 0;
  const auto* memory = reinterpret_cast<const uint8_t*>(c + 1);
  copies->held_[{c->tid, c->taken_ns}] = {{c->ip, c->sp, c->bp, {memory, memory + c->bytes}}, copies->pass_};
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

}  // namespace lowflame
