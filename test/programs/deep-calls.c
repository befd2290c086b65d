// Computes at the bottom of a stack of a known depth, through functions that take turns, so that not all frames are of
// one. Has frame pointers and unwind tables: for comparing what it costs to walk by either.
//
//   deep-calls [--depth 15] [--ms 2000] [--threads 1] [--hold]     --depth: calls between main's or a thread's first
//                                                                  function and the one that computes
#include <pthread.h>

#include "program.h"

static uint64_t end_ns;

typedef uint64_t step(uint64_t left);
static step* const steps[16];

NOINLINE uint64_t compute_below(void) {
  uint64_t seed = end_ns;
  while (monotonic_ns() < end_ns) seed = busy_work(seed);
  return seed;
}

// Each keeps something across its call, in a frame of its own size.
#define STEP(n)                                                               \
  NOINLINE uint64_t step_##n(uint64_t left) {                                 \
    volatile uint64_t kept[1 + (n) % 5];                                      \
    kept[0] = left;                                                           \
    uint64_t below = left ? steps[left * 7 % 16](left - 1) : compute_below(); \
    return below + kept[0];                                                   \
  }
STEP(0)
STEP(1)
STEP(2)
STEP(3)
STEP(4)
STEP(5)
STEP(6)
STEP(7)
STEP(8)
STEP(9)
STEP(10)
STEP(11)
STEP(12)
STEP(13)
STEP(14)
STEP(15)
static step* const steps[16] = {step_0, step_1, step_2,  step_3,  step_4,  step_5,  step_6,  step_7,
                                step_8, step_9, step_10, step_11, step_12, step_13, step_14, step_15};

static void* in_thread(void* depth) {
  uint64_t result = step_0((uint64_t)depth - 1);
  __asm__ volatile("" ::"r"(result));
  return NULL;
}

int main(int argc, char** argv) {
  uint64_t depth = option(argc, argv, "--depth", 15), threads = option(argc, argv, "--threads", 1);
  pthread_t thread[256];
  if (depth < 1 || depth > 1000 || threads < 1 || threads > 256) {
    fprintf(stderr, "--depth wants 1 to 1000, --threads 1 to 256\n");
    return 2;
  }
  ready(argc, argv);
  end_ns = monotonic_ns() + option(argc, argv, "--ms", 2000) * NS_PER_MS;
  for (uint64_t i = 0; i < threads; i++)
    if (pthread_create(&thread[i], NULL, in_thread, (void*)depth)) return 1;
  for (uint64_t i = 0; i < threads; i++) pthread_join(thread[i], NULL);
  printf("{\"event\":\"result\",\"threads\":%llu}\n", (unsigned long long)threads);
  return 0;
}
