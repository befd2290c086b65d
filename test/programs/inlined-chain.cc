// Burns CPU in a function that is inlined into one that is inlined into a third, all within one that is called: three
// levels and two files of which a symbol table knows one function.
//
//   inlined-chain [--ms 2000] [--hold]     --ms is CPU time
#include "inlined-chain.h"

#include "program.h"

namespace chain {

INLINED uint64_t outer(uint64_t seed) {
  seed = middle(seed);
  return seed + 5;
}

extern "C" NOINLINE uint64_t burn_in_chain(uint64_t budget_ns) {
  uint64_t from = thread_cpu_ns(), now = from, seed = from;
  while (now - from < budget_ns) {
    seed = outer(seed);
    now = thread_cpu_ns();
  }
  __asm__ volatile("" ::"r"(seed));
  return now - from;
}

}  // namespace chain

int main(int argc, char** argv) {
  uint64_t budget_ns = option(argc, argv, "--ms", 2000) * NS_PER_MS;
  ready(argc, argv);
  uint64_t spent = chain::burn_in_chain(budget_ns);
  printf("{\"event\":\"result\",\"cpuNs\":%llu}\n", (unsigned long long)spent);
  return 0;
}
