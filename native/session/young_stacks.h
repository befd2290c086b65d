// User stacks of programs that are too young for the kernel's tables: the copies that went ahead of their records are
// walked here, and take the place of what frame pointers told. Drain thread.
#pragma once

#include <vector>

#include "../../bpf/events.h"
#include "../kernel/stack_copies.h"
#include "../loader/copied_walks.h"

namespace lowflame {

class YoungStacks {
 public:
  // The maps lf_uw_areas and lf_uw_rings.
  YoungStacks(int areas, int rings) : copies_(areas, rings) {}
  StackCopies* copies() { return &copies_; }
  // A record whose stack was copied, `size` bytes with its user half from byte `user_at` on: with the stack that the
  // copy tells, valid until the next call, and its size. The record itself where the copy tells no better.
  const lf_record* Complete(const lf_record* r, size_t* size, size_t user_at, Symbolizer* symbolizer);

 private:
  StackCopies copies_;
  std::optional<CopiedWalks> walks_;
  std::vector<uint64_t> completed_;
};

}  // namespace lowflame
