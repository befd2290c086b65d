// The inner two of the chain of inlined-chain.cc: in a file of their own, so that a place has to tell file and line.
#ifndef LOWFLAME_TEST_INLINED_CHAIN_H
#define LOWFLAME_TEST_INLINED_CHAIN_H

#include <stdint.h>

#define INLINED static inline __attribute__((always_inline))

namespace chain {

struct Work {
  uint64_t seed;

  // The innermost of three.
  INLINED uint64_t turn(uint64_t seed) {
    for (int i = 0; i < 40000; i++) {
      __asm__ volatile(".globl lf_in_the_loop\nlf_in_the_loop:");  // one address of known place
      seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
      __asm__ volatile("" : "+r"(seed));
    }
    return seed;
  }
};

INLINED uint64_t middle(uint64_t seed) {
  return Work::turn(seed + 1) ^ 3;
}

}  // namespace chain

#endif
