// What a fiber's first function returns to, where makecontext made its stack.
#pragma once

#include <cstdint>

#include "elf_frames.h"

namespace lowflame {

// glibc's __start_context (sysdeps/x86_64/__start_context.S), which exports no name: makecontext writes its address
// below the first function as if it had been called from there. It is known by its first instruction, which throws
// the stack pointer away for what makecontext has left in rbx, in a file that has the name `makecontext`.
class ContextStarts {
 public:
  explicit ContextStarts(const ElfBytes& elf);
  // Whether the function that begins at this file address is one.
  bool IsOne(uint64_t begin) const;

 private:
  FrameSection text_;  // empty: the file makes no contexts
};

}  // namespace lowflame
